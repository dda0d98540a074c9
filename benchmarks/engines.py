"""The ways to run one model that are compared, in one table: a new one is a line here, and a program in ``contenders/`` if need be."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from programs import CONTENDERS

if TYPE_CHECKING:
    from pathlib import Path

REFERENCE = "torch_fp32"
"""Whose answers the others' are compared with."""
BASE = "optimum_fp32"
"""Whose time and memory the others' are compared with."""
OWN = "own_int8"


@dataclass(frozen=True)
class Engine:
    """One way to run the model."""

    key: str
    name: str
    script: str
    """In ``contenders/``."""
    file: str
    """In the folder of models."""
    words: tuple[str, ...] = ()
    """More words for the script."""
    openvino: bool = False
    """It runs in an environment of its own."""
    floor: bool = False
    """It does a part of the work only."""
    scaled: bool = False
    """It is timed for all lengths of windows and numbers of threads, too."""

    def command(self, work: Path, threads: int, openvino: str | None) -> list[str | Path]:
        """The command that starts it."""
        python = (openvino or "") if self.openvino else sys.executable
        return [python, CONTENDERS / self.script, str(threads), work / self.file, *self.words]

    def bytes(self, work: Path) -> int:
        """Of the model's file, or of the weights in its folder."""
        path = work / self.file
        if path.is_dir():
            return sum(part.stat().st_size for part in path.glob("*.safetensors"))
        beside = path.with_suffix(".bin")
        return path.stat().st_size + (beside.stat().st_size if path.suffix == ".xml" else 0)


ENGINES = (
    Engine("torch_fp32", "transformers + torch, fp32 eager", "run_torch.py", "checkpoint", ("fp32",)),
    Engine("torch_bf16", "transformers + torch, bf16 eager", "run_torch.py", "checkpoint", ("bf16",)),
    Engine("optimum_fp32", "optimum, fp32", "run_onnxruntime.py", "optimum/model.onnx", scaled=True),
    Engine("dynamic_int8", "onnxruntime dynamic int8, MatMul only", "run_onnxruntime.py", "dynamic_int8.onnx", scaled=True),
    Engine("avx512_vnni", "optimum's avx512_vnni preset", "run_onnxruntime.py", "avx512_vnni.onnx"),
    Engine("openvino_fp32", "OpenVINO, fp32", "run_openvino.py", "openvino/fp32.xml", ("f32",), openvino=True),
    Engine("openvino_default", "OpenVINO, default", "run_openvino.py", "openvino/fp32.xml", ("default",), openvino=True, scaled=True),
    Engine(
        "openvino_int8", "OpenVINO, NNCF int8 + fp32", "run_openvino.py", "openvino/nncf_int8.xml", ("f32",), openvino=True, scaled=True
    ),
    Engine("openvino_int8_bf16", "OpenVINO, NNCF int8 + bf16", "run_openvino.py", "openvino/nncf_int8.xml", ("bf16",), openvino=True),
    Engine(
        "openvino_int8_encoder",
        "OpenVINO, NNCF int8, conv stack fp32",
        "run_openvino.py",
        "openvino/nncf_int8_encoder.xml",
        ("f32",),
        openvino=True,
    ),
    Engine("own_fp32", "wavlm-diarizer, fp32", "run_own_model.py", "own/onnx/model.onnx", scaled=True),
    Engine("own_int8", "wavlm-diarizer, int8", "run_own_model.py", "own/onnx/model_quantized.onnx", scaled=True),
    Engine("own_portable_int8", "wavlm-diarizer, portable int8", "run_own_model.py", "own_portable.onnx"),
    Engine("floor_fp32", "the matrix products alone, fp32", "run_floor.py", "checkpoint", ("fp32",), floor=True),
    Engine("floor_int8", "the matrix products alone, int8", "run_floor.py", "checkpoint", ("int8",), floor=True),
)
LOW_MEMORY = Engine(
    "own_int8_low_memory", "wavlm-diarizer, int8, `--low-memory`", "run_own_model.py", "own/onnx/model_quantized.onnx", ("low-memory",)
)
"""Slower, so compared for its memory alone."""


def present(work: Path, openvino: str | None) -> tuple[list[Engine], list[str]]:
    """The engines that can be run here, and a sentence for each reason why others cannot."""
    found, missing = [], []
    for engine in ENGINES:
        if engine.openvino and openvino is None:
            reason = "No environment with OpenVINO was named (--openvino): its engines are left out."
        elif not (work / engine.file).exists():
            reason = f"There is no {engine.file} (README.md says how to make it): {engine.name} is left out."
        else:
            found.append(engine)
            continue
        if reason not in missing:
            missing.append(reason)
    return found, missing
