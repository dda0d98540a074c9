"""The speakers of every window in, the people of the recording out.

A model numbers its speakers anew in every window. Here each *local speaker* (one column of one window) gets the number of a person, by its
voice and by the activity that neighbouring windows have in common. Two local speakers of one window are never one person.

1. Local speakers with enough speech of their own are grouped: many groups of voices that are surely alike.
2. All local speakers go to the group whose voice they resemble most, each window in one assignment, and the voices are computed again.
3. The two groups that are most likely one person become one, and step 2 is repeated, down to one person. So there is one partition for
   each number of people, whichever way the number is chosen: told, or the first at which no two groups are likely one person.
4. The chosen partition is settled with the activity on the overlap of windows, which tells whose the short and the overlapped speech is.

Time and memory grow in proportion to the recording. Compared with other methods in ``docs/decisions/clustering.md``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from itertools import permutations, product
from typing import TYPE_CHECKING, Any

import numpy as np

from wavlm_diarizer.agglomeration import APART, Voices, groups
from wavlm_diarizer.assignment import NOBODY, best_distinct
from wavlm_diarizer.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

CORE_SECONDS = 1.0
"""Groups are formed of local speakers with at least so much speech of their own."""
CORE_LIKENESS = 0.65
"""Groups stay apart at first if their voices are less alike than this times what is usual between two samples of one person."""
MOST_GROUPS = 40
"""The search for the number of people begins with at most so many groups, or with the number that was told."""
MOST_SECONDS = 4.0
"""A local speaker with more speech than this has no more weight."""
FIRST_ROUNDS, ROUNDS, SETTLING_ROUNDS = 6, 3, 4
"""How often all local speakers are assigned: at first, after each step, and in the end; less if nothing changes any more."""
OVERLAPPED_SHARE = 0.3
"""What overlapped speech of a person counts, against speech of their own, where the question is if there is such a person."""

BRIEF_LEAST, BRIEF_AT = 30.0, 160.0
"""Seconds of speech: up to the former :attr:`Clustering.brief_seconds` does not become less, at the latter it is as it is stated."""
BRIEF_BELOW, BRIEF_ABOVE = 0.5, 0.25
"""With less or more speech than that it is less or more, by these powers of the ratio: in an hour there are more errors than in a minute,
and longer ones, but not sixty times as long."""


@dataclass(frozen=True)
class Clustering:
    """How voices become people. A likeness is 0 between different people and 1 between two samples of one person, on average."""

    threshold: float = 0.45
    """Two people become one if their likeness, corrected by the two settings that follow, is above this."""
    brief_seconds: float = 2.28
    """Adds ``brief_seconds / s`` to the likeness of a person who speaks for ``s`` seconds in all: brief ones are mostly errors. That is in
    a recording with 160 s of speech; in shorter ones it is less, in longer ones more, see :data:`BRIEF_BELOW`."""
    together: float = 1.0
    """Taken from the likeness of two people who always speak in the same windows, and in proportion if they sometimes do."""
    different: float = 0.0
    """Mean cosine between the embeddings of different people."""
    half_seconds: float = 1.4
    """Seconds of solo speech in which an embedding is as much its person's voice as it is chance."""
    overlap_weight: float = 0.1
    """What a frame of activity that two windows have in common counts, against a frame of solo speech of the same voice."""
    known: float = 0.5
    """A speaker is somebody known if their likeness is above this."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
                raise OptionError(f"Clustering's {field.name} must be a finite number, not {value!r}.")
            object.__setattr__(self, field.name, float(value))
        if not -1.0 <= self.different < 1.0:
            raise OptionError(f"Clustering's different is a cosine, at least -1 and below 1, not {self.different}.")
        if min(self.brief_seconds, self.together, self.half_seconds, self.overlap_weight) < 0.0:
            raise OptionError("Clustering's brief_seconds, together, half_seconds and overlap_weight cannot be negative.")

    def likeness(self, cosine: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """Cosines on the scale on which different people have 0."""
        return (cosine - self.different) / (1 - self.different)

    def certainty(self, seconds: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """The expected cosine of an embedding of so many seconds of speech with its person's voice.

        Chance adds to an embedding as much as ``half_seconds / seconds`` of the voice's own variance.
        """
        return np.sqrt(seconds / (seconds + self.half_seconds + 1e-9))

    def as_dict(self) -> dict[str, float]:
        """The settings by name, as they are written into a model file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Clustering:
        """The settings back from :meth:`as_dict`; an unknown name raises :class:`OptionError`."""
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise OptionError(f"Clustering has no setting named {', '.join(unknown)}.")
        return cls(**values)


