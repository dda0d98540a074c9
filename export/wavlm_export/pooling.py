"""The frames of a speaker model's TDNN and who speaks when in, what each speaker's embedding is made from out; in NumPy, in float64.

Graphs pool in operators of their own; this is what they are compared with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_FRAMES = 2
"""Fewer have no deviation: the embedding is zeros."""


@dataclass(frozen=True)
class Context:
    """How the frames of a TDNN lie over those of the encoder.

    Frame ``j`` of the TDNN covers the encoder's ``j .. j + beyond`` and belongs to the one in the middle, ``j + offset``.
    """

    beyond: int
    """By so many the encoder's frames are more: 14 with transformers' default kernels and dilations."""

    @classmethod
    def of(cls, config: Any) -> Context:
        """That of a transformers config with ``tdnn_kernel`` and ``tdnn_dilation``."""
        return cls(sum((taps - 1) * dilation for taps, dilation in zip(config.tdnn_kernel, config.tdnn_dilation, strict=True)))

    @property
    def offset(self) -> int:
        """Frames on the left of the middle: 7 by default; of an odd context the smaller half."""
        return self.beyond // 2

    def alone(self, activity: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
        """At which TDNN frames each label is the only one that speaks: ``[tdnn_frames, labels]``.

        ``activity``: logits ``[frames, labels]``; above 0 is on.
        """
        on = activity > 0
        alone: NDArray[np.bool_] = on & (on.sum(axis=1, keepdims=True) == 1)
        counted = max(len(activity) - self.beyond, 0)
        return alone[self.offset : self.offset + counted]


def pooled(frames: NDArray[np.floating[Any]], alone: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Mean and unbiased standard deviation of each label's frames, ``[labels, 2 * width]``, and how many those are.

    ``frames``: ``[tdnn_frames, width]``; ``alone``: ``[tdnn_frames, labels]``. A label with too few frames has zeros.
    """
    statistics = np.zeros((alone.shape[1], 2 * frames.shape[1]))
    for label, own in enumerate(alone.T):
        if own.sum() >= LEAST_FRAMES:
            chosen = frames[own].astype(np.float64)
            statistics[label] = np.concatenate([chosen.mean(axis=0), chosen.std(axis=0, ddof=1)])
    return statistics, alone.sum(axis=0).astype(np.int64)
