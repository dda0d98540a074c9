"""Compare ways to make people of the local speakers of windows: ours, agglomerative, spectral, VBx-style and the join without voices.

Every recording is heard once; each way gets the same local speakers. The others' thresholds are the best of a few **on these very
recordings**, which favours them; ours are the model file's. Each way is run with and without the overlap of windows as evidence: for the
others, local speakers whose activity agrees on an overlap are one before clustering begins. DER is counted in frames, without a collar,
overlap scored, by the plain threshold of 0.5.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from report import table
from wavlm_diarizer import Diarization, Diarizer
from wavlm_diarizer.agglomeration import Voices, groups
from wavlm_diarizer.assignment import NOBODY, best_distinct
from wavlm_diarizer.clustering import Clustering, LocalSpeakers, SpeakerCount, cluster
from wavlm_diarizer.speakers import SpeakerJoin, triangle
from wavlm_diarizer.tuning import frame_errors, spoken

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from wavlm_diarizer.timebase import TimeBase

    Partition = NDArray[np.int64]

RATE = 50.0
LEAST_SOLO = 50
"""Frames of solo speech of a local speaker that the others cluster; all are assigned to the nearest people in the end."""
LEAST_PERSON = 150
"""Frames of solo speech of a person in the others' results."""
AGREEMENT = 0.7
COSINES = (0.2, 0.35, 0.5, 0.65)
"""The others' thresholds, on the scale on which different people have 0."""


@dataclass(frozen=True)
class Case:
    """One recording, heard."""

    name: str
    samples: int
    windows: tuple[tuple[int, NDArray[np.float32]], ...]
    local: LocalSpeakers
    speech: NDArray[np.bool_]
    """Who speaks, ``[frames, speakers]``, by the reference."""
    settings: Clustering
    """The model's."""
    time_base: TimeBase

    @property
    def solo(self) -> NDArray[np.float32]:
        """Frames of solo speech ``[windows, labels]``, 0 for who is silent."""
        return np.where(self.local.active > 0, self.local.solo, 0).astype(np.float32)


def ours(case: Case, count: int | None, _: float, *, overlap: bool) -> Partition:
    """The runtime's own clustering."""
    settings = case.settings if overlap else replace(case.settings, overlap_weight=0.0)
    return cluster(case.local, SpeakerCount.of(count), settings, sum(len(window) for _, window in case.windows), RATE)


def agglomerative(case: Case, count: int | None, cosine: float, *, overlap: bool) -> Partition:
    """Average linkage down to a threshold or a count, never two local speakers of one window in one group."""
    different = case.settings.different
    least = different + (1 - different) * cosine if count is None else -2.0
    voices = Voices(case.local.embeddings, np.minimum(case.solo, 200) / 200, case.solo)
    group = groups(voices, LEAST_SOLO, least, count or 1, 10**6)
    return nearest(case, chained(case, group) if overlap else group, count)


def spectral(case: Case, count: int | None, cosine: float, *, overlap: bool) -> Partition:
    """Eigenvectors of the normalised Laplacian of cosines above a threshold; the largest gap of eigenvalues tells the count."""
    group = items(case, overlap=overlap)
    if group.max() < 1:
        return nearest(case, group, count)
    unit = mean_voices(case, group)
    different = case.settings.different
    affinity = np.maximum((unit @ unit.T - different) / (1 - different) - cosine, 0.0)
    np.fill_diagonal(affinity, 1.0)
    scale = 1 / np.sqrt(affinity.sum(axis=1))
    values, vectors = np.linalg.eigh(np.eye(len(unit)) - scale[:, None] * affinity * scale)
    most = min(12, len(unit) - 1)
    found = count or int(np.argmax(np.diff(values[: most + 1]))) + 1
    points = vectors[:, :found]
    labels = k_means(points / (np.linalg.norm(points, axis=1, keepdims=True) + 1e-9), found)
    return nearest(case, np.where(group == NOBODY, NOBODY, labels[group]), count)


