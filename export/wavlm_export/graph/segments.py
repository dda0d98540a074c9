"""The number of samples in, how the conv stack walks over them out.

A window is cut into segments of a few frames, which overlap by what the convolutions see beyond their own frames, so each can be computed
alone. Some segments together make one step of the loop: what a step holds in memory stays the same however long the window is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wavlm_export.graph.architecture import rows_for
from wavlm_export.graph.nodes import ints

if TYPE_CHECKING:
    from wavlm_export.graph.architecture import Architecture
    from wavlm_export.graph.nodes import Nodes


@dataclass(frozen=True)
class SegmentSize:
    """How finely a window is cut."""

    frames: int
    """Of one segment, at most."""
    together: int
    """Segments in one step of the loop, at most."""


@dataclass(frozen=True)
class Segments:
    """Index values of the graph, the same for every window of a run."""

    frames: str
    """Frames of the window, a vector of one integer."""
    padded: str
    """Samples of the window filled up to whole blocks of one hop."""
    blocks: str
    """``[steps, together, blocks]``: the blocks of samples that each segment reads."""
    rows: str
    """Rows of the first convolution's output in one segment."""
    taps: tuple[str, ...]
    """For each further convolution: the rows ``[outputs * kernel]`` of its input under every output row."""


def count_frames(nodes: Nodes, samples: str, architecture: Architecture) -> str:
    """Frames of so many samples: what seven convolutions without padding leave."""
    beyond = nodes.op("Sub", samples, ints(architecture.receptive_field))
    return nodes.op("Add", nodes.op("Div", beyond, ints(architecture.hop)), ints(1), name="frames")


def plan(nodes: Nodes, samples: str, frames: str, architecture: Architecture, size: SegmentSize) -> Segments:
    """Cut a window into segments of equal length; the last ones may reach beyond its end, where their frames are dropped."""
    segments = nodes.ceil_div(frames, ints(size.frames))
    segment_frames = nodes.ceil_div(frames, segments)
    steps = nodes.ceil_div(segments, ints(size.together))
    together = nodes.ceil_div(segments, steps)

    hop = architecture.hop
    window_blocks = nodes.ceil_div(samples, ints(hop))
    segment_blocks = nodes.op("Add", segment_frames, ints(math.ceil(architecture.receptive_field / hop) - 1))
    first = nodes.op("Mul", nodes.range(nodes.op("Mul", steps, together)), segment_frames)
    indices = nodes.op("Add", nodes.op("Unsqueeze", first, ints(1)), nodes.range(segment_blocks))
    inside = nodes.op("Min", indices, nodes.op("Sub", window_blocks, ints(1)))
    shape = nodes.op("Concat", steps, together, ints(-1), axis=0)

    kernels, strides = architecture.kernels[1:], architecture.strides[1:]
    rows = _rows(nodes, segment_frames, kernels, strides)
    taps = []
    for layer, (kernel, stride) in enumerate(zip(kernels, strides, strict=True), start=1):
        outputs = nodes.range(_rows(nodes, segment_frames, kernels[layer:], strides[layer:]))
        starts = nodes.op("Unsqueeze", nodes.op("Mul", outputs, ints(stride)), ints(1))
        taps.append(nodes.op("Reshape", nodes.op("Add", starts, np.arange(kernel)), ints(-1)))
    return Segments(
        frames=frames,
        padded=nodes.op("Mul", window_blocks, ints(hop)),
        blocks=nodes.op("Reshape", inside, shape),
        rows=rows,
        taps=tuple(taps),
    )


def _rows(nodes: Nodes, outputs: str, kernels: tuple[int, ...], strides: tuple[int, ...]) -> str:
    """Rows that a chain of convolutions reads for ``outputs`` rows: linear in them."""
    one = rows_for(1, kernels, strides)
    step = rows_for(2, kernels, strides) - one
    return nodes.op("Add", nodes.op("Mul", outputs, ints(step)), ints(one - step))
