"""The packed clips of every voice, as :mod:`prepare` wrote them, and pieces of them as other people by speed and vocal tract."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soxr

from wavlm_diarizer.errors import OptionError
from wavlm_export.builtin.config import HOP, RATE
from wavlm_export.builtin.rooms import colour
from wavlm_export.builtin.vocal_tract import HERTZ, lengthened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

INDEX = "voices.json"
LONG_CLIP, LEAST_PIECE = 150, 100
"""Frames: a clip longer than the one may be entered in its middle, so that at least the other are left."""
NEAREST = 30
"""From so many of the people who are most alike to somebody another one is drawn."""
BREATH, APART = 6.0, 60.0
"""Frames that pass on average between the clips of one who goes on talking, and between utterances that are unrelated."""
HESITATION = (15, 60)
"""Frames of a pause for thought."""
CHANGES = 0.02
"""Of one person's formants, the standard deviation of the logarithm from one time to the next, when they change."""


@dataclass(frozen=True)
class Manner:
    """How somebody talks. The default is to read on without a stop."""

    pause_frames: float = BREATH
    """Between clips, on average; each is drawn from an exponential distribution."""
    hesitates: float = 0.0
    """How often a pause for thought takes the place of such a pause."""
    level_db: float = 0.0
    """Standard deviation of the loudness from clip to clip."""


@dataclass(frozen=True)
class Voice:
    """One person's clips, one after the other."""

    name: str
    samples: NDArray[np.int16]
    """``[n]`` at 16 kHz, memory-mapped; speech has an RMS of 0.08."""
    speech: NDArray[np.bool_]
    """``[n / 320]``, whether the frame is speech."""
    clips: tuple[tuple[int, int], ...]
    """First frame and number of frames of every clip."""

    @property
    def seconds(self) -> float:
        """Audio in all."""
        return len(self.samples) / RATE


def load(folder: str | Path) -> list[Voice]:
    """All voices of a pack, in order of their names. Raises :class:`OptionError` if there is none."""
    root = Path(folder)
    try:
        index = json.loads((root / INDEX).read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(f"There are no packed voices in {root}: run prepare first.") from error
    return [
        Voice(
            name=entry["name"],
            samples=np.load(root / f"{entry['name']}.npy", mmap_mode="r"),
            speech=np.load(root / f"{entry['name']}.speech.npy"),
            clips=tuple((first, count) for first, count in entry["clips"]),
        )
        for entry in index["voices"]
    ]


class Cast:
    """The people that conversations are made of: every voice at every speed and with every length of the vocal tract is one."""

    def __init__(
        self, voices: Sequence[Voice], speeds: Sequence[float], tracts: Sequence[float] = (1.0,), unlike_itself: float = 0.0
    ) -> None:
        if not voices:
            raise OptionError("No voice is left to simulate conversations with: look at data.unseen and data.least_seconds.")
        self.voices, self.speeds, self.tracts, self._unlike_itself = list(voices), tuple(speeds), tuple(tracts), unlike_itself
        # Long voices more often, but not in proportion, so that the short ones are heard: all under a minute equally.
        weight = np.sqrt([max(voice.seconds, 60.0) for voice in voices])
        self._weight = weight / weight.sum()
        self._places, self._often_alike = np.zeros((0, 0), dtype=np.float32), 0.0

    def alike(self, places: NDArray[np.float32], often: float) -> Cast:
        """This cast, with people who are hard to tell apart drawn together so often.

        ``places``: unit vectors ``[people, width]``, of which those of alike people are near each other.
        """
        self._places, self._often_alike = places, often
        return self

    def __len__(self) -> int:
        """Number of people: voices times speeds times tracts."""
        return len(self.voices) * self._each

    @property
    def _each(self) -> int:
        """People of one voice."""
        return len(self.speeds) * len(self.tracts)

    def made(self, person: int) -> tuple[Voice, float, float]:
        """Of which voice a person is, at which speed and with which tract."""
        speed, tract = divmod(person % self._each, len(self.tracts))
        return self.voices[person // self._each], self.speeds[speed], self.tracts[tract]

    def draw(self, count: int, random: np.random.Generator) -> list[int]:
        """``count`` people with different voices, or fewer if there are not as many voices; the number of each, below ``len(self)``."""
        count = min(count, len(self.voices))
        if self._often_alike and count > 1 and random.random() < self._often_alike:
            return self._draw_alike(count, random)
        chosen = random.choice(len(self.voices), count, replace=False, p=self._weight)
        return [int(voice) * self._each + int(random.integers(self._each)) for voice in chosen]

    def _draw_alike(self, count: int, random: np.random.Generator) -> list[int]:
        """Somebody, and people with other voices who are among the most alike to them."""
        (first,) = self.draw(1, random)
        chosen, voice = [first], np.arange(len(self)) // self._each
        nearest = np.argsort(-(self._places @ self._places[first]), kind="stable")
        for _ in range(count - 1):
            others = nearest[~np.isin(voice[nearest], voice[chosen])]
            chosen.append(int(random.choice(others[:NEAREST])))
        return [int(person) for person in random.permutation(chosen)]

    def speak(
        self, person: int, frames: int, random: np.random.Generator, manner: Manner = Manner()
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """``frames`` frames of one person, clips in random order with pauses: samples ``[320 * frames]``, speech ``[frames]``."""
        return self.speak_as(*self.made(person), frames, random, manner)

    def speak_as(
        self, voice: Voice, speed: float, tract: float, frames: int, random: np.random.Generator, manner: Manner = Manner()
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The same of a voice at any speed and with any length of the vocal tract."""
        needed = int(np.ceil(frames * speed)) + 2
        samples, speech = np.zeros(needed * HOP, dtype=np.float32), np.zeros(needed, dtype=bool)
        at = 0
        while at < needed:
            first, count = voice.clips[random.integers(len(voice.clips))]
            skip = int(random.integers(count - LEAST_PIECE)) if count > LONG_CLIP and random.random() < 0.5 else 0
            take = min(count - skip, needed - at)
            begin = first + skip
            louder = np.float32(10 ** (random.normal(0.0, manner.level_db) / 20))
            samples[at * HOP : (at + take) * HOP] = louder * voice.samples[begin * HOP : (begin + take) * HOP]
            speech[at : at + take] = voice.speech[begin : begin + take]
            thinks = random.random() < manner.hesitates
            at += take + int(random.integers(*HESITATION) if thinks else random.exponential(manner.pause_frames))
        samples /= 32768.0
        if speed != 1.0:
            samples = soxr.resample(samples, RATE * speed, RATE, quality="LQ")
            speech = speech[np.minimum((np.arange(frames) * speed + speed / 2).astype(np.int64), needed - 1)]
        samples = samples[: frames * HOP]
        gains = None
        if self._unlike_itself and random.random() < self._unlike_itself:
            tract *= float(np.exp(random.normal(0.0, CHANGES)))
            gains = colour(HERTZ, random)
        return lengthened(samples, tract, gains) if tract != 1.0 else samples, speech[:frames]
