"""The files of one checkpoint for every engine but OpenVINO: ``python make_models.py WORK [CHECKPOINT]``, in this project's environment.

Without CHECKPOINT one of the size of wavlm-base-plus-sd with random weights is made: what the weights are does not matter for time. What is
there already is kept. WORK then holds:

``checkpoint/``           the checkpoint, as the hub has it
``optimum/model.onnx``    what ``optimum-cli export onnx`` writes
``dynamic_int8.onnx``     that file after onnxruntime's dynamic quantization: matrix products, a scale per output channel
``avx512_vnni.onnx``      that file after optimum's own preset for such CPUs
``own/``                  what ``wavlm-diarizer export`` writes: fp32 and int8
``own_portable.onnx``     int8 with ``--graph portable``
``calibration.npy``       speech to choose scales on, ``[windows, 160000]`` float32, for OpenVINO's quantization
``speech_S.npy``          S seconds of other speech, to be timed
``check.npy``             windows of that speech, to be compared, ``[windows, 160000]``
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

RATE = 16_000
WINDOW = 10 * RATE
SECONDS = (2, 5, 10, 20, 30)
TESTS = Path(__file__).resolve().parents[2] / "tests"
TASK = "audio-frame-classification"


def checkpoint(folder: Path) -> None:
    """Random weights in the size of wavlm-base-plus-sd."""
    sys.path.append(str(TESTS))
    import random_checkpoints

    random_checkpoints.save(folder, "wavlm-base-plus")


def optimum(source: Path, folder: Path) -> None:
    """The export of optimum's own command."""
    from optimum.exporters.onnx import main_export

    main_export(str(source), folder, task=TASK, do_validation=False)


def dynamic_int8(source: Path, target: Path) -> None:
    """The dynamic quantization of onnxruntime for matrix products, with its best settings: signed weights, a scale per output channel."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(source, target, op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QuantType.QInt8)


def preset(source: Path, target: Path) -> None:
    """The preset of optimum for AVX512-VNNI: convolutions too. Constants are folded first: it cannot read a weight under weight norm."""
    import onnxruntime
    from optimum.onnxruntime import AutoQuantizationConfig, ORTQuantizer

    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        folded, quantized = Path(folder) / "folded", Path(folder) / "quantized"
        shutil.copytree(source.parent, folded)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(folded / source.name)
        onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        quantizer = ORTQuantizer.from_pretrained(folded, file_name=source.name)
        quantizer.quantize(save_dir=quantized, quantization_config=AutoQuantizationConfig.avx512_vnni(is_static=False))
        next(quantized.glob("*.onnx")).replace(target)


def export(source: Path, target: Path, *options: str) -> None:
    """This project's export."""
    subprocess.run([sys.executable, "-m", "wavlm_diarizer", "export", "-q", source, "-o", target, *options], check=True)


def speech(work: Path) -> None:
    """The speech that comes with the exporter, as arrays that every environment can read."""
    from wavlm_export.speech import load_speech, windows

    for name, kind in (("calibration", "calibration"), ("check", "check")):
        np.save(work / f"{name}.npy", np.stack(windows(load_speech(kind), WINDOW, WINDOW)).astype(np.float32))
    flowing = np.concatenate([samples for _, samples in load_speech("check")]).astype(np.float32)
    for seconds in SECONDS:
        np.save(work / f"speech_{seconds}.npy", np.resize(flowing, seconds * RATE))


def make(path: Path, write: Callable[[], None]) -> None:
    """Write a file or folder unless it is there."""
    if not path.exists():
        print(f"making {path.name}", file=sys.stderr)
        write()


def main(work: Path, source: Path | None = None) -> None:
    """Make whatever is missing."""
    work.mkdir(parents=True, exist_ok=True)
    source = source or work / "checkpoint"
    reference = work / "optimum" / "model.onnx"
    make(source, lambda: checkpoint(source))
    make(reference, lambda: optimum(source, reference.parent))
    make(work / "dynamic_int8.onnx", lambda: dynamic_int8(reference, work / "dynamic_int8.onnx"))
    make(work / "avx512_vnni.onnx", lambda: preset(reference, work / "avx512_vnni.onnx"))
    make(work / "own", lambda: export(source, work / "own"))
    make(work / "own_portable.onnx", lambda: export(source, work / "own_portable.onnx", "--graph", "portable"))
    make(work / "check.npy", lambda: speech(work))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
