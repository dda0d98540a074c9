"""Where things stand in time: the convolution that encodes it, and the bias by which attention sees how far two frames are apart."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from wavlm_export.graph.nodes import ints

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wavlm_export.graph.architecture import Architecture
    from wavlm_export.graph.nodes import Nodes
    from wavlm_export.graph.products import Precision
    from wavlm_export.graph.weights import Weights


def positional_convolution(nodes: Nodes, values: str, weights: Weights, architecture: Architecture, precision: Precision) -> str:
    """What the positional convolution adds to ``values``: ``[batch, frames, hidden]`` to the same."""
    kernel = weights.normed_convolution("conv")
    taps = kernel.shape[2]
    _ = precision
    with nodes.scope("positional_convolution"):
        channels_first = nodes.op("Transpose", values, perm=[0, 2, 1])
        # PyTorch pads both sides by half the taps and drops the last frame if the taps are even.
        pads = [taps // 2, (taps - 1) // 2]
        convolved = nodes.op("Conv", channels_first, kernel, weights["conv.bias"], group=architecture.position_groups, pads=pads)
        return nodes.op("Transpose", nodes.op("Gelu", convolved), perm=[0, 2, 1])


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