def vbx(case: Case, count: int | None, cosine: float, *, overlap: bool) -> Partition:
    """Variational Bayes over a mixture of spherical voices, after VBx (Landini et al. 2022) without its PLDA and its order of time.

    Begins with agglomerative groups; ``cosine`` sets how much the prior on voices counts. With a count, the groups it begins with.
    """
    group = items(case, overlap=overlap)
    if group.max() < 1:
        return nearest(case, group, count)
    unit = mean_voices(case, group)
    different = case.settings.different
    centred = unit - unit.mean(axis=0) * different**0.5
    dim = centred.shape[1]
    within = max(1 - different, 0.05) * 0.4 / dim
    between = max(1 - different, 0.05) * 0.6 / dim
    points = centred / within**0.5
    ratio = between / within
    begin = agglomerated(unit, different + (1 - different) * (0.6 if count is None else -9), count or 1)
    share = np.eye(begin.max() + 1)[begin] * 0.9 + 0.1 / (begin.max() + 1)
    share /= share.sum(axis=1, keepdims=True)
    prior = np.full(share.shape[1], 1 / share.shape[1])
    acoustic, strictness = 0.3, 20.0 * cosine
    for _ in range(40):
        precision = 1 / (1 + acoustic / strictness * share.sum(axis=0) * ratio)
        centre = acoustic / strictness * precision[:, None] * (share.T @ (points * ratio**0.5))
        fit = points * ratio**0.5 @ centre.T - 0.5 * ratio * (dim * precision + (centre**2).sum(axis=1))
        logarithm = acoustic * fit + np.log(prior + 1e-12)
        share = np.exp(logarithm - logarithm.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        if count is None:
            prior = share.sum(axis=0) / len(share)
    labels = np.unique(share.argmax(axis=1), return_inverse=True)[1]
    return nearest(case, np.where(group == NOBODY, NOBODY, labels[group]), count)


def items(case: Case, *, overlap: bool) -> Partition:
    """The item ``[windows, labels]`` of each local speaker that is clustered; chains are one item."""
    group = np.full(case.solo.shape, NOBODY)
    rows, columns = np.nonzero(case.solo >= LEAST_SOLO)
    group[rows, columns] = np.arange(len(rows))
    if overlap:
        group = chained(case, group)
        kept = group != NOBODY
        group[kept] = np.unique(group[kept], return_inverse=True)[1]
    return group


def chained(case: Case, group: Partition) -> Partition:
    """The groups after those were made one whose members agree on an overlap."""
    group = group.copy()
    for window in range(1, len(group)):
        common = case.local.common[window].astype(np.float64)
        rest = common.sum(axis=1, keepdims=True) + common.sum(axis=0, keepdims=True) - common
        share = common / np.maximum(rest, 1e-9)
        for before, after in np.argwhere(share >= AGREEMENT):
            left, right = group[window - 1, before], group[window, after]
            clash = left != right and np.any((group == left).any(axis=1) & (group == right).any(axis=1))
            if min(left, right) != NOBODY and common[before, after] >= LEAST_SOLO and not clash:
                group[group == right] = left
    return group


def mean_voices(case: Case, group: Partition) -> NDArray[np.float64]:
    """The voice of each group, of length 1."""
    sums = np.zeros((group.max() + 1, case.local.embeddings.shape[2]))
    own = group != NOBODY
    np.add.at(sums, group[own], np.minimum(case.solo[own], 200)[:, None] * case.local.embeddings[own])
    return np.asarray(sums / (np.linalg.norm(sums, axis=1, keepdims=True) + 1e-9))


def agglomerated(unit: NDArray[np.float64], least: float, fewest: int) -> NDArray[np.int64]:
    """Average linkage of items without constraints."""
    solo = np.full((len(unit), 1), 100.0, dtype=np.float32)
    voices = Voices(unit[:, None].astype(np.float32), np.ones_like(solo), solo)
    return groups(voices, 1.0, least, fewest, 10**6)[:, 0]


def k_means(points: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Lloyd's algorithm from the points that are furthest from each other."""
    chosen = [0]
    while len(chosen) < min(count, len(points)):
        distance = ((points[:, None] - points[chosen]) ** 2).sum(axis=2).min(axis=1)
        chosen.append(int(distance.argmax()))
    centres = points[chosen]
    for _ in range(50):
        labels = ((points[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        centres = np.stack([points[labels == one].mean(axis=0) if np.any(labels == one) else centres[one] for one in range(len(centres))])
    return np.asarray(labels)


def nearest(case: Case, group: Partition, count: int | None) -> Partition:
    """Everybody to the people of a clustering: those with enough solo speech (or the ``count`` largest), each window in one assignment."""
    if group.max() < 0:
        return group
    size = np.bincount(group[group != NOBODY], weights=case.solo[group != NOBODY])
    kept = np.flatnonzero(size >= LEAST_PERSON) if count is None else np.argsort(-size, kind="stable")[:count]
    if not len(kept):
        kept = np.array([int(size.argmax())])
    number = np.full(len(size) + 1, NOBODY)
    number[kept] = np.arange(len(kept))
    centres = mean_voices(case, number[group])
    voice = (case.local.embeddings @ centres.T * case.solo[..., None]).astype(np.float32)
    return best_distinct(voice, case.local.active > 0)


def oracle(case: Case) -> Partition:
    """For each window the assignment to the true speakers that is right in most frames."""
    frames = max(first + len(window) for first, window in case.windows)
    true = np.pad(case.speech, ((0, max(0, frames - len(case.speech))), (0, 0))).astype(np.float32)
    gain = np.stack([(window > 0.5).T.astype(np.float32) @ (2 * true[first : first + len(window)] - 1) for first, window in case.windows])
    best = best_distinct(gain, case.local.active > 0)
    rows, columns = np.nonzero(best != NOBODY)
    wrong = gain[rows, columns, best[rows, columns]] <= 0
    best[rows[wrong], columns[wrong]] = NOBODY
    return best


@dataclass(frozen=True)
class Errors:
    """What a result is worth, in frames of one speaker."""

    speech: float
    errors: float
    """Missed, false alarm and confusion."""
    confusion: float
    right: int
    """Recordings with the right count of speakers."""
    recordings: int

    @classmethod
    def total(cls, every: Sequence[Errors]) -> Errors:
        """The sum over recordings."""
        return cls(*(sum(getattr(one, field.name) for one in every) for field in fields(cls)))


def scored(case: Case, who: Partition | None) -> Errors:
    """The errors of a partition, by the plain threshold of 0.5; None: of the join without voices."""
    if who is None:
        join = SpeakerJoin(case.local.active.shape[1], case.time_base)
        for first, window in case.windows:
            join.add(first, window)
        activity = join.result().probabilities
    else:
        frames = max(first + len(window) for first, window in case.windows)
        activity, weights = np.zeros((frames, max(int(who.max()), 0) + 1), dtype=np.float32), np.zeros((frames, 1), dtype=np.float32)
        for (first, window), people in zip(case.windows, who, strict=True):
            weight = triangle(len(window))[:, None].astype(np.float32)
            weights[first : first + len(window)] += weight
            for column in np.flatnonzero(people != NOBODY):
                activity[first : first + len(window), people[column]] += weight[:, 0] * window[:, column]
        activity /= weights
    found, truth = activity > 0.5, case.speech
    length = max(len(found), len(truth))
    found, truth = (np.pad(side, ((0, length - len(side)), (0, 0))) for side in (found, truth))
    errors = frame_errors(truth, found)
    larger = np.maximum(truth.sum(axis=1), found.sum(axis=1)).sum()
    both = np.minimum(truth.sum(axis=1), found.sum(axis=1)).sum()
    right_count = int(np.count_nonzero(found.any(axis=0)) == truth.shape[1])
    return Errors(float(truth.sum()), errors, float(both - (larger - errors)), right_count, 1)


WAYS: dict[str, tuple[Callable[..., Partition], bool]] = {
    "ours": (ours, False),
    "agglomerative, average linkage": (agglomerative, True),
    "spectral, eigengap": (spectral, True),
    "VBx-style": (vbx, True),
}
"""Each way, and whether it has a threshold to be chosen."""


def heard(diarizer: Diarizer, folder: Path) -> list[Case]:
    """The recordings of a folder with their truth."""
    cases = []
    for path in sorted(folder.glob("*.flac")):
        answers = diarizer.heard(path)
        local = diarizer.local_speakers(answers)
        if local is not None:
            windows = tuple((first, np.asarray(answer.probabilities, dtype=np.float32)) for first, answer in answers.windows)
            turns, base = Diarization.load(path.with_suffix(".rttm")), diarizer.time_base
            truth = spoken(turns, base.whole_frames(turns.duration) + 1, base)
            cases.append(Case(path.stem, answers.samples, windows, local, truth, diarizer.settings.clustering, base))
    return cases


def compared(sets: dict[str, list[Case]]) -> list[list[str]]:
    """A row for each way: DER, confusion and right counts on each set, and the confusion when told the true count."""
    rows = [
        ["oracle assignment", "", *(cells([scored(case, oracle(case)) for case in cases], None) for cases in sets.values())],
        ["join without voices", "yes", *(cells([scored(case, None) for case in cases], None) for cases in sets.values())],
    ]
    for name, (way, has_threshold) in WAYS.items():
        for overlap in (False, True):
            best: dict[str, list[Errors]] = {}
            for threshold in COSINES if has_threshold else (0.0,):
                found = {key: [scored(case, way(case, None, threshold, overlap=overlap)) for case in cases] for key, cases in sets.items()}
                if not best or rate(found) < rate(best):
                    best, chosen = found, threshold
            told = {
                key: [scored(case, way(case, case.speech.shape[1], chosen, overlap=overlap)) for case in cases]
                for key, cases in sets.items()
            }
            label = f"{name} ({chosen:g})" if has_threshold else name
            rows.append([label, "yes" if overlap else "no", *(cells(best[key], told[key]) for key in sets)])
            print(" | ".join(rows[-1]), file=sys.stderr)
    return rows


def rate(found: dict[str, list[Errors]]) -> float:
    """The DER over all sets, each of the same weight."""
    whole = [Errors.total(one) for one in found.values()]
    return sum(one.errors / one.speech for one in whole)


def cells(found: Sequence[Errors], told: Sequence[Errors] | None) -> str:
    """DER (confusion), right counts; confusion when told."""
    whole = Errors.total(found)
    text = f"{100 * whole.errors / whole.speech:.1f} ({100 * whole.confusion / whole.speech:.1f}), {whole.right}/{whole.recordings}"
    if told is None:
        return text
    whole = Errors.total(told)
    return f"{text}; {100 * whole.confusion / whole.speech:.1f}"


def main(arguments: list[str] | None = None) -> int:
    """Compare, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL", help="file with a speaker head")
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="recordings (.flac) with their .rttm beside them")
    options = parser.parse_args(arguments)
    diarizer = Diarizer(options.model)
    sets = {folder.name: heard(diarizer, folder) for folder in options.folders}
    print(table(("way", "overlap of windows", *sets), compared(sets)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
