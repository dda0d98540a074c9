"""Recordings' local speakers in, the scale of a model's voices out: which cosine different people have, and how soon a voice is known.

Nobody has to say who is who for that. Two local speakers of one window are different people; those whose activity agrees on the overlap
of neighbouring windows are one person, so windows on both sides of a third one, which have no audio in common, give two samples of a voice.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from wavlm_diarizer.clustering import LocalSpeakers

LEAST_FRAMES = 25
"""Voices from less speech than half a second say nothing about the scale."""
LEAST_APART, LEAST_ALIKE = 10, 25
"""Pairs of either kind that it takes."""
AGREEMENT = 0.6
"""Share of the activity on an overlap that two columns have in common, if they are one person."""
HALF_SECONDS = tuple(float(round(value, 2)) for value in np.geomspace(0.1, 20.0, 48))
"""What is tried for the seconds after which a voice is half known."""


def voice_scale(recordings: Iterable[LocalSpeakers], rate: float) -> dict[str, float]:
    """The ``different`` and ``half_seconds`` of :class:`wavlm_diarizer.clustering.Clustering` for a model, as far as recordings show them.

    ``rate``: frames per second. ``different`` is the mean cosine of different people; ``half_seconds`` fits the cosines of one person's
    samples best by least squares.
    """
    apart: list[float] = []
    alike: list[tuple[float, float, float]] = []
    for local in recordings:
        usable = (local.active > 0) & (local.solo >= LEAST_FRAMES)
        for one, other in combinations(range(local.active.shape[1]), 2):
            both = usable[:, one] & usable[:, other]
            apart += np.sum(local.embeddings[both, one] * local.embeddings[both, other], axis=1).tolist()
        for window in range(2, len(usable)):
            for first, last in _same_person(local, window):
                if usable[window - 2, first] and usable[window, last]:
                    cosine = float(local.embeddings[window - 2, first] @ local.embeddings[window, last])
                    alike.append((cosine, float(local.solo[window - 2, first]), float(local.solo[window, last])))
    if len(apart) < LEAST_APART:
        return {}
    different = round(float(np.clip(np.mean(apart), -0.5, 0.99)), 4)
    if len(alike) < LEAST_ALIKE:
        return {"different": different}
    cosine, left, right = np.array(alike).T
    likeness = (cosine - different) / (1 - different)
    half = min(HALF_SECONDS, key=lambda seconds: _misfit(likeness, left / rate, right / rate, seconds))
    return {"different": different, "half_seconds": half}


def _misfit(likeness: NDArray[np.float64], left: NDArray[np.float64], right: NDArray[np.float64], half: float) -> float:
    expected = np.sqrt(left / (left + half) * right / (right + half))
    return float(np.mean((likeness - expected) ** 2))


def _same_person(local: LocalSpeakers, window: int) -> list[tuple[int, int]]:
    """Columns of the window two before and of this one that are one person by the window between."""
    before, after = _agreeing(local, window - 1), _agreeing(local, window)
    return [(first, after[middle]) for first, middle in before.items() if middle in after]


def _agreeing(local: LocalSpeakers, window: int) -> dict[int, int]:
    """For columns of the window before, the column of this one with which they share nearly all activity of the overlap."""
    common = local.common[window].astype(np.float64)
    rest = common.sum(axis=1, keepdims=True) + common.sum(axis=0, keepdims=True) - common
    share = np.divide(common, rest, out=np.zeros_like(common), where=rest > 0)
    return {
        int(row): int(share[row].argmax())
        for row in range(len(share))
        if share[row].max() >= AGREEMENT and common[row].max() >= LEAST_FRAMES and share[:, share[row].argmax()].argmax() == row
    }
