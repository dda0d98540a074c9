"""Voices of local speakers in, groups of alike voices out: average linkage in blocks, for recordings of any length.

Clustering of n voices at once takes n^2 memory, so no more than :data:`BLOCK` are looked at together: first the local speakers of each
stretch of the recording, then the groups of several stretches, until one block holds all groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np

from wavlm_diarizer.assignment import NOBODY

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK = 300
"""At most so many groups are compared with each other at once."""
MANY = 2000
"""Of more voices than that, only those of every second window are grouped; all are assigned afterwards anyway."""
APART = -9.0
"""The likeness of two groups that cannot be one person."""
LEAST_GAIN = 0.9
"""If a pass leaves more than this share of the groups, voices are too different to go on like that: only the largest groups are kept."""


@dataclass(frozen=True)
class Voices:
    """The voices of local speakers ``[windows, labels]``."""

    embeddings: NDArray[np.float32]
    """``[windows, labels, dim]``, of length 1."""
    certainty: NDArray[np.float32]
    """``[windows, labels]``: the weight of each, 0 to 1."""
    solo: NDArray[np.float32]
    """``[windows, labels]``: the amount of speech that each was heard in; only those above 0 are grouped."""


def groups(voices: Voices, least_solo: float, least_cosine: float, fewest: int, most: int) -> NDArray[np.int64]:
    """The group ``[windows, labels]`` of every voice with ``least_solo`` speech, :data:`NOBODY` for the others.

    Groups become one as long as their mean cosine is above ``least_cosine`` and there are more than ``fewest``; of more than ``most`` the
    largest are kept. If there are fewer voices with that much speech than ``fewest``, all voices are taken.
    """
    solo = voices.solo.ravel()
    members = np.flatnonzero(solo >= least_solo)
    if len(members) > MANY:
        # Windows overlap by half: every second one has heard everything.
        labels = voices.solo.shape[1]
        members = members[members // labels % 2 == 0]
    if len(members) < max(fewest, 1):
        members = np.flatnonzero(solo > 0)
    group = np.full(len(solo), NOBODY)
    group[members] = np.arange(len(members))
    while True:
        count = int(group.max(initial=NOBODY)) + 1
        whole = count <= BLOCK
        merged, found = np.empty(count, dtype=np.int64), 0
        for first in range(0, count, BLOCK):
            block = slice(first, min(first + BLOCK, count))
            merged[block] = found + _merged(voices, group, block, least_cosine, fewest if whole else 1)
            found = int(merged[block].max()) + 1
        group = np.where(group == NOBODY, NOBODY, merged[group])
        if whole:
            return _largest(group, solo, max(most, fewest)).reshape(voices.solo.shape)
        if found > LEAST_GAIN * count:
            group = _largest(group, solo, BLOCK)


def _largest(group: NDArray[np.int64], solo: NDArray[np.float32], most: int) -> NDArray[np.int64]:
    """The groups with the most speech, numbered in their old order; members of the others belong to nobody."""
    size = np.bincount(group[group != NOBODY], weights=solo[group != NOBODY])
    kept = np.sort(np.argsort(-size, kind="stable")[:most])
    number = np.full(len(size) + 1, NOBODY)  # the extra last one is nobody's
    number[kept] = np.arange(len(kept))
    return number[group]


def _merged(voices: Voices, group: NDArray[np.int64], block: slice, least_cosine: float, fewest: int) -> NDArray[np.int64]:
    """New numbers, from 0, for the groups of a block: the two most alike become one, again and again."""
    count, labels = block.stop - block.start, voices.solo.shape[1]
    inside = np.flatnonzero((group >= block.start) & (group < block.stop))
    of = group[inside] - block.start
    certainty = voices.certainty.ravel()[inside]
    sums = np.zeros((count, voices.embeddings.shape[2]), dtype=np.float32)
    np.add.at(sums, of, certainty[:, None] * voices.embeddings.reshape(len(group), -1)[inside])
    weight = np.bincount(of, weights=certainty, minlength=count).astype(np.float32)
    # The mean of all pairs' cosines is the product of the groups' sums by their weights; sums of groups add up, and so do their products.
    products = sums @ sums.T
    apart = np.eye(count, dtype=bool)
    row = np.full(len(group), NOBODY)
    row[inside] = of
    for one, other in permutations(row.reshape(-1, labels).T, 2):
        both = (one != NOBODY) & (other != NOBODY)
        apart[one[both], other[both]] = True
    alike = np.where(apart, np.float32(APART), products / np.outer(weight, weight))
    nearest = alike.argmax(axis=1)
    best = alike[np.arange(count), nearest]
    number = np.arange(count)
    for _ in range(count - max(fewest, 1)):
        left = int(best.argmax())
        right = int(nearest[left])
        if best[left] < least_cosine:
            break
        left, right = min(left, right), max(left, right)
        number[number == right] = left
        weight[left] += weight[right]
        products[left] += products[right]
        products[:, left] += products[:, right]
        apart[left] |= apart[right]
        apart[:, left] |= apart[:, right]
        apart[right] = apart[:, right] = True
        alike[left] = alike[:, left] = np.where(apart[left], np.float32(APART), products[left] / (weight[left] * weight))
        alike[right] = alike[:, right] = APART
        # Only rows whose nearest group has changed have to be searched again.
        stale = (nearest == left) | (nearest == right)
        stale[[left, right]] = True
        closer = alike[left] > best
        nearest[closer], best[closer] = left, alike[left, closer]
        nearest[stale] = alike[stale].argmax(axis=1)
        best[stale] = alike[stale, nearest[stale]]
    return np.unique(number, return_inverse=True)[1]
