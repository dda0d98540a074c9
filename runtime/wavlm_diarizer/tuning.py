"""Labelled recordings in, a model's best settings for recordings like them out, with an honest figure.

The model hears every recording once; what follows (the join of windows, the decoding) is repeated with other settings, one of them changed
at a time, and kept if the diarization error rate over all recordings falls (counted in frames while searching; what is reported is counted
by pyannote.metrics). The figure to believe is the cross-validated one: each
recording scored with settings that were found without it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from wavlm_diarizer.decoding import decode
from wavlm_diarizer.errors import OptionError
from wavlm_diarizer.scoring import Policy, Score, score, total
from wavlm_diarizer.speakers import ACTIVE, assign
from wavlm_diarizer.voice_scale import voice_scale

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from wavlm_diarizer.clustering import Clustering, LocalSpeakers
    from wavlm_diarizer.decoding import Decoding
    from wavlm_diarizer.diarization import Diarization
    from wavlm_diarizer.diarizer import Activity, Diarizer, Heard
    from wavlm_diarizer.timebase import TimeBase

POLICY = Policy()
"""What is made as small as possible: DER without a collar, overlap scored."""
LEAST_RECORDINGS, LEAST_SPEECH_SECONDS = 3, 60.0
"""With less there is nothing to learn that would hold for another recording."""
FOLDS = 5
"""Parts of the recordings for cross-validation; with fewer recordings each is one."""
ROUNDS = 2
"""How often every setting is tried."""
LEAST_GAIN = 1e-4
"""A setting is changed for a DER that falls by at least this much: 0.01 points."""

CLUSTERING: dict[str, tuple[float, ...]] = {
    "threshold": (0.15, 0.25, 0.35, 0.45, 0.55, 0.65),
    "brief_seconds": (0.4, 0.75, 1.5, 2.28, 3.0, 4.5, 6.0),
    "overlap_weight": (0.0, 0.1, 0.3, 1.0),
}
"""What is tried for each setting of the clustering."""
DECODING: dict[str, tuple[float, ...]] = {
    "onset": (0.2, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7),
    "hysteresis": (0.0, 0.1, 0.2, 0.3),
    "median_seconds": (0.0, 0.1, 0.22, 0.34, 0.5),
    "min_off": (0.0, 0.1, 0.2, 0.3, 0.5, 0.8),
    "min_on": (0.0, 0.1, 0.2, 0.3, 0.5),
}
"""What is tried for the decoding; ``hysteresis`` is how far the offset lies below the onset."""


@dataclass(frozen=True)
class Tuned:
    """The best settings, and what they are worth."""

    decoding: Decoding
    clustering: Clustering
    before: Score
    """All recordings with the settings that the diarizer had."""
    after: Score
    """All recordings with the best settings, which were found on these very recordings."""
    cross_validated: Score
    """All recordings, each with settings that were found without it."""

    @property
    def helps(self) -> bool:
        """Whether recordings that were not tuned on got better."""
        return self.cross_validated.der < self.before.der - LEAST_GAIN


@dataclass(frozen=True)
class _Settings:
    """One point of the search."""

    decoding: Decoding
    clustering: Clustering

    def changed(self, name: str, value: float) -> _Settings:
        """The settings with another value for one of :data:`CLUSTERING` or :data:`DECODING`."""
        if name in CLUSTERING:
            return replace(self, clustering=replace(self.clustering, **{name: value}))
        gap = self.decoding.onset - self.decoding.offset
        if name == "onset":
            changes = {"onset": value, "offset": max(0.0, round(value - gap, 6))}
        elif name == "hysteresis":
            changes = {"offset": max(0.0, round(self.decoding.onset - value, 6))}
        else:
            changes = {name: value}
        return replace(self, decoding=replace(self.decoding, **changes))


def tune(diarizer: Diarizer, recordings: Iterable[tuple[Any, Diarization]], progress: Callable[[str], None] = lambda _: None) -> Tuned:
    """The best settings for pairs of an audio source and its true turns.

    Raises :class:`OptionError` for fewer than :data:`LEAST_RECORDINGS` recordings or :data:`LEAST_SPEECH_SECONDS` of speech,
    :class:`MissingExtraError` without pyannote.metrics, and what a :class:`Diarizer` raises for a recording that cannot be read.
    """
    search = _Search(diarizer)
    for source, truth in recordings:
        progress(f"listening to {truth.name}")
        search.recordings.append((diarizer.heard(source, name=truth.name), truth))
    speech = sum(sum(truth.speaking_time().values()) for _, truth in search.recordings)
    every = range(len(search.recordings))
    if len(every) < LEAST_RECORDINGS or speech < LEAST_SPEECH_SECONDS:
        raise OptionError(
            f"{len(every)} recordings with {speech:.0f} s of speech are too little to tune on: give at least "
            f"{LEAST_RECORDINGS} with {LEAST_SPEECH_SECONDS:g} s, better an hour of what the model will be used for."
        )
    start = _Settings(diarizer.settings.decoding, diarizer.settings.clustering)
    before = search.scored(start, every)
    progress(f"DER before: {100 * total(before).der:.2f} %")
    best = search.best(start, every)
    after = search.scored(best, every)
    progress(f"DER after: {100 * total(after).der:.2f} %, on the recordings that were tuned on")
    held_out: list[Score] = []
    folds = min(FOLDS, len(every))
    for fold in range(folds):
        progress(f"cross-validation, part {fold + 1} of {folds}")
        found = search.best(start, [index for index in every if index % folds != fold])
        held_out += search.scored(found, [index for index in every if index % folds == fold])
    return Tuned(best.decoding, best.clustering, total(before), total(after), total(held_out))


class _Search:
    """Recordings that were heard, and what every point of the search that was looked at is worth on each."""

    def __init__(self, diarizer: Diarizer) -> None:
        self.diarizer = diarizer
        self.recordings: list[tuple[Heard, Diarization]] = []
        self._errors: dict[tuple[_Settings, int], float] = {}
        self._truths: dict[int, NDArray[np.bool_]] = {}
        self._activities: dict[tuple[Clustering, float, int], Activity] = {}

    @cached_property
    def knows_voices(self) -> bool:
        """Whether there is a clustering to tune."""
        return self.diarizer.settings.embedding_size > 0

    def best(self, start: _Settings, members: Sequence[int]) -> _Settings:
        """The settings that are best for some of the recordings: one at a time is changed to its best value."""
        tried = [DECODING]
        if self.knows_voices:
            tried.insert(0, CLUSTERING)
            start = self._better(start, [self._on_scale(start, members)], members)
        for _ in range(ROUNDS):
            before = start
            for values in tried:
                for name, candidates in values.items():
                    start = self._better(start, [start.changed(name, value) for value in candidates], members)
            if start == before:
                break
        return start

    def _better(self, current: _Settings, candidates: Iterable[_Settings], members: Sequence[int]) -> _Settings:
        """The best candidate if it is better than the current settings by more than chance digits, else those."""
        least = self.rate(current, members)
        for candidate in dict.fromkeys(candidates):
            rate = self.rate(candidate, members)
            if rate < least - LEAST_GAIN:
                current, least = candidate, rate
        return current

    def _on_scale(self, settings: _Settings, members: Sequence[int]) -> _Settings:
        """The settings with the scale of the voices that these recordings show."""
        base = self.diarizer.time_base
        found = voice_scale(self._local_speakers(members), base.sample_rate / base.hop)
        return replace(settings, clustering=replace(settings.clustering, **found))

    def _local_speakers(self, members: Sequence[int]) -> Iterable[LocalSpeakers]:
        for index in members:
            local = self.diarizer.local_speakers(self.recordings[index][0])
            if local is not None:
                yield local

    def rate(self, settings: _Settings, members: Sequence[int]) -> float:
        """The DER over some of the recordings, counted in frames."""
        speech = sum(int(self._truth(index).sum()) for index in members)
        return sum(self._error(settings, index) for index in members) / max(speech, 1)

    def scored(self, settings: _Settings, members: Sequence[int]) -> list[Score]:
        """The scores of some of the recordings, by pyannote.metrics."""
        scores = []
        for index in members:
            truth = self.recordings[index][1]
            result = self._diarizer(settings).decoded(self._activity(settings, index))
            scores.append(score(truth, result, policy=POLICY, uem=[(0.0, max(result.duration, truth.duration))]))
        return scores

    def _diarizer(self, settings: _Settings) -> Diarizer:
        return self.diarizer.with_clustering(settings.clustering).with_decoding(settings.decoding)

    def _activity(self, settings: _Settings, index: int) -> Activity:
        # A decoding has no part in the join but for where activity begins.
        key = (settings.clustering, min(ACTIVE, settings.decoding.onset), index)
        if key not in self._activities:
            for old in [known for known in self._activities if known[2] == index]:
                del self._activities[old]
            self._activities[key] = self._diarizer(settings).understood(self.recordings[index][0])
        return self._activities[key]

    def _truth(self, index: int) -> NDArray[np.bool_]:
        """Who speaks in which frame ``[frames, speakers]``, by the reference."""
        if index not in self._truths:
            heard, truth = self.recordings[index]
            base = self.diarizer.time_base
            last = max([heard.samples, *(base.samples(turn.end) for turn in truth.turns)])
            self._truths[index] = spoken(truth, base.frame_at(last) + 1, base)
        return self._truths[index]

    def _error(self, settings: _Settings, index: int) -> float:
        """Missed, false alarm and confusion in frames of one speaker."""
        if (settings, index) not in self._errors:
            (joined,) = self._activity(settings, index).channels
            truth = self._truth(index)
            found = np.zeros((len(truth), joined.probabilities.shape[1]), dtype=bool)
            for column, runs in enumerate(decode(joined.probabilities, settings.decoding, self.diarizer.time_base)):
                for first, stop in runs:
                    found[first:stop, column] = True
            self._errors[settings, index] = frame_errors(truth, found)
        return self._errors[settings, index]


def spoken(truth: Diarization, frames: int, time_base: TimeBase) -> NDArray[np.bool_]:
    """Who speaks in which of the first so many frames ``[frames, speakers]``; speakers in the order of ``truth.speakers``."""
    speaks = np.zeros((frames, len(truth.speakers)), dtype=bool)
    for turn in truth.turns:
        speaks[time_base.whole_frames(turn.start) : time_base.whole_frames(turn.end), truth.speakers.index(turn.speaker)] = True
    return speaks


def frame_errors(truth: NDArray[np.bool_], found: NDArray[np.bool_]) -> float:
    """Missed, false alarm and confusion of ``found [frames, m]`` against ``truth [frames, n]`` together, in frames of one speaker.

    As in DER: the larger number of speakers of each frame, less those that are right under the best mapping of speakers.
    """
    size = max(truth.shape[1], found.shape[1], 1)
    together = np.zeros((size, size))
    together[: truth.shape[1], : found.shape[1]] = truth.T.astype(np.float64) @ found
    right = together[np.arange(size), assign(together)].sum()
    return float(np.maximum(truth.sum(axis=1), found.sum(axis=1)).sum() - right)
