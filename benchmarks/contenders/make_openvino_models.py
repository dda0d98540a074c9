"""OpenVINO's files of the same checkpoint: ``python make_openvino_models.py WORK``, in an environment with openvino and nncf.

Reads what ``make_models.py`` wrote to WORK, and writes ``openvino/fp32.xml``, optimum's export converted without loss, and
``openvino/nncf_int8.xml``, the same after NNCF's post-training quantization for transformers on the calibration speech.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nncf
import numpy as np
import openvino


def main(work: Path) -> None:
    """Write both models."""
    out = work / "openvino"
    out.mkdir(exist_ok=True)
    model = openvino.convert_model(work / "optimum" / "model.onnx")
    openvino.save_model(model, out / "fp32.xml", compress_to_fp16=False)
    windows = np.load(work / "calibration.npy")
    dataset = nncf.Dataset([window[None] for window in windows])
    quantized = nncf.quantize(model, dataset, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(windows))
    openvino.save_model(quantized, out / "nncf_int8.xml", compress_to_fp16=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
