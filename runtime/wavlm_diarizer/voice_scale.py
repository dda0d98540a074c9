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

LEAST_FRAMES = 50
"""Voices from less speech than a second say nothing about the scale."""
LEAST_PAIRS = 20
"""Pairs of either kind that it takes."""
AGREEMENT = 0.7
"""Share of the activity on an overlap that two columns have in common, if they are one person."""
HALF_SECONDS = tuple(float(round(value, 2)) for value in np.geomspace(0.1, 20.0, 48))
"""What is tried for the seconds after which a voice is half known."""


def voice_scale(recordings: Iterable[LocalSpeakers], rate: float) -> tuple[float, float] | None:
    """The ``different`` and ``half_seconds`` of :class:`wavlm_diarizer.clustering.Clustering` for a model; None if there is too little.

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
    if min(len(apart), len(alike)) < LEAST_PAIRS:
        return None
    different = float(np.clip(np.mean(apart), -0.5, 0.99))
    cosine, left, right = np.array(alike).T
    return different, min(HALF_SECONDS, key=lambda half: _misfit((cosine - different) / (1 - different), left / rate, right / rate, half))


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
