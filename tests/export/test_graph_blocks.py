"""Each block of the fast graph against the PyTorch module that it replaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

import random_checkpoints
from wavlm_diarizer.errors import CheckpointError
from wavlm_diarizer.sessions import open_session
from wavlm_export.graph import encoder, head, position, segments
from wavlm_export.graph.architecture import Architecture
from wavlm_export.graph.attention import attention, gate
from wavlm_export.graph.conv_stack import conv_stack
from wavlm_export.graph.nodes import FLOAT, Nodes
from wavlm_export.graph.products import Precision
from wavlm_export.graph.weights import Weights

if TYPE_CHECKING:
    from collections.abc import Callable

LENGTHS = (400, 401, 719, 720, 6_400, 20_801, 20_799)
"""One frame and its borders, and a few steps of segments with and without a rest."""
FP32 = Precision()


class Block:
    """A small model, what the builder reads of it, and a way to run one block alone."""

    def __init__(self, kind: str, **changes: Any) -> None:
        self.model = random_checkpoints.make(kind, **changes)
        self.architecture = Architecture.of(self.model.config)
        self.weights = Weights.of(self.model)
        self.encoder_weights = self.weights.at(self.model.base_model_prefix)
        self.encoder = self.model.base_model

    def run(self, write: Callable[[Nodes], str], *, low_memory: bool = False, **inputs: np.ndarray) -> np.ndarray:
        nodes = Nodes()
        nodes.op("Identity", write(nodes), name="result")
        values = [(name, FLOAT, [None] * value.ndim) for name, value in inputs.items()]
        model = nodes.model(values, [("result", FLOAT, None)])
        answer: np.ndarray = open_session(model.SerializeToString(), low_memory=low_memory).run(None, inputs)[0]
        return answer

    def conv_stack(self, samples: np.ndarray, at_most: int, *, low_memory: bool = False) -> np.ndarray:
        def write(nodes: Nodes) -> str:
            count = nodes.length("x", 1)
            plan = segments.plan(nodes, count, segments.count_frames(nodes, count, self.architecture), self.architecture, at_most)
            return conv_stack(nodes, "x", plan, self.encoder_weights.at("feature_extractor"), self.architecture, FP32)

        return self.run(write, low_memory=low_memory, x=samples)


def torch_answer(module: Any, *inputs: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        answer = module(*map(torch.from_numpy, inputs))
    return (answer[0] if isinstance(answer, tuple) else answer).numpy()


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


SIGNALS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "noise": lambda x: 0.1 * x,
    "an offset of 0.9 under an amplitude of 0.01": lambda x: 0.9 + 0.01 * x,
    "silence": lambda x: 0 * x,
    "a constant": lambda x: 0 * x + 0.9,
    "an amplitude of 1e-6": lambda x: 1e-6 * x,
    "clipping": lambda x: np.clip(3 * x, -1, 1),
    "low frequencies only": lambda x: 0.01 * np.cumsum(x, axis=-1),
}


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("kind", ["wavlm-small", "wavlm-large-style"])
def test_the_conv_stack_is_pytorchs_on_any_signal(kind: str, signal: str) -> None:
    block = Block(kind)
    samples = SIGNALS[signal](noise(2, 16_000)).astype(np.float32)
    expected = torch_answer(block.encoder.feature_extractor, samples).transpose(0, 2, 1)
    answer = block.conv_stack(samples, 7)
    # PyTorch's own convolution in float32 loses some digits of what lies under a large offset.
    np.testing.assert_allclose(answer, expected, atol=(2e-4 if "0.9" in signal else 2e-5) * max(1.0, expected.std()))


def test_saving_memory_changes_no_bit_of_a_conv_stack_of_many_taps() -> None:
    """Where int8 layers follow, another order of adding up would change more than the last digit."""
    block = Block("wavlm-small", conv_dim=(24, 24, 32), conv_kernel=(400, 1, 2), conv_stride=(160, 1, 2), conv_bias=True)
    samples = 0.1 * noise(1, 32_000)
    assert np.array_equal(block.conv_stack(samples, 64), block.conv_stack(samples, 64, low_memory=True))


@pytest.mark.parametrize("at_most", [1, 4, 64])
@pytest.mark.parametrize("kind", ["wavlm-small", "hubert"])
def test_the_conv_stack_does_not_depend_on_how_it_is_cut(kind: str, at_most: int) -> None:
    block = Block(kind)
    for length in LENGTHS:
        samples = 0.1 * noise(1, length)
        expected = torch_answer(block.encoder.feature_extractor, samples).transpose(0, 2, 1)
        np.testing.assert_allclose(block.conv_stack(samples, at_most), expected, atol=1e-5)


def test_a_window_of_a_batch_is_that_window_alone() -> None:
    block = Block("wavlm-small")
    samples = 0.1 * noise(3, 9_000)
    together = block.conv_stack(samples, 8)
    for row in range(3):
        np.testing.assert_allclose(together[row], block.conv_stack(samples[row : row + 1], 8)[0], atol=1e-6)


@pytest.mark.parametrize("kind", ["wavlm-small", "wavlm-large-style", "wav2vec2"])
def test_the_projection_is_pytorchs(kind: str) -> None:
    block = Block(kind)
    features = noise(2, 9, 64)
    weights = block.encoder_weights.at("feature_projection")
    answer = block.run(lambda nodes: encoder.projection(nodes, "x", weights, block.architecture, FP32), x=features)
    np.testing.assert_allclose(answer, torch_answer(block.encoder.feature_projection, features), atol=1e-5)


def test_hubert_may_project_without_a_norm() -> None:
    block = Block("hubert", feat_proj_layer_norm=False)
    features = noise(2, 9, 64)
    weights = block.encoder_weights.at("feature_projection")
    answer = block.run(lambda nodes: encoder.projection(nodes, "x", weights, block.architecture, FP32), x=features)
    np.testing.assert_allclose(answer, torch_answer(block.encoder.feature_projection, features), atol=1e-5)


@pytest.mark.parametrize("frames", [1, 5, 70])
@pytest.mark.parametrize("taps", [31, 32])
def test_the_positional_convolution_is_pytorchs(taps: int, frames: int) -> None:
    block = Block("wavlm-small", num_conv_pos_embeddings=taps)
    values = noise(2, frames, 96)
    weights = block.encoder_weights.at("encoder.pos_conv_embed")
    answer = block.run(lambda nodes: position.positional_convolution(nodes, "x", weights, block.architecture, FP32), x=values)
    np.testing.assert_allclose(answer, torch_answer(block.encoder.encoder.pos_conv_embed, values), atol=1e-5)


def test_the_older_spelling_of_weight_norm_is_read_too() -> None:
    block = Block("wavlm-small")
    new = block.encoder_weights.at("encoder.pos_conv_embed")
    spelled = {
        "conv.weight_g": new["conv.parametrizations.weight.original0"],
        "conv.weight_v": new["conv.parametrizations.weight.original1"],
    }
    expected = block.encoder.encoder.pos_conv_embed.conv.weight.detach().numpy()
    for weights in (new, Weights(spelled), Weights({"conv.weight": expected})):
        np.testing.assert_allclose(weights.normed_convolution("conv"), expected, atol=1e-6)


@pytest.mark.parametrize("frames", [1, 2, 60, 150])
def test_the_position_bias_is_pytorchs_however_far_apart_frames_are(frames: int) -> None:
    """Distances beyond the last bucket's (50 frames here) share it."""
    block = Block("wavlm-small", num_buckets=32, max_bucket_distance=50)
    module = block.encoder.encoder.layers[0].attention
    weights = block.encoder_weights.at("encoder.layers.0.attention")
    answer = block.run(lambda nodes: position.relative_bias(nodes, nodes.length("x", 0), weights, block.architecture), x=noise(frames))
    with torch.inference_mode():
        expected = module.compute_bias(frames, frames).numpy()
    np.testing.assert_array_equal(answer, expected[None])


