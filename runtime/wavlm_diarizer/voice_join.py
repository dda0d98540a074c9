"""Probabilities and voices of overlapping windows in, the people of the whole recording out.

The counterpart of :class:`wavlm_diarizer.speakers.SpeakerJoin` for models that also tell voices: any number of people, and who was silent
for an hour is still the same one. Windows are kept until the end, as it takes all voices to tell who is who: about 5 kB of
probabilities and, for 256 numbers a voice, 3 kB of voices for a window of 8 s and three labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wavlm_diarizer.assignment import NOBODY
from wavlm_diarizer.clustering import LocalSpeakers, cluster
from wavlm_diarizer.speakers import JoinedActivity, SpeakerJoin, triangle

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wavlm_diarizer.clustering import Clustering, SpeakerCount
    from wavlm_diarizer.timebase import TimeBase

LEAST_ACTIVE_FRAMES = 3
"""A column that is on in fewer frames of a window is taken for silent: 60 ms are no speech."""


@dataclass(frozen=True)
class WindowAnswer:
    """What a model says about one window."""

    probabilities: NDArray[np.floating[Any]]
    """``[frames, labels]``."""
    embeddings: NDArray[np.float32] | None = None
    """``[labels, dim]``, of any length; None from a model without a speaker head."""
    embedding_frames: NDArray[np.int64] | None = None
    """``[labels]``: frames that each embedding was computed from."""

    @classmethod
    def silence(cls, frames: int, labels: int, dim: int) -> WindowAnswer:
        """The answer for a window in which nobody speaks; ``dim`` 0 for a model without a speaker head."""
        nothing = np.zeros((frames, labels))
        return cls(nothing, np.zeros((labels, dim), dtype=np.float32), np.zeros(labels, dtype=np.int64)) if dim else cls(nothing)


class VoiceJoin:
    """Takes the windows of one recording in order of time.

    ``active_above``: the probability from which a column counts as speaking.
    """

    def __init__(self, labels: int, time_base: TimeBase, settings: Clustering, wanted: SpeakerCount, active_above: float) -> None:
        self._labels, self._time_base, self._settings, self._wanted = labels, time_base, settings, wanted
        self._active_above = active_above
        self._firsts: list[int] = []
        self._windows: list[NDArray[np.float32]] = []
        self._voices: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]] = []

    def add(self, first_frame: int, answer: WindowAnswer) -> None:
        """Add the next window, which begins at ``first_frame`` of the recording."""
        if answer.embeddings is None or answer.embedding_frames is None:
            raise ValueError("a join by voices needs embeddings")
        columns = np.asarray(answer.probabilities, dtype=np.float32)
        active = np.count_nonzero(columns > self._active_above, axis=0)
        active[active < LEAST_ACTIVE_FRAMES] = 0
        length = np.linalg.norm(answer.embeddings, axis=1)
        known = np.isfinite(length) & (length > 0) & (answer.embedding_frames > 0)
        unit = np.where(known[:, None], answer.embeddings / np.where(known, length, 1)[:, None], 0).astype(np.float32)
        solo = np.where(known, answer.embedding_frames, 0)
        self._voices.append((active, solo, unit, self._common(first_frame, columns)))
        self._firsts.append(first_frame)
        self._windows.append(columns)

    def local_speakers(self) -> LocalSpeakers | None:
        """What is known of the local speakers of all windows so far; None before the first one."""
        if not self._windows:
            return None
        active, solo, embeddings, common = zip(*self._voices, strict=True)
        return LocalSpeakers(np.stack(active), np.stack(solo), np.stack(embeddings), np.stack(common), self._frames())

    def result(self) -> JoinedActivity:
        """The averaged probabilities of all people, and their voices."""
        local = self.local_speakers()
        if local is None:
            return JoinedActivity(_read_only(np.zeros((0, 0), dtype=np.float32)), ())
        if not np.any((local.active > 0) & (local.solo > 0)):
            return self._without_voices()
        rate = self._time_base.sample_rate / self._time_base.hop
        who = cluster(local, self._wanted, self._settings, sum(map(len, self._windows)), rate)
        people = int(who.max()) + 1
        return JoinedActivity(self._averaged(who, people), (), _mean_voices(local, who, people))

    def _common(self, first_frame: int, columns: NDArray[np.float32]) -> NDArray[np.float32]:
        """The activity ``[labels, labels]`` that the columns of the window before share with those of this one: the sum of products."""
        if not self._windows:
            return np.zeros((self._labels, self._labels), dtype=np.float32)
        before = self._windows[-1][first_frame - self._firsts[-1] :]
        shared = min(len(before), len(columns))
        return before[:shared].T @ columns[:shared]

    def _frames(self) -> int:
        return max(first + len(window) for first, window in zip(self._firsts, self._windows, strict=True))

    def _averaged(self, who: NDArray[np.int64], people: int) -> NDArray[np.float32]:
        """Probabilities ``[frames, people]``: each person's columns where they have one, averaged with triangular weights."""
        sums = np.zeros((self._frames(), people), dtype=np.float32)
        weights = np.zeros(len(sums), dtype=np.float32)
        for first, window, persons in zip(self._firsts, self._windows, who, strict=True):
            weight = triangle(len(window)).astype(np.float32)
            weights[first : first + len(window)] += weight
            for column in np.flatnonzero(persons != NOBODY):
                sums[first : first + len(window), persons[column]] += weight * window[:, column]
        sums /= weights[:, None]
        return _read_only(sums)

    def _without_voices(self) -> JoinedActivity:
        """If nobody ever speaks alone there are no voices: the speakers are those that the overlaps of windows tell."""
        join = SpeakerJoin(self._labels, self._time_base, self._wanted.most)
        for first, window in zip(self._firsts, self._windows, strict=True):
            join.add(first, window)
        return join.result()


def _mean_voices(local: LocalSpeakers, who: NDArray[np.int64], people: int) -> NDArray[np.float32]:
    """The voice of each person ``[people, dim]``, of length 1: the mean over their windows, weighted by the frames that were heard."""
    voices = np.zeros((people, local.embeddings.shape[2]), dtype=np.float32)
    for person in range(people):
        own = who == person
        summed = local.solo[own].astype(np.float32) @ local.embeddings[own]
        voices[person] = summed / max(float(np.linalg.norm(summed)), 1e-9)
    return _read_only(voices)


def _read_only(array: NDArray[np.float32]) -> NDArray[np.float32]:
    array.setflags(write=False)
    return array
