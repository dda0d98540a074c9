"""The number of samples in, how the conv stack walks over them out.

A window is cut into segments, which overlap by what the convolutions see beyond their own frames, so each can be computed alone. What one
holds in memory stays the same however long the window is, and fits the CPU's caches better than the whole.
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
class Taps:
    """The rows that one convolution sees under each of its output rows."""

    kernel: int
    rows: str | None
    """Their indices ``[outputs * kernel]``; ``None``: neighbouring outputs share none, so they simply follow each other."""

    def gathered(self, nodes: Nodes, value: str, channels: int) -> str:
        """``[batch, outputs, kernel * channels]`` from ``[batch, rows, channels]``."""
        if self.rows is not None:
            value = nodes.op("Gather", value, self.rows, axis=1, name="taps")
        return nodes.op("Reshape", value, ints(0, -1, self.kernel * channels))


@dataclass(frozen=True)
class Segments:
    """Index values of the graph, the same for every window of a run."""

    frames: str
    """Frames of the window, a vector of one integer."""
    padded: str
    """Samples of the window filled up to whole blocks of one hop."""
    blocks: str
    """``[segments, blocks]``: the blocks of samples that each segment reads."""
    rows: str
    """Rows of the first convolution's output in one segment."""
    taps: tuple[Taps, ...]
    """Of each further convolution."""


def count_frames(nodes: Nodes, samples: str, architecture: Architecture) -> str:
    """Frames of so many samples: what seven convolutions without padding leave."""
    beyond = nodes.op("Sub", samples, ints(architecture.receptive_field))
    return nodes.op("Add", nodes.op("Div", beyond, ints(architecture.hop)), ints(1), name="frames")


def plan(nodes: Nodes, samples: str, frames: str, architecture: Architecture, at_most: int) -> Segments:
    """Cut a window into segments of equally many frames, ``at_most`` each; those of the last that lie beyond the end are to be dropped."""
    count = nodes.ceil_div(frames, ints(at_most))
    segment_frames = nodes.ceil_div(frames, count)
    hop = architecture.hop
    filled = architecture.filled_taps - architecture.kernels[0]
    window_blocks = nodes.ceil_div(nodes.op("Add", samples, ints(filled)), ints(hop))
    segment_blocks = nodes.op("Add", segment_frames, ints(math.ceil((architecture.receptive_field + filled) / hop) - 1))
    first = nodes.op("Unsqueeze", nodes.op("Mul", nodes.range(count), segment_frames), ints(1))
    inside = nodes.op("Min", nodes.op("Add", first, nodes.range(segment_blocks)), nodes.op("Sub", window_blocks, ints(1)))

    kernels, strides = architecture.kernels[1:], architecture.strides[1:]
    rows = _rows(nodes, segment_frames, kernels, strides)
    taps = []
    for layer, (kernel, stride) in enumerate(zip(kernels, strides, strict=True), start=1):
        if kernel == stride:
            taps.append(Taps(kernel, None))
            continue
        outputs = nodes.range(_rows(nodes, segment_frames, kernels[layer:], strides[layer:]))
        starts = nodes.op("Unsqueeze", nodes.op("Mul", outputs, ints(stride)), ints(1))
        taps.append(Taps(kernel, nodes.op("Reshape", nodes.op("Add", starts, np.arange(kernel)), ints(-1))))
    padded = nodes.op("Mul", window_blocks, ints(hop))
    return Segments(frames=frames, padded=padded, blocks=inside, rows=rows, taps=tuple(taps))


def _rows(nodes: Nodes, outputs: str, kernels: tuple[int, ...], strides: tuple[int, ...]) -> str:
    """Rows that a chain of convolutions reads for ``outputs`` rows: linear in them."""
    one = rows_for(1, kernels, strides)
    step = rows_for(2, kernels, strides) - one
    return nodes.op("Add", nodes.op("Mul", outputs, ints(step)), ints(one - step))
