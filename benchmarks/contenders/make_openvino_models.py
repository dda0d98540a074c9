"""OpenVINO's files of the same checkpoint: ``python make_openvino_models.py WORK``, in an environment with openvino and nncf.

Reads what ``make_models.py`` wrote to WORK, and writes ``openvino/fp32.xml``, optimum's export converted without loss;
``openvino/nncf_int8.xml``, the same after NNCF's post-training quantization for transformers on the calibration speech; and
``openvino/nncf_int8_encoder.xml``, where the conv stack is left out of it, because that is where most of its deviation comes from. What is
there already is kept.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nncf
import numpy as np
import openvino


def main(work: Path) -> None:
    """Write the models."""
    out = work / "openvino"
    out.mkdir(exist_ok=True)
    windows = np.load(work / "calibration.npy")
    dataset = nncf.Dataset([window[None] for window in windows])
    conv_stack = nncf.IgnoredScope(patterns=[".*feature_extractor.*"])
    for name, left_out in (("fp32", None), ("nncf_int8", nncf.IgnoredScope()), ("nncf_int8_encoder", conv_stack)):
        if (out / f"{name}.bin").exists():
            continue
        model = openvino.convert_model(work / "optimum" / "model.onnx")
        if left_out is not None:
            model = nncf.quantize(model, dataset, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(windows), ignored_scope=left_out)
        openvino.save_model(model, out / f"{name}.xml", compress_to_fp16=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
