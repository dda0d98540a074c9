"""The kinds of graph that an export can write, in one table: a new one is a line here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from wavlm_export.graph.build import fast_graph
from wavlm_export.graph.quantizer import FastQuantizer
from wavlm_export.quantize import PortableQuantizer
from wavlm_export.reference import reference_graph

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    import numpy as np
    import onnx
    from numpy.typing import NDArray

    from wavlm_export.checkpoint import Checkpoint


class Quantizer(Protocol):
    """Makes int8 graphs of one checkpoint, with any groups of products left in fp32."""

    batch_independent: bool
    """Whether the answer to a window is the same whatever else is in its batch."""

    @property
    def groups(self) -> Mapping[str, int]:
        """The groups, and the work in each, in any unit."""

    @property
    def notes(self) -> Mapping[str, Any]:
        """What the file's report shall say besides."""

    def graph(self, keep: Collection[str]) -> onnx.ModelProto:
        """The graph with all groups in int8 but those in ``keep``."""


@dataclass(frozen=True)
class Kind:
    """One way to write a checkpoint as a graph."""

    fp32: Callable[[Checkpoint], onnx.ModelProto]
    """Raises :class:`wavlm_diarizer.errors.CheckpointError` for what it does not support."""
    quantizer: Callable[[Checkpoint, onnx.ModelProto, Sequence[NDArray[np.float32]]], Quantizer]
    """Of a checkpoint, its fp32 graph and windows of calibration speech ``[n]``, normalised as the checkpoint wants them."""


KINDS = {
    "fast": Kind(fast_graph, FastQuantizer),
    "portable": Kind(reference_graph, PortableQuantizer),
}
