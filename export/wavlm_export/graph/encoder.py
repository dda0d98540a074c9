"""Projected features in, the hidden states that the head wants out: positional convolution, then layers of either norm style."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wavlm_export.graph.attention import attention
from wavlm_export.graph.position import positional_convolution
from wavlm_export.graph.products import factor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wavlm_export.graph.architecture import Architecture
    from wavlm_export.graph.nodes import Nodes
    from wavlm_export.graph.products import Precision
    from wavlm_export.graph.weights import Weights


def projection(nodes: Nodes, features: str, weights: Weights, architecture: Architecture, precision: Precision) -> str:
    """Features of the conv stack ``[batch, frames, channels]`` to the encoder's width ``[batch, frames, hidden]``."""
    with nodes.scope("projection"):
        if "layer_norm.weight" in weights:  # HuBERT may go without
            features = norm(nodes, features, weights.at("layer_norm"), architecture)
        return factor(nodes, features, "projection", precision).times(*weights.linear("projection"), "product")


def hidden_states(
    nodes: Nodes, values: str, bias: str | None, weights: Weights, architecture: Architecture, precision: Precision
) -> Iterator[str]:
    """The embeddings and the output of each layer, all ``[batch, frames, hidden]``, as transformers counts them."""
    position = positional_convolution(nodes, values, weights.at("pos_conv_embed"), architecture, precision)
    values = nodes.op("Add", values, position, name="with_position")
    if not architecture.norm_first:
        values = norm(nodes, values, weights.at("layer_norm"), architecture)
    yield values
    for layer in range(architecture.layers):
        with nodes.scope(f"layer_{layer + 1}"):
            values = encoder_layer(nodes, values, bias, layer, weights.at(f"layers.{layer}"), architecture, precision)
        if architecture.norm_first and layer == architecture.layers - 1:
            values = norm(nodes, values, weights.at("layer_norm"), architecture)
        yield values


def encoder_layer(
    nodes: Nodes, values: str, bias: str | None, layer: int, weights: Weights, architecture: Architecture, precision: Precision
) -> str:
    """Attention and feed forward with their residual sums and norms."""
    first, second, inner = weights.at("layer_norm"), weights.at("final_layer_norm"), weights.at("attention")
    if architecture.norm_first:
        attended = attention(nodes, norm(nodes, values, first, architecture), bias, layer, inner, architecture, precision)
        values = nodes.op("Add", values, attended)
        return nodes.op("Add", values, feed_forward(nodes, norm(nodes, values, second, architecture), layer, weights, precision))
    attended = attention(nodes, values, bias, layer, inner, architecture, precision)
    values = norm(nodes, nodes.op("Add", values, attended), first, architecture)
    return norm(nodes, nodes.op("Add", values, feed_forward(nodes, values, layer, weights, precision)), second, architecture)


def feed_forward(nodes: Nodes, values: str, layer: int, weights: Weights, precision: Precision) -> str:
    """Out to the wide inner layer, Gelu, and back."""
    with nodes.scope("feed_forward"):
        wide = factor(nodes, values, f"layer {layer + 1} feed forward in", precision).times(
            *weights.linear("feed_forward.intermediate_dense"), "in"
        )
        active = nodes.op("Gelu", wide)
        return factor(nodes, active, f"layer {layer + 1} feed forward out", precision).times(
            *weights.linear("feed_forward.output_dense"), "out"
        )


def norm(nodes: Nodes, values: str, weights: Weights, architecture: Architecture) -> str:
    """LayerNorm over channels."""
    return nodes.op("LayerNormalization", values, weights["weight"], weights["bias"], axis=-1, epsilon=architecture.epsilon)
