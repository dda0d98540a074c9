"""Two answers to the same speech in, how far they are apart out: whether the labels that users see stay the same.

The limits are on what matters for labels: the shape of the logits over time, and the frames that are not on the threshold anyway.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wavlm_diarizer.diarizer import sigmoid

if TYPE_CHECKING:
    from numpy.typing import NDArray

CERTAIN = 0.05
"""Frames whose reference probability is nearer than this to the threshold may flip: any rounding would flip them."""


@dataclass(frozen=True)
class Limits:
    """How far an answer may be from its reference."""

    relative_rms: float = 0.06
    """Root mean square of the difference of the logits over that of the logits, each with its mean over time removed per label."""
    labels_equal: float = 0.995
    """Share of the certain frames with the same label."""
    mean_probability_difference: float = 0.02


@dataclass(frozen=True)
class Agreement:
    """How far an answer is from its reference."""

    relative_rms: float
    labels_equal: float
    mean_probability_difference: float

    def within(self, limits: Limits) -> bool:
        """Whether no limit is missed."""
        return (
            self.relative_rms <= limits.relative_rms
            and self.mean_probability_difference <= limits.mean_probability_difference
            and self.labels_equal >= limits.labels_equal
        )


def compare(reference: NDArray[np.floating[Any]], answer: NDArray[np.floating[Any]]) -> Agreement:
    """Compare logits ``[frames, labels]`` with those of the reference. What is no number is infinitely far away."""
    right, answered = reference.astype(np.float64), answer.astype(np.float64)
    difference = (answered - answered.mean(axis=0)) - (right - right.mean(axis=0))
    spread = float(np.sqrt(np.mean((right - right.mean(axis=0)) ** 2)))
    probability, answered_probability = sigmoid(right), sigmoid(answered)
    certain = np.abs(probability - 0.5) > CERTAIN
    same = (probability > 0.5) == (answered_probability > 0.5)
    return Agreement(
        relative_rms=float(np.nan_to_num(np.sqrt(np.mean(difference**2)) / max(spread, 1e-12), nan=np.inf)),
        labels_equal=float(same[certain].mean()) if certain.any() else 1.0,
        mean_probability_difference=float(np.nan_to_num(np.abs(probability - answered_probability).mean(), nan=np.inf)),
    )
