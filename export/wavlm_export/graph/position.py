"""Where things stand in time: the convolution that encodes it, and the bias by which attention sees how far two frames are apart."""

from __future__ import annotations

import math
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


PART = "positional convolution"
OUTPUTS_IN_INT8 = 2
"""Frames computed by one row of the product. More make the product wider and the rows fewer, which is faster (full size, 10 s, alone: 12 ms
with 1, 5 with 2, 4 with 4), and the weights larger."""


def positional_convolution(nodes: Nodes, values: str, weights: Weights, architecture: Architecture, precision: Precision) -> str:
    """What the positional convolution adds to ``values``: ``[batch, frames, hidden]`` to the same."""
    kernel = weights.normed_convolution("conv")
    groups, taps = architecture.position_groups, kernel.shape[2]
    together = OUTPUTS_IN_INT8 if PART in precision.int8 else 1
    with nodes.scope(PART.replace(" ", "_")):
        frames = nodes.length(values, 1)
        rows = nodes.ceil_div(frames, ints(together))
        # PyTorch pads both sides by half the taps and drops the last frame if the taps are even.
        after = nodes.op("Add", nodes.op("Sub", nodes.op("Mul", rows, ints(together)), frames), ints((taps - 1) // 2))
        padded = nodes.op("Pad", values, nodes.op("Concat", ints(0, taps // 2, 0, 0), after, ints(0), axis=0))
        starts = nodes.op("Unsqueeze", nodes.op("Mul", nodes.range(rows), ints(together)), ints(1))
        seen = nodes.op("Reshape", nodes.op("Add", starts, np.arange(taps + together - 1)), ints(-1))
        convolved = []
        for group, own in enumerate(nodes.ops("Split", padded, ints(*[architecture.hidden // groups] * groups), outputs=groups, axis=2)):
            matrix = group_matrix(kernel, group, groups, together)

            def under_taps(rows: str, inputs: int = len(matrix)) -> str:
                return nodes.op("Reshape", nodes.op("Gather", rows, seen, axis=1), ints(0, -1, inputs))

            product = factor(nodes, own, PART, precision).moved(under_taps).times(matrix, None, "product")
            convolved.append(nodes.op("Reshape", product, ints(0, -1, architecture.hidden // groups)))
        joined = nodes.op("Slice", nodes.op("Concat", *convolved, axis=2), ints(0), frames, ints(1))
        return nodes.op("Gelu", nodes.op("Add", joined, weights["conv.bias"]))


def group_matrix(kernel: NDArray[np.float32], group: int, groups: int, together: int) -> NDArray[np.float32]:
    """One group of a convolution ``[outputs, inputs, taps]`` as a matrix ``[(taps + together - 1) * inputs, together * outputs]``.

    Each row of the product is ``together`` neighbouring frames: the kernel stands in the matrix once for each, one frame further down.
    """
    own = np.split(kernel, groups)[group]
    outputs, inputs, taps = own.shape
    matrix = np.zeros((taps + together - 1, inputs, together, outputs), np.float32)
    for frame in range(together):
        matrix[frame : frame + taps, :, frame] = own.transpose(2, 1, 0)
    return matrix.reshape(-1, together * outputs)


def relative_bias(nodes: Nodes, frames: str, weights: Weights, architecture: Architecture) -> str:
    """The position bias ``[1, heads, frames, frames]`` that all layers share, before their gates.

    The table holds one row for each distance up to where the buckets end; whatever is further away takes the last one.
    """
    limit = architecture.max_distance
    with nodes.scope("relative_bias"):
        by_distance = weights["rel_attn_embed.weight"][buckets(np.arange(-limit, limit + 1), architecture)]
        position = nodes.range(frames)
        distance = nodes.op("Sub", nodes.op("Unsqueeze", position, ints(0)), nodes.op("Unsqueeze", position, ints(1)))
        index = nodes.op("Add", nodes.op("Clip", distance, np.int64(-limit), np.int64(limit)), ints(limit))
        # A row of all heads at a time: five times faster than single values in the order that attention wants.
        values = nodes.op("Gather", by_distance, index, axis=0)
        return nodes.op("Unsqueeze", nodes.op("Transpose", values, perm=[2, 0, 1]), ints(0))


def buckets(distances: NDArray[np.int64], architecture: Architecture) -> NDArray[np.int64]:
    """The bucket of each distance (key minus query, in frames): exact when near, logarithmic further out, one side each.

    The arithmetic is PyTorch's own in float32, so that distances on the border of two buckets fall where the model has them (WavLM,
    https://arxiv.org/abs/2110.13900, section III-B).
    """
    import torch

    per_side = architecture.buckets // 2
    exact = per_side // 2
    distance = torch.from_numpy(distances)
    size = distance.abs()
    scaled = torch.log(size.clamp(min=1).float() / exact) / math.log(architecture.max_distance / exact) * (per_side - exact)
    far = torch.clamp((exact + scaled).to(torch.long), max=per_side - 1)
    bucket: NDArray[np.int64] = (torch.where(size < exact, size, far) + (distance > 0).to(torch.long) * per_side).numpy()
    return bucket
