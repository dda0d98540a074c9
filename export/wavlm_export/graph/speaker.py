"""A speaker model in, how its embeddings come into the graph of a frame classifier out: on the same backbone, or on its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from wavlm_export.graph.architecture import Architecture
from wavlm_export.graph.backbone import Backbone
from wavlm_export.graph.nodes import ints
from wavlm_export.graph.parts import groups
from wavlm_export.graph.smoothing import row_magnitudes
from wavlm_export.graph.weights import Weights
from wavlm_export.graph.x_vector import PROJECTOR, XVector, x_vector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wavlm_export.graph.nodes import Nodes
    from wavlm_export.graph.parts import Group
    from wavlm_export.graph.products import Precision
    from wavlm_export.speaker_model import SpeakerModel

SECOND_PASS = "second pass "  # noqa: S105 - no word that opens anything
"""What the names of a speaker model's own backbone's parts begin with."""
NORMALISE_EPSILON = 1e-7
"""As in :func:`wavlm_diarizer.windows.normalise`."""


@dataclass(frozen=True)
class Speaker:
    """What the graph builder needs to know of a speaker model."""

    weights: Weights
    head: XVector
    encoder_name: str
    """What the checkpoint calls the model under the head, such as ``wavlm``."""
    backbone: Architecture | None = None
    """Of a backbone of its own; ``None``: it is the frame classifier's."""
    normalises: bool = False
    """Its own backbone wants normalised samples, and the graph gets them as they are."""

    @classmethod
    def of(cls, speaker: SpeakerModel) -> Speaker:
        """Raises :class:`CheckpointError` if it has a backbone of its own whose architecture is not supported."""
        return cls(
            weights=Weights.of(speaker.model),
            head=XVector.of(speaker.config),
            encoder_name=str(speaker.model.base_model_prefix),
            backbone=None if speaker.shared else Architecture.of(speaker.config),
            normalises=speaker.normalises,
        )

    def groups(self) -> dict[str, Group]:
        """The groups of products that it adds to the frame classifier's."""
        own = {} if self.backbone is None else groups(self.backbone)
        second = {SECOND_PASS + name: group.under(SECOND_PASS) for name, group in own.items()}
        return second | self.head.groups()

    def row_magnitudes(self) -> dict[str, NDArray[np.float32]]:
        """The largest weight ``[inputs]`` that each channel of a part's input meets, as in :mod:`wavlm_export.graph.smoothing`.

        The TDNN's products are left out: a channel meets them under several taps.
        """
        found = {PROJECTOR: np.abs(self.weights["projector.weight"]).max(axis=0)}
        if self.backbone is not None:
            second = row_magnitudes(self.weights.at(self.encoder_name), self.backbone)
            found |= {SECOND_PASS + part: largest for part, largest in second.items()}
        return found


@dataclass(frozen=True)
class Voices:
    """A speaker model in a graph, with what is the same for all windows of a run."""

    speaker: Speaker
    frames: str
    second: Backbone | None

    @classmethod
    def planned(cls, nodes: Nodes, samples: str, frames: str, speaker: Speaker, precision: Precision) -> Voices:
        """Write what depends on the windows' length alone. ``samples``, ``frames``: how many, vectors of one integer."""
        if speaker.backbone is None:
            return cls(speaker, frames, None)
        with nodes.scope("second_pass"):
            weights = speaker.weights.at(speaker.encoder_name)
            return cls(speaker, frames, Backbone.planned(nodes, samples, frames, weights, speaker.backbone, precision))

    def pooled(self, nodes: Nodes, windows: str, states: Sequence[str], logits: str, precision: Precision) -> tuple[str, str]:
        """``embeddings`` ``[batch, labels, size]`` and ``embedding_frames`` ``[batch, labels]`` of windows ``[batch, samples]``.

        ``states``: the frame classifier's hidden states; ``logits``: ``[batch, frames, labels]``, above 0 where a label speaks.
        """
        if self.second is not None:
            states = self._second_pass(nodes, windows, self.second, precision)
        return x_vector(nodes, states, logits, self.frames, self.speaker.weights, self.speaker.head, precision)

    def _second_pass(self, nodes: Nodes, windows: str, second: Backbone, precision: Precision) -> list[str]:
        """The hidden states of the speaker model's own backbone."""
        own = precision.under(SECOND_PASS)
        with nodes.scope("second_pass"):
            if self.speaker.normalises:
                windows = normalised(nodes, windows)
            states = list(second.states(nodes, windows, own))
        if precision.watched is not None and own.watched is not None:
            precision.watched.update({SECOND_PASS + part: value for part, value in own.watched.items()})
        return states


def normalised(nodes: Nodes, windows: str) -> str:
    """Windows ``[batch, samples]`` of zero mean and unit variance each."""
    exact = nodes.op("Cast", windows, to=TensorProto.DOUBLE)
    apart = nodes.op("Sub", exact, nodes.op("ReduceMean", exact, ints(1), keepdims=1))
    variance = nodes.op("ReduceMean", nodes.op("Mul", apart, apart), ints(1), keepdims=1)
    scaled = nodes.op("Div", apart, nodes.op("Sqrt", nodes.op("Add", variance, np.float64(NORMALISE_EPSILON))))
    return nodes.op("Cast", scaled, to=TensorProto.FLOAT, name="normalised")