def test_every_distance_falls_into_pytorchs_bucket() -> None:
    block = Block("wavlm-small")
    distances = np.arange(-3_000, 3_001)
    module = block.encoder.encoder.layers[0].attention
    expected = module._relative_positions_bucket(torch.from_numpy(distances)).numpy()
    np.testing.assert_array_equal(position.buckets(distances, block.architecture), expected)


def test_the_gate_is_pytorchs() -> None:
    block = Block("wavlm-small")
    values = noise(2, 9, 96)
    module = block.encoder.encoder.layers[1].attention
    weights = block.encoder_weights.at("encoder.layers.1.attention")
    answer = block.run(lambda nodes: gate(nodes, "x", weights, block.architecture), x=values)
    with torch.inference_mode():
        heads = torch.from_numpy(values).view(2, 9, 4, 24).permute(0, 2, 1, 3)
        a, b = torch.sigmoid(module.gru_rel_pos_linear(heads).view(2, 4, 9, 2, 4).sum(-1)).chunk(2, dim=-1)
        expected = (a * (b * module.gru_rel_pos_const - 1.0) + 2.0).numpy()
    np.testing.assert_allclose(answer, expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["wavlm-small", "wav2vec2"])
def test_attention_is_pytorchs(kind: str) -> None:
    block = Block(kind)
    values, bias = noise(2, 33, 96), noise(1, 4, 33, 33, seed=1)
    module = block.encoder.encoder.layers[0].attention
    weights = block.encoder_weights.at("encoder.layers.0.attention")
    biased = bool(block.architecture.buckets)
    with torch.inference_mode():
        repeated = torch.from_numpy(bias).repeat(2, 1, 1, 1).view(8, 33, 33)
        expected = module(torch.from_numpy(values), **({"position_bias": repeated} if biased else {}))[0].numpy()
    given = {"bias": bias} if biased else {}
    answer = block.run(
        lambda nodes: attention(nodes, "x", "bias" if biased else None, 0, weights, block.architecture, FP32), x=values, **given
    )
    np.testing.assert_allclose(answer, expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["wavlm-small", "wavlm-large-style", "unispeech-sat", "wav2vec2", "wav2vec2-large-style", "hubert"])
