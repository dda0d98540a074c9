"""How well each speaker of a window fits each person in, who is whom out: the best assignment, window by window.

Two speakers of one window are never the same person.
"""

from __future__ import annotations

from itertools import combinations, product
from typing import TYPE_CHECKING

import numpy as np

from wavlm_diarizer.speakers import assign

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOBODY = -1
"""The person of a column that is silent, or of one too many for the people that there are."""
NOBODY_SCORE = -1e4
"""What it costs to leave out a column that speaks: more than any score, so that it happens only where there are too few people."""
FEW_LABELS = 4
"""Up to so many columns are assigned by trying every combination of their best people, all windows at once."""
CELLS_AT_ONCE = 4_000_000
"""Numbers in one go of that, which bounds its memory."""


def best_distinct(score: NDArray[np.float32], speaking: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The people ``[windows, labels]`` with the highest total of ``score [windows, labels, people]``, distinct in each window.

    Columns that do not speak are :data:`NOBODY`; so are those that are one too many. Scores lie above :data:`NOBODY_SCORE`.
    """
    answer = np.where(speaking, score.argmax(axis=2), NOBODY)
    clash = np.zeros(len(answer), dtype=bool)
    for one, other in combinations(range(answer.shape[1]), 2):
        clash |= (answer[:, one] == answer[:, other]) & (answer[:, one] != NOBODY)
    # Where everybody's best person is another one, that is the best assignment.
    rows = np.flatnonzero(clash)
    solve = _by_combinations if score.shape[1] <= FEW_LABELS else _one_by_one
    answer[rows] = solve(score[rows], speaking[rows])
    return answer


def _by_combinations(score: NDArray[np.float32], speaking: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Among its best ``labels`` people, or nobody, there is for each column the one that it has in the best assignment."""
    windows, labels, people = score.shape
    kept = min(labels, people)
    candidates = np.argsort(-score, axis=2, kind="stable")[..., :kept]
    value = np.where(speaking[..., None], np.take_along_axis(score, candidates, axis=2), np.float32(2 * NOBODY_SCORE))
    candidates = np.concatenate((candidates, np.full((windows, labels, 1), NOBODY)), axis=2)
    value = np.concatenate((value, np.where(speaking, np.float32(NOBODY_SCORE), np.float32(0))[..., None]), axis=2)
    choices = np.array(list(product(range(kept + 1), repeat=labels)))
    columns = np.arange(labels)
    answer = np.empty((windows, labels), dtype=np.int64)
    step = max(1, CELLS_AT_ONCE // choices.size)
    for first in range(0, windows, step):
        here = slice(first, first + step)
        people_of = candidates[here][:, columns, choices]
        total = value[here][:, columns, choices].sum(axis=2)
        for one, other in combinations(columns, 2):
            total[(people_of[..., one] == people_of[..., other]) & (people_of[..., one] != NOBODY)] = -np.inf
        answer[here] = people_of[np.arange(len(total)), total.argmax(axis=1)]
    return answer


def _one_by_one(score: NDArray[np.float32], speaking: NDArray[np.bool_]) -> NDArray[np.int64]:
    """One assignment problem for each window."""
    windows, labels, people = score.shape
    answer = np.full((windows, labels), NOBODY)
    for window in range(windows):
        columns = np.flatnonzero(speaking[window])
        size = max(len(columns), people)
        square = np.full((size, size), NOBODY_SCORE)
        square[: len(columns), :people] = score[window, columns]
        chosen = assign(square)[: len(columns)]
        answer[window, columns] = np.where(chosen < people, chosen, NOBODY)
    return answer
