"""One layer's self-attention: ``[batch, frames, hidden]`` in and out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wavlm_export.graph.nodes import ints
from wavlm_export.graph.products import factor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wavlm_export.graph.architecture import Architecture
    from wavlm_export.graph.nodes import Nodes
    from wavlm_export.graph.products import Precision
    from wavlm_export.graph.weights import Weights


def attention(
    nodes: Nodes, values: str, bias: str | None, layer: int, weights: Weights, architecture: Architecture, precision: Precision
) -> str:
    """Attention over all frames, with the gated position bias where the architecture has one."""
    with nodes.scope("attention"):
        inputs = factor(nodes, values, f"layer {layer + 1} attention inputs", precision)
        query, key, value = (inputs.times(*weights.linear(f"{name}_proj"), name) for name in ("q", "k", "v"))
        gated = nodes.op("Mul", gate(nodes, values, weights, architecture), bias, name="gated_bias") if bias else None
        mixed = nodes.op("MultiHeadAttention", query, key, value, None, None, gated, num_heads=architecture.heads)
        return factor(nodes, mixed, f"layer {layer + 1} attention output", precision).times(*weights.linear("out_proj"), "out")


def gate(nodes: Nodes, values: str, weights: Weights, architecture: Architecture) -> str:
    """How much each frame and head heeds the position bias: ``[batch, heads, frames, 1]``.

    Two gates a and b from each head's own channels, and ``a (b c - 1) + 2`` (WavLM, https://arxiv.org/abs/2110.13900, equation 5).
    """
    matrix, bias = gate_matrix(weights, architecture)
    heads = architecture.heads
    with nodes.scope("gate"):
        opened = nodes.op("Sigmoid", nodes.op("Add", nodes.op("MatMul", values, matrix), bias))
        a, b = nodes.ops("Split", opened, ints(heads, heads), outputs=2, axis=2)
        constant = weights["gru_rel_pos_const"].reshape(heads)
        inner = nodes.op("Sub", nodes.op("Mul", b, constant), np.float32(1))
        per_frame = nodes.op("Add", nodes.op("Mul", a, inner), np.float32(2))
        return nodes.op("Unsqueeze", nodes.op("Transpose", per_frame, perm=[0, 2, 1]), ints(3))


def gate_matrix(weights: Weights, architecture: Architecture) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Both gates of all heads as one product: weight ``[hidden, 2 heads]``, zero off each head's own channels, and bias ``[2 heads]``.

    The model computes eight outputs per head and adds up four for each gate; their weights can be added up just as well.
    """
    linear, bias = weights["gru_rel_pos_linear.weight"], weights["gru_rel_pos_linear.bias"]
    heads, size = architecture.heads, architecture.head_size
    summed = linear.reshape(2, -1, size).sum(axis=1)
    matrix = np.zeros((heads, size, 2, heads), np.float32)
    for head in range(heads):
        matrix[head, :, :, head] = summed.T
    return matrix.reshape(heads * size, 2 * heads), np.repeat(bias.reshape(2, -1).sum(axis=1), heads)