def test_the_encoder_gives_pytorchs_hidden_states(kind: str) -> None:
    block = Block(kind)
    values = noise(2, 33, 96)
    weights = block.encoder_weights.at("encoder")
    with torch.inference_mode():
        expected = [state.numpy() for state in block.encoder.encoder(torch.from_numpy(values), output_hidden_states=True).hidden_states]

    def write(nodes: Nodes) -> str:
        bias = None
        if block.architecture.buckets:
            bias = position.relative_bias(nodes, nodes.length("x", 1), weights.at("layers.0.attention"), block.architecture)
        states = encoder.hidden_states(nodes, "x", bias, weights, block.architecture, FP32)
        return nodes.op("Concat", *[nodes.op("Unsqueeze", state, np.array([0])) for state in states], axis=0)

    answer = block.run(write, x=values)
    assert len(answer) == len(expected) == 4
    for one, other in zip(answer, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


@pytest.mark.parametrize("weighted", [True, False])
def test_the_head_is_the_weighted_sum_and_the_classifier(weighted: bool) -> None:
    block = Block("wavlm-small", use_weighted_layer_sum=weighted)
    states = noise(4, 2, 9, 96)

    def write(nodes: Nodes) -> str:
        return head.head(nodes, nodes.ops("Split", "x", outputs=4, num_outputs=4), block.weights, block.architecture)

    answer = block.run(write, x=states)[0]
    with torch.inference_mode():
        hidden = torch.from_numpy(states)
        if weighted:
            shares = torch.softmax(block.model.layer_weights, dim=-1)
            summed = (hidden * shares.view(-1, 1, 1, 1)).sum(dim=0)
        else:
            summed = hidden[-1]
        expected = block.model.classifier(summed).numpy()
    np.testing.assert_allclose(answer, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "changes", "named"),
    [
        ("wavlm-small", {"hidden_act": "relu"}, "hidden_act"),
        ("wav2vec2", {"feat_extract_activation": "silu"}, "feat_extract_activation"),
        ("hubert", {"conv_pos_batch_norm": True}, "conv_pos_batch_norm"),
        ("wav2vec2-large-style", {"adapter_attn_dim": 16}, "adapter_attn_dim"),
    ],
)
def test_what_the_builder_cannot_write_is_refused_by_name(kind: str, changes: dict[str, Any], named: str) -> None:
    config_class, _, settings, _ = random_checkpoints.KINDS[kind]
    with pytest.raises(CheckpointError, match=named):
        Architecture.of(config_class(**(settings | changes)))
