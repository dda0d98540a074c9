"""Write a tiny ONNX model with the interface of the real ones, so that the runtime's tests need neither torch nor a checkpoint.

Its answer can be worked out by hand: label 0 is on where the samples are mostly positive, label 1 where they are mostly negative, and the
frames are those of the real convolution stack (400 samples every 320).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from wavlm_diarizer.settings import ModelSettings

GAIN = 100.0
THRESHOLD = 0.05


def settings(**changes: object) -> ModelSettings:
    """Settings that fit the fake model."""
    values: dict[str, object] = {
        "source": "tests/fake",
        "revision": "",
        "weights_sha256": "0" * 64,
        "architecture": "WavLMForAudioFrameClassification",
        "do_normalize": False,
        "labels": ("LABEL_0", "LABEL_1"),
        "window_seconds": 4.0,
        "overlap_seconds": 2.0,
        "single_pass_seconds": 4.0,
        "graph": "portable",
        "precision": "fp32",
        "license": "MIT",
    }
    return ModelSettings(**{**values, **changes})  # type: ignore[arg-type]


def write(path: Path, metadata: dict[str, str] | None = None, *, names: tuple[str, str] = ("input_values", "logits")) -> Path:
    """Write the model; without ``metadata`` as a file that others exported."""
    path.parent.mkdir(parents=True, exist_ok=True)
    source, answer = names
    kernel = np.full((1, 1, 400), GAIN / 400, dtype=np.float32)
    nodes = [
        helper.make_node("Relu", [source], ["positive"]),
        helper.make_node("Neg", [source], ["flipped"]),
        helper.make_node("Relu", ["flipped"], ["negative"]),
    ]
    for side in ("positive", "negative"):
        nodes += [
            helper.make_node("Unsqueeze", [side, "axis"], [f"{side}_channel"]),
            helper.make_node("Conv", [f"{side}_channel", "kernel", "bias"], [f"{side}_frames"], kernel_shape=[400], strides=[320]),
        ]
    nodes += [
        helper.make_node("Concat", ["positive_frames", "negative_frames"], ["columns"], axis=1),
        helper.make_node("Transpose", ["columns"], [answer], perm=[0, 2, 1]),
    ]
    graph = helper.make_graph(
        nodes,
        "fake",
        [helper.make_tensor_value_info(source, TensorProto.FLOAT, ["batch_size", "sequence_length"])],
        [helper.make_tensor_value_info(answer, TensorProto.FLOAT, ["batch_size", "sequence_length", 2])],
        [
            numpy_helper.from_array(kernel, "kernel"),
            numpy_helper.from_array(np.array([-GAIN * THRESHOLD], dtype=np.float32), "bias"),
            numpy_helper.from_array(np.array([1], dtype=np.int64), "axis"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if metadata:
        helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path


def speech(turns: list[tuple[float, float, int]], seconds: float, rate: int = 16_000) -> np.ndarray:
    """A signal in which speaker 0 (positive) and speaker 1 (negative) are on as ``turns`` (start, end, speaker) say."""
    samples = np.zeros(round(seconds * rate), dtype=np.float32)
    for start, end, speaker in turns:
        samples[round(start * rate) : round(end * rate)] += 0.5 if speaker == 0 else -0.5
    return samples
