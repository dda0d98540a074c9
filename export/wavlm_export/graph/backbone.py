"""Windows of samples in, all hidden states of the model under a head out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wavlm_export.graph.conv_stack import conv_stack
from wavlm_export.graph.encoder import hidden_states, projection
from wavlm_export.graph.position import relative_bias
from wavlm_export.graph.segments import plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wavlm_export.graph.architecture import Architecture
    from wavlm_export.graph.nodes import Nodes
    from wavlm_export.graph.products import Precision
    from wavlm_export.graph.segments import Segments
    from wavlm_export.graph.weights import Weights

SEGMENT_FRAMES = {"fp32": 64, "int8": 16}
"""Of the conv stack's segments. Shorter ones fit the caches, which int8 needs more; longer ones compute fewer rows twice (0.4, 1.5 %)."""


@dataclass(frozen=True)
class Backbone:
    """A model under a head, with what is the same for all windows of a run."""

    weights: Weights
    architecture: Architecture
    segments: Segments
    bias: str | None
    """The position bias, where the architecture has one."""

    @classmethod
    def planned(
        cls, nodes: Nodes, samples: str, frames: str, weights: Weights, architecture: Architecture, precision: Precision
    ) -> Backbone:
        """Write what depends on the windows' length alone. ``samples``, ``frames``: how many, vectors of one integer."""
        segments = plan(nodes, samples, frames, architecture, SEGMENT_FRAMES["int8" if precision.int8 else "fp32"])
        bias = relative_bias(nodes, frames, weights.at("encoder.layers.0.attention"), architecture) if architecture.buckets else None
        return cls(weights, architecture, segments, bias)

    def states(self, nodes: Nodes, windows: str, precision: Precision) -> Iterator[str]:
        """The embeddings and each layer's output, ``[batch, frames, hidden]``, of windows ``[batch, samples]``."""
        weights, architecture = self.weights, self.architecture
        features = conv_stack(nodes, windows, self.segments, weights.at("feature_extractor"), architecture, precision)
        projected = projection(nodes, features, weights.at("feature_projection"), architecture, precision)
        yield from hidden_states(nodes, projected, self.bias, weights.at("encoder"), architecture, precision)
