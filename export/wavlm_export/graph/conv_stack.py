"""Windows ``[batch, samples]`` in, the conv stack's features ``[batch, frames, channels]`` out.

Channels come last, so each convolution is one matrix product: rows gathered under its taps, times the kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wavlm_export.graph.architecture import NORM_EPSILON
from wavlm_export.graph.first_convolution import centred, group_norm_folded, patches, plain
from wavlm_export.graph.nodes import FLOAT, ints
from wavlm_export.graph.products import factor_by_row

if TYPE_CHECKING:
    from wavlm_export.graph.architecture import Architecture
    from wavlm_export.graph.nodes import Nodes
    from wavlm_export.graph.products import Precision
    from wavlm_export.graph.segments import Segments
    from wavlm_export.graph.weights import Weights


def conv_stack(nodes: Nodes, windows: str, segments: Segments, weights: Weights, architecture: Architecture, precision: Precision) -> str:
    """The whole stack, one segment after the other."""
    with nodes.scope("conv_stack"):
        samples = nodes.length(windows, 1)
        values = centred(nodes, windows) if architecture.group_norm else windows
        missing = nodes.op("Sub", segments.padded, samples)
        padded = nodes.op("Pad", values, nodes.op("Concat", ints(0, 0, 0), missing, axis=0))
        if architecture.group_norm:
            first = group_norm_folded(nodes, padded, samples, weights, architecture)
        else:
            first = nodes.constant(plain(weights, architecture))
        blocks = nodes.op("Gather", nodes.op("Reshape", padded, ints(0, -1, architecture.hop)), segments.blocks, axis=1)
        by_segment = nodes.op("Transpose", blocks, perm=[1, 0, 2, 3])
        rows = nodes.op("Reshape", by_segment, ints(0, 0, -1, architecture.strides[0]), name="segments")

        step = nodes.body()
        features = _step(step, "segment", first, segments, weights, architecture, precision)
        outputs = [(features, FLOAT, (None, None, architecture.channels[-1]))]
        (stacked,) = nodes.for_each([("segment", rows, FLOAT, (None, None, architecture.strides[0]))], step, outputs, name="loop")
        by_window = nodes.op("Transpose", stacked, perm=[1, 0, 2, 3])
        frames = nodes.op("Reshape", by_window, ints(0, -1, architecture.channels[-1]))
        return nodes.op("Slice", frames, ints(0), segments.frames, ints(1))


def _step(
    nodes: Nodes, rows: str, first: str, segments: Segments, weights: Weights, architecture: Architecture, precision: Precision
) -> str:
    """Samples of one segment ``[batch, rows, stride]`` to their features ``[batch, frames, channels]``."""
    with nodes.scope("convolution_1"):
        seen = patches(nodes, rows, segments.rows, architecture)
        # A column of ones meets the weights' last row, the bias.
        with_one = nodes.op("Pad", seen, ints(0, 0, 0, 0, 0, 1), np.float32(1))
        values = nodes.op("MatMul", with_one, first, name="product")
        values = _activation(nodes, values, 0, weights, architecture)
    for layer in range(1, len(architecture.kernels)):
        with nodes.scope(f"convolution_{layer + 1}"):
            values = _convolution(nodes, values, layer, segments, weights, architecture, precision)
            values = _activation(nodes, values, layer, weights, architecture)
    return values


def _convolution(
    nodes: Nodes, values: str, layer: int, segments: Segments, weights: Weights, architecture: Architecture, precision: Precision
) -> str:
    """One of the further convolutions: ``[batch, rows, channels]`` to the same with fewer rows."""
    kernel = weights[f"conv_layers.{layer}.conv.weight"]
    matrix = np.ascontiguousarray(kernel.transpose(2, 1, 0).reshape(-1, kernel.shape[0]))
    taps, channels = segments.taps[layer - 1], architecture.channels[layer - 1]
    rows = factor_by_row(nodes, values, channels, taps, f"convolution {layer + 1}", precision)
    return rows.times(matrix, weights.optional(f"conv_layers.{layer}.conv.bias"), "product")


def _activation(nodes: Nodes, values: str, layer: int, weights: Weights, architecture: Architecture) -> str:
    """The norm over channels, where the architecture has one, and Gelu."""
    if not architecture.group_norm:
        norm = weights.at(f"conv_layers.{layer}.layer_norm")
        values = nodes.op("LayerNormalization", values, norm["weight"], norm["bias"], axis=-1, epsilon=NORM_EPSILON)
    return nodes.op("Gelu", values)
