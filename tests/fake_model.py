"""Write a tiny ONNX model with the interface of the real ones, so that the runtime's tests need neither torch nor a checkpoint.

Its answer can be worked out by hand: label 0 is on where the samples are mostly positive, label 1 where they are mostly negative, and the
frames are those of the real convolution stack (400 samples every 320).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from wavlm_diarizer.clustering import Clustering
from wavlm_diarizer.settings import ModelSettings

TONES = (800, 1600, 3200, 6400)
"""Hertz: what a voice of the fake model with voices sounds like; each has its own direction among the embeddings."""
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


def voice_settings(**changes: object) -> ModelSettings:
    """Settings that fit the fake model with voices, which are exact: a second of them is enough to know somebody."""
    clustering = Clustering(half_seconds=0.05, brief_seconds=0.2)
    return settings(**{"embedding_size": len(TONES), "speaker_weights_sha256": "1" * 64, "clustering": clustering, **changes})


def write(
    path: Path,
    metadata: dict[str, str] | None = None,
    *,
    names: tuple[str, str] = ("input_values", "logits"),
    voices: bool = False,
) -> Path:
    """Write the model; without ``metadata`` as a file that others exported; with ``voices`` as one with a speaker head."""
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
    outputs = [helper.make_tensor_value_info(answer, TensorProto.FLOAT, ["batch_size", "sequence_length", 2])]
    weights = [
        numpy_helper.from_array(kernel, "kernel"),
        numpy_helper.from_array(np.array([-GAIN * THRESHOLD], dtype=np.float32), "bias"),
        numpy_helper.from_array(np.array([1], dtype=np.int64), "axis"),
    ]
    if voices:
        nodes += _voice_nodes(source)
        weights += _voice_weights()
        outputs += [
            helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["batch_size", 2, len(TONES)]),
            helper.make_tensor_value_info("embedding_frames", TensorProto.INT64, ["batch_size", 2]),
        ]
    graph = helper.make_graph(
        nodes,
        "fake",
        [helper.make_tensor_value_info(source, TensorProto.FLOAT, ["batch_size", "sequence_length"])],
        outputs,
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if metadata:
        helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path


def _voice_nodes(source: str) -> list[onnx.NodeProto]:
    """Each label's mean energy at the tones, over the frames in which it is on alone."""
    node = helper.make_node
    return [
        node("Unsqueeze", [source, "axis"], ["waves"]),
        node("Conv", ["waves", "tones"], ["swings"], kernel_shape=[400], strides=[320]),
        node("Mul", ["swings", "swings"], ["squares"]),
        node("Conv", ["squares", "pairs"], ["energies"], kernel_shape=[1], group=len(TONES)),
        node("Greater", ["columns", "zero"], ["on"]),
        node("Cast", ["on"], ["on_number"], to=TensorProto.FLOAT),
        node("Gather", ["on_number", "other"], ["other_on"], axis=1),
        node("Greater", ["on_number", "other_on"], ["alone"]),
        node("Cast", ["alone"], ["mask"], to=TensorProto.FLOAT),
        node("Transpose", ["energies"], ["energies_last"], perm=[0, 2, 1]),
        node("MatMul", ["mask", "energies_last"], ["embeddings"]),
        node("ReduceSum", ["mask", "time"], ["counted"], keepdims=0),
        node("Cast", ["counted"], ["embedding_frames"], to=TensorProto.INT64),
    ]


def _voice_weights() -> list[onnx.TensorProto]:
    at = np.arange(400) / 16_000
    waves = np.array([wave(2 * np.pi * tone * at) for tone in TONES for wave in (np.sin, np.cos)], dtype=np.float32) / 400
    return [
        numpy_helper.from_array(waves[:, None], "tones"),
        numpy_helper.from_array(np.ones((len(TONES), 2, 1), dtype=np.float32), "pairs"),
        numpy_helper.from_array(np.array(0, dtype=np.float32), "zero"),
        numpy_helper.from_array(np.array([1, 0], dtype=np.int64), "other"),
        numpy_helper.from_array(np.array([2], dtype=np.int64), "time"),
    ]


def voiced(turns: list[tuple[float, float, int, int]], seconds: float, rate: int = 16_000) -> np.ndarray:
    """A signal in which voices (numbers of tones) speak: turns are start, end, the label that hears them, voice."""
    samples = speech([turn[:3] for turn in turns], seconds, rate)
    at = np.arange(len(samples)) / rate
    for start, end, _, voice in turns:
        here = slice(round(start * rate), round(end * rate))
        samples[here] += 0.3 * np.sin(2 * np.pi * TONES[voice] * at[here]).astype(np.float32)
    return samples


def speech(turns: list[tuple[float, float, int]], seconds: float, rate: int = 16_000) -> np.ndarray:
    """A signal in which speaker 0 (positive) and speaker 1 (negative) are on as ``turns`` (start, end, speaker) say."""
    samples = np.zeros(round(seconds * rate), dtype=np.float32)
    for start, end, speaker in turns:
        samples[round(start * rate) : round(end * rate)] += 0.5 if speaker == 0 else -0.5
    return samples