@dataclass(frozen=True)
class SpeakerCount:
    """How many people there may be."""

    least: int = 1
    most: int | None = None
    """None: any number."""

    @classmethod
    def of(cls, num_speakers: int | None = None, min_speakers: int | None = None, max_speakers: int | None = None) -> SpeakerCount:
        """The range that these arguments of a :class:`wavlm_diarizer.Diarizer` mean. Raises :class:`OptionError` for a contradiction."""
        for name, value in (("num_speakers", num_speakers), ("min_speakers", min_speakers), ("max_speakers", max_speakers)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise OptionError(f"{name} must be a whole number from 1 up, not {value!r}.")
        if num_speakers is not None:
            if min_speakers is not None or max_speakers is not None:
                raise OptionError("Give num_speakers, or min_speakers and max_speakers, not both.")
            return cls(num_speakers, num_speakers)
        if max_speakers is not None and (min_speakers or 1) > max_speakers:
            raise OptionError(f"min_speakers ({min_speakers}) cannot be more than max_speakers ({max_speakers}).")
        return cls(min_speakers or 1, max_speakers)

    def check_labels(self, labels: int, model: str) -> None:
        """Raise :class:`OptionError` if a model without voices, which tells at most ``labels`` people apart, cannot find that many."""
        if self.least > labels:
            raise OptionError(
                f"{model} tells at most {labels} speakers apart, not {self.least}: "
                "a file exported with --speaker-model knows voices and has no such limit."
            )

    def nearest(self, count: int) -> int:
        """The allowed number nearest to ``count``."""
        return max(self.least, count if self.most is None else min(count, self.most))


@dataclass(frozen=True)
class LocalSpeakers:
    """What is known of the local speakers of a recording, window by window in order of time."""

    active: NDArray[np.int64]
    """``[windows, labels]``: frames in which each speaks; 0 for a column that does not count."""
    solo: NDArray[np.int64]
    """``[windows, labels]``: frames that each voice was computed from; 0 where there is none."""
    embeddings: NDArray[np.float32]
    """``[windows, labels, dim]``: voices of length 1, zeros where there is none."""
    common: NDArray[np.float32]
    """``[windows, labels, labels]``: frames of activity that each column of the window before (rows) shares with each of this one."""
    frames: int
    """Frames of the recording; fewer than those of all windows, which overlap."""


def cluster(local: LocalSpeakers, wanted: SpeakerCount, settings: Clustering, window_frames: int, rate: float) -> NDArray[np.int64]:
    """The person ``[windows, labels]`` of every local speaker, numbered from 0; :data:`NOBODY` for those that are silent or too many.

    ``window_frames``: frames of all windows together. ``rate``: frames per second. There are as many people as ``wanted`` allows, or
    fewer if fewer voices were heard.
    """
    coverage = max(window_frames, 1) / max(local.frames, 1)
    recording = _Recording(local, settings, rate, coverage)
    if not (recording.solo > 0).any():
        return np.full(local.active.shape, NOBODY)
    return recording.settled(recording.partition(wanted))


class _Recording:
    """The local speakers of one recording. A partition is the person ``[windows, labels]`` of each."""

    def __init__(self, local: LocalSpeakers, settings: Clustering, rate: float, coverage: float) -> None:
        self.local, self.settings, self.rate = local, settings, rate
        self.speaking = local.active > 0
        self.solo = np.where(self.speaking, local.solo, 0).astype(np.float32)
        self.certainty = settings.certainty(self.solo / rate).astype(np.float32)
        self.weight = np.minimum(self.solo, MOST_SECONDS * rate).astype(np.float32)
        counted = self.solo + OVERLAPPED_SHARE * np.maximum(local.active - self.solo, 0)
        self.seconds = (counted / (rate * coverage)).astype(np.float32)

    def partition(self, wanted: SpeakerCount) -> NDArray[np.int64]:
        """The partition with the number of people that is wanted and, within that, that the voices suggest."""
        voices = Voices(self.local.embeddings, self.certainty, self.solo)
        who = groups(voices, CORE_SECONDS * self.rate, self.core_cosine(), wanted.least, MOST_GROUPS)
        count = int(who.max()) + 1
        who = self.refined(who, count, FIRST_ROUNDS)
        automatic = False
        while count > 1:
            left, right, likeness = self.most_alike(who, count)
            automatic = automatic or likeness < self.settings.threshold
            if count <= wanted.least or (automatic and count <= wanted.nearest(count)):
                break
            who = np.where(who == right, left, who)
            who = np.where(who > right, who - 1, who)
            count -= 1
            who = self.refined(who, count, ROUNDS)
        return who

    def core_cosine(self) -> float:
        """The mean cosine up to which groups stay apart at first: short samples of a voice are less alike than long ones."""
        core = self.solo >= CORE_SECONDS * self.rate
        usual = float(np.median(self.certainty[core if core.any() else self.solo > 0])) ** 2
        different = self.settings.different
        return different + (1 - different) * CORE_LIKENESS * usual

    def most_alike(self, who: NDArray[np.int64], count: int) -> tuple[int, int, float]:
        """The two people who are most likely one, the lower number first, and their corrected likeness."""
        sums = self.sums(who, count)
        own = who != NOBODY
        weight, expected, seconds = (
            np.bincount(who[own], weights=values[own], minlength=count)
            for values in (self.weight, self.weight * self.certainty, self.seconds)
        )
        different = self.settings.different
        cosine = (sums @ sums.T - different * np.outer(weight, weight)) / ((1 - different) * np.outer(expected, expected) + 1e-6)
        length = max(float(seconds.sum()), BRIEF_LEAST) / BRIEF_AT
        brief_seconds = self.settings.brief_seconds * length ** (BRIEF_BELOW if length < 1 else BRIEF_ABOVE)
        brief = brief_seconds / (np.minimum(seconds[:, None], seconds) + 1e-3)
        alike = cosine + brief - self.settings.together * self.shared(who, count)
        alike[np.tril_indices(count)] = APART
        left, right = divmod(int(alike.argmax()), count)
        return left, right, float(alike[left, right])

    def sums(self, who: NDArray[np.int64], count: int) -> NDArray[np.float32]:
        """The weighted sum ``[people, dim]`` of each person's embeddings."""
        summed = np.empty((count, self.local.embeddings.shape[2]), dtype=np.float32)
        for person in range(count):
            own = who == person
            summed[person] = self.weight[own] @ self.local.embeddings[own]
        return summed

    def shared(self, who: NDArray[np.int64], count: int) -> NDArray[np.float64]:
        """The share ``[people, people]`` of the less active one's speech that is in windows in which the other speaks as well."""
        active = self.local.active
        shared, own = np.zeros((count, count)), who != NOBODY
        total = np.bincount(who[own], weights=active[own], minlength=count)
        for one, other in permutations(range(who.shape[1]), 2):
            both = own[:, one] & own[:, other]
            np.add.at(shared, (who[both, one], who[both, other]), np.minimum(active[both, one], active[both, other]))
        share: NDArray[np.float64] = shared / np.maximum(np.minimum(total[:, None], total), 1)
        return share

    def refined(self, who: NDArray[np.int64], count: int, rounds: int) -> NDArray[np.int64]:
        """The partition after every local speaker went to the voice that it resembles most, and the voices followed; several times."""
        for _ in range(rounds):
            before, who = who, best_distinct(self.likeness(who, count), self.speaking)
            if np.array_equal(who, before):
                break
        return who

    def likeness(self, who: NDArray[np.int64], count: int) -> NDArray[np.float32]:
        """How much each local speaker resembles each person's voice ``[windows, labels, people]``: cosine times frames."""
        sums = self.sums(who, count)
        centres = sums / (np.linalg.norm(sums, axis=1, keepdims=True) + 1e-9)
        alike: NDArray[np.float32] = (self.local.embeddings @ centres.T) * self.weight[..., None]
        return alike

    def settled(self, who: NDArray[np.int64]) -> NDArray[np.int64]:
        """The partition after all evidence was heard, even and odd windows in turns: each is told by its neighbours.

        Who was never heard alone is nobody until a neighbour knows more: a guess would be evidence for the next guess.
        """
        count, who = int(who.max()) + 1, np.where(self.weight > 0, who, NOBODY)
        for _ in range(SETTLING_ROUNDS):
            before = who.copy()
            self.settle(who, count, guess=False)
            if np.array_equal(who, before):
                break
        self.settle(who, count, guess=True)
        return who

    def settle(self, who: NDArray[np.int64], count: int, *, guess: bool) -> None:
        """One round of that, in place; with ``guess`` whoever speaks is somebody."""
        voice = self.likeness(who, count)
        for first in (0, 1):
            score = voice[first::2].copy()
            self.add_neighbours(score, who, first, 1)
            self.add_neighbours(score, who, first, -1)
            known = score.any(axis=2) | guess
            who[first::2] = best_distinct(score, self.speaking[first::2] & known)

    def add_neighbours(self, score: NDArray[np.float32], who: NDArray[np.int64], first: int, step: int) -> None:
        """Add to the score of every other window what it shares with the people of the window before (``step`` 1) or after (-1)."""
        rows = np.arange(len(score))
        windows = first + 2 * rows
        there = (windows >= step) & (windows - step < len(who))
        rows, windows = rows[there], windows[there]
        for one, other in product(range(who.shape[1]), repeat=2):
            common = self.local.common[windows, other, one] if step == 1 else self.local.common[windows + 1, one, other]
            person = who[windows - step, other]
            known = person != NOBODY
            np.add.at(score, (rows[known], one, person[known]), self.settings.overlap_weight * common[known])
