"""The whole fast graph against PyTorch, and what is in it."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest

pytest.importorskip("torch")

import torch

import random_checkpoints
from wavlm_diarizer.diarizer import sigmoid
from wavlm_diarizer.sessions import open_session
from wavlm_export.checkpoint import load
from wavlm_export.graph.architecture import Architecture
from wavlm_export.graph.build import build, fast_graph
from wavlm_export.graph.products import Precision
from wavlm_export.graph.weights import Weights
from wavlm_export.speech import load_speech
from wavlm_export.verification import verify_graph

if TYPE_CHECKING:
    from pathlib import Path

SMALL_KINDS = [kind for kind in random_checkpoints.KINDS if kind != "wavlm-base-plus"]


@cache
def made(kind: str) -> tuple[Any, onnx.ModelProto, Any]:
    """A model, its fast graph and a session."""
    model = random_checkpoints.make(kind)
    graph = build(Weights.of(model), Architecture.of(model.config), model.base_model_prefix, Precision())
    return model, graph, open_session(graph.SerializeToString())


def assert_parity(model: Any, session: Any, samples: np.ndarray) -> None:
    with torch.inference_mode():
        expected = model(torch.from_numpy(samples)).logits.numpy()
    answer = session.run(None, {"input_values": samples})[0]
    assert answer.shape == expected.shape
    assert np.abs(answer - expected).max() <= 1e-3 * max(1.0, expected.std())
    assert np.abs(sigmoid(answer) - sigmoid(expected)).max() <= 1e-4


def signals(count: int, seed: int = 3) -> np.ndarray:
    """Speech, noise, an offset, silence, something very quiet and something clipped, as one batch."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(count)
    speech = np.resize(load_speech("check")[0][1][16_000:], count)
    rows = [speech, 0.1 * noise, 0.9 + 0.01 * noise, 0 * noise, 1e-6 * noise, np.clip(5 * noise, -1, 1)]
    return np.stack(rows).astype(np.float32)


@pytest.mark.parametrize("length", [400, 401, 719, 720, 6_400, 16_017])
@pytest.mark.parametrize("kind", SMALL_KINDS)
def test_any_signal_and_length_gives_pytorchs_answer(kind: str, length: int) -> None:
    model, _, session = made(kind)
    for row in signals(length):
        assert_parity(model, session, row[None])


@pytest.mark.parametrize("kind", SMALL_KINDS)
def test_batches_and_long_windows_give_pytorchs_answer(kind: str) -> None:
    model, _, session = made(kind)
    assert_parity(model, session, signals(9_999)[:3])
    assert_parity(model, session, signals(160_000)[:1])
    if kind in {"wavlm-small", "wav2vec2-large-style"}:
        assert_parity(model, session, signals(479_999)[:1])


def test_a_first_convolution_of_many_taps_gives_pytorchs_answer() -> None:
    """Like a filter bank's: its norm takes another way, see ``first_convolution``."""
    stack = {"conv_dim": (24, 24, 32), "conv_kernel": (400, 1, 2), "conv_stride": (160, 1, 2), "conv_bias": True}
    model = random_checkpoints.make("wavlm-small", **stack)
    graph = build(Weights.of(model), Architecture.of(model.config), model.base_model_prefix, Precision())
    session = open_session(graph.SerializeToString())
    for length in (560, 561, 719, 880, 6_400, 16_017):
        for row in signals(length):
            assert_parity(model, session, row[None])
    assert_parity(model, session, signals(9_999)[:3])
    assert_parity(model, session, signals(160_000)[:1])


@pytest.mark.parametrize("kind", SMALL_KINDS)
def test_a_window_of_a_batch_is_that_window_alone(kind: str) -> None:
    _, _, session = made(kind)
    batch = signals(12_345)
    together = session.run(None, {"input_values": batch})[0]
    for row, samples in enumerate(batch):
        alone = session.run(None, {"input_values": samples[None]})[0][0]
        np.testing.assert_allclose(together[row], alone, atol=1e-5)


@pytest.mark.parametrize("kind", SMALL_KINDS)
def test_the_graph_is_plain_onnx_of_one_file(kind: str) -> None:
    _, graph, _ = made(kind)
    onnx.checker.check_model(graph, full_check=False)
    assert graph.ir_version <= 9
    assert {(domain.domain, domain.version) for domain in graph.opset_import} == {("", 18), ("com.microsoft", 1)}
    assert [axis.dim_param for axis in graph.graph.input[0].type.tensor_type.shape.dim] == ["batch_size", "sequence_length"]
    assert [axis.dim_param for axis in graph.graph.output[0].type.tensor_type.shape.dim][:2] == ["batch_size", "frames"]


def operators(graph: onnx.GraphProto) -> Counter[str]:
    """How often each operator stands in a graph and in the bodies of its loops."""
    counts = Counter(node.op_type for node in graph.node)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                counts += operators(attribute.g)
    return counts


def test_the_graph_has_no_more_operators_than_the_model_needs() -> None:
    layers, position_groups = 3, 4
    counts = operators(made("wavlm-small")[1].graph)
    # Seven convolutions; the positional one's groups; the norm's covariance, variance and mean; the projection; gate, q, k, v, out and
    # two of feed forward a layer; the head of the embeddings and of each layer.
    assert counts["MatMul"] == 7 + position_groups + 3 + 1 + 7 * layers + layers + 1
    assert counts["MultiHeadAttention"] == layers
    assert counts["Gelu"] == 7 + 1 + layers
    assert counts["LayerNormalization"] == 1 + 1 + 2 * layers
    assert counts["Conv"] == 0
    assert counts["Scan"] == 1
    assert counts["Cast"] == 3
    assert counts["Erf"] == counts["Softmax"] == counts["Gemm"] == 0
    plain = operators(made("wav2vec2")[1].graph)
    # No gates; one head, on the last layer.
    assert plain["MatMul"] == 7 + position_groups + 3 + 1 + 6 * layers + 1
    assert plain["Sigmoid"] == 0


def test_constants_of_equal_content_are_stored_once() -> None:
    _, graph, _ = made("wavlm-small")
    contents = [(tuple(tensor.dims), tensor.data_type, tensor.raw_data) for tensor in graph.graph.initializer]
    assert len(contents) == len(set(contents))


@pytest.mark.full
def test_a_full_size_model_of_the_large_style_passes_the_verification_of_the_export(tmp_path: Path) -> None:
    # The other style of full size is exported, and so verified, in test_export.py.
    checkpoint = load(random_checkpoints.save(tmp_path / "full", "wavlm-base-plus", **random_checkpoints.LARGE_STYLE))
    session = open_session(fast_graph(checkpoint).SerializeToString())
    assert verify_graph(session, checkpoint)["verdict"] == "passed"
    for row in signals(48_001):
        assert_parity(checkpoint.model, session, row[None])
