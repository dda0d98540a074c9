"""Probabilities of overlapping windows in, one set of speakers for the whole recording out.

A model numbers its speakers anew in every window. :class:`SpeakerJoin` finds, for each pair of neighbouring windows, which column of one
is which column of the other, puts them in one order and averages what overlaps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wavlm_diarizer.timebase import TimeBase

ACTIVE = 0.5
"""A frame counts as activity, when windows are compared, if a probability is above this."""
LEAST_ACTIVITY_SECONDS = 0.5
"""With less activity than this on either side of a join there is nothing to compare: the order is kept and the join is uncertain."""
IDENTITY_PREFERENCE = 1e-9
"""Added to the correlation of a column with the one of the same number, so that ties keep the order on every machine."""


@dataclass(frozen=True)
class JoinedActivity:
    """The activity of a whole recording."""

    probabilities: NDArray[np.float32]
    """``[frames, labels]``, read-only."""
    uncertain_joins: tuple[float, ...]
    """Seconds (the middle of the overlap) of the joins at which nothing told who is who."""
    embeddings: NDArray[np.float32] | None = None
    """Each label's voice ``[labels, dim]``, of length 1 (zeros: never heard alone), read-only; None without a speaker model."""


class SpeakerJoin:
    """Takes the windows of one recording in order of time; what lies before the newest window is final and kept as float32.

    ``most``: if there are at most so many people, the labels that speak least are parts of the others, see :func:`fold`.
    """

    def __init__(self, labels: int, time_base: TimeBase, most: int | None = None) -> None:
        self._labels = labels
        self._most = most
        self._time_base = time_base
        self._final: list[NDArray[np.float32]] = []
        self._uncertain: list[float] = []
        self._first = 0
        """Frame at which the sums below begin."""
        self._sum = np.zeros((0, labels))
        self._weight = np.zeros((0, 1))
        self._previous_first = 0
        self._previous: NDArray[np.float64] = np.zeros((0, labels))

    def add(self, first_frame: int, probabilities: NDArray[np.floating[Any]]) -> None:
        """Add the next window's ``[frames, labels]``, which begins at ``first_frame`` of the recording."""
        columns: NDArray[np.float64] = np.asarray(probabilities, dtype=np.float64)
        if len(self._previous):
            columns = np.take(columns, self._order(first_frame, columns), axis=1)
        self._settle(first_frame)
        stop = first_frame + len(columns)
        missing = stop - (self._first + len(self._sum))
        if missing > 0:
            self._sum = np.concatenate((self._sum, np.zeros((missing, self._labels))))
            self._weight = np.concatenate((self._weight, np.zeros((missing, 1))))
        here = slice(first_frame - self._first, stop - self._first)
        weight = triangle(len(columns))[:, None]
        self._sum[here] += weight * columns
        self._weight[here] += weight
        self._previous_first, self._previous = first_frame, columns

    def result(self) -> JoinedActivity:
        """The averaged probabilities of all windows so far."""
        self._settle(self._first + len(self._sum))
        joined = np.concatenate(self._final) if self._final else np.zeros((0, self._labels), dtype=np.float32)
        if self._most is not None:
            joined = fold(joined, self._most)
        joined.setflags(write=False)
        return JoinedActivity(joined, tuple(self._uncertain))

    def _settle(self, before: int) -> None:
        """Average the frames before ``before``, to which no later window adds."""
        count = before - self._first
        self._final.append((self._sum[:count] / self._weight[:count]).astype(np.float32))
        self._sum, self._weight, self._first = self._sum[count:], self._weight[count:], before

    def _order(self, first_frame: int, probabilities: NDArray[np.float64]) -> NDArray[np.intp]:
        """For each column of the recording so far, the column of the new window that is the same speaker."""
        before = self._previous[first_frame - self._previous_first :]
        after = probabilities[: len(before)]
        before = before[: len(after)]
        least = self._time_base.whole_frames(LEAST_ACTIVITY_SECONDS)
        if min(_active_frames(before), _active_frames(after)) < least:
            if self._labels > 1:
                middle = self._time_base.first_sample(2 * first_frame + len(before))
                self._uncertain.append(self._time_base.seconds(middle) / 2)
            return np.arange(self._labels)
        return assign(correlation(before, after))


def fold(probabilities: NDArray[np.float32], most: int) -> NDArray[np.float32]:
    """The columns ``[frames, most]`` of a recording in which at most ``most`` people speak.

    The column with the least activity becomes one with the other with which it speaks together least (of equals, the one that speaks
    most): their higher probability. This is repeated until there are few enough.
    """
    columns = list(probabilities.T)
    while len(columns) > most:
        active = [np.count_nonzero(column > ACTIVE) for column in columns]
        weakest = min(reversed(range(len(columns))), key=lambda column: active[column])
        gone = columns.pop(weakest)
        active.pop(weakest)
        together = [np.count_nonzero((column > ACTIVE) & (gone > ACTIVE)) for column in columns]
        home = min(range(len(columns)), key=lambda column: (together[column], -active[column]))
        columns[home] = np.maximum(columns[home], gone)
    return np.stack(columns, axis=1)


def triangle(frames: int) -> NDArray[np.float64]:
    """Weights ``[frames]`` of a window: 1 at its edges, rising by 1 a frame to its middle."""
    rising = np.arange(1, frames + 1, dtype=np.float64)
    return np.minimum(rising, rising[::-1])


def correlation(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """The correlation ``[labels, labels]`` of every column of ``left`` with every column of ``right``: the sum of their products.

    Not divided by the columns' deviations, so that a silent column's noise has no say. The assignment with the highest total is then also
    the one with the least squared difference (measured against Pearson's coefficient and others in ``docs/decisions/joining.md``).
    """
    return left.T @ right


def assign(score: NDArray[np.float64]) -> NDArray[np.intp]:
    """The one-to-one assignment of columns to rows of a square matrix with the highest total: for each row its column.

    The Hungarian method with potentials, O(n^3) (Kuhn 1955; Jonker and Volgenant 1987). Equal totals keep the order.
    """
    size = len(score)
    cost = -(score + IDENTITY_PREFERENCE * np.eye(size))
    row_potential, column_potential = np.zeros(size + 1), np.zeros(size + 1)
    row_of = np.full(size + 1, -1)  # the row that holds each column; the extra last column starts each search
    for row in range(size):
        row_of[size] = row
        column = size
        least = np.full(size, np.inf)
        came_from = np.full(size, -1)
        done = np.zeros(size + 1, dtype=bool)
        while row_of[column] >= 0:
            done[column] = True
            current = row_of[column]
            reduced = cost[current] - row_potential[current] - column_potential[:size]
            better = ~done[:size] & (reduced < least)
            least[better], came_from[better] = reduced[better], column
            following = int(np.argmin(np.where(done[:size], np.inf, least)))
            delta = least[following]
            held = np.flatnonzero(done)
            row_potential[row_of[held]] += delta
            column_potential[held] -= delta
            least[~done[:size]] -= delta
            column = following
        while column != size:
            row_of[column], column = row_of[came_from[column]], int(came_from[column])
    return np.argsort(row_of[:size])


def _active_frames(probabilities: NDArray[np.float64]) -> int:
    """Frames in which at least one label is on."""
    return int(np.count_nonzero((probabilities > ACTIVE).any(axis=1)))
