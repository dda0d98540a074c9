"""Folders of one voice each in, utterances out: pieces of clips at one loudness, with the speech in them.

What counts as speech is what ``mix/`` counts, less a noisy clip's noise (:func:`recordings.mixtures.activity`). Clips are read when
they are needed and not kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from recordings import sound
from recordings.mixtures import LOUDNESS, activity, level

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

LEAST_SECONDS = 0.5
"""Clips with less speech than this are left out."""
LONGEST_SECONDS = 12.0
"""Longer clips are cut into pieces of about this length, in their own pauses."""
MARGIN = sound.RATE // 20
"""Samples before and after the speech of a piece that are kept, as far as the clip has them."""
FADE = sound.RATE // 200
STEP = sound.RATE // 100
"""Samples of the frames that speech is found in."""


@dataclass(frozen=True)
class Piece:
    """What somebody says without a long pause."""

    samples: NDArray[np.float32]
    """``[n]``, its speech at the root mean square that mixtures have at 0 dB."""
    spans: tuple[tuple[int, int], ...]
    """Where it is speech: samples from its beginning, multiples of 160."""

    @property
    def first(self) -> int:
        """The first sample of speech."""
        return self.spans[0][0]

    @property
    def stop(self) -> int:
        """The sample after the last one of speech."""
        return self.spans[-1][1]


class Voice:
    """One person: an endless supply of pieces in random order, every clip once before any comes again."""

    def __init__(self, name: str, clips: list[Path], random: np.random.Generator, read: Callable[[Path], NDArray[np.float32]]) -> None:
        self.name = name
        self._clips, self._random, self._read = clips, random, read
        self._order: list[int] = []
        self._ready: list[Piece] = []

    def next(self) -> Piece:
        """The next piece. Raises :class:`ValueError` if none of the clips has speech."""
        failures = 0
        while not self._ready:
            if not self._order:
                self._order = self._random.permutation(len(self._clips)).tolist()
            self._ready = pieces(self._read(self._clips[self._order.pop()]))
            failures += 1
            if failures > len(self._clips) and not self._ready:
                raise ValueError(f"No clip of the voice {self.name} has speech; leave it out.")
        return self._ready.pop(0)


def folders(single: Path, least_clips: int = 5) -> dict[str, list[Path]]:
    """The clips of every voice in a folder of folders that has at least so many, in order of name."""
    found = {}
    for folder in sorted(path for path in single.iterdir() if path.is_dir()):
        files = sorted(path for path in folder.iterdir() if path.suffix in {".flac", ".wav"})
        if len(files) >= least_clips:
            found[folder.name] = files
    return found


def read(path: Path) -> NDArray[np.float32]:
    """The samples ``[n]`` of a 16 kHz clip. Raises :class:`ValueError` for another rate."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    if rate != sound.RATE:
        raise ValueError(f"{path} has {rate} Hz; clips for the simulator have {sound.RATE} Hz.")
    mono: NDArray[np.float32] = samples.mean(axis=1)
    return mono


def pieces(clip: NDArray[np.float32]) -> list[Piece]:
    """A clip ``[n]`` as one piece or, if it is long, as several, cut in its pauses; none if there is hardly any speech."""
    spoken = [(round(start * 100) * STEP, round(end * 100) * STEP) for start, end in activity(clip, floor=True)]
    if sum(stop - first for first, stop in spoken) < LEAST_SECONDS * sound.RATE:
        return []
    gain = np.float32(LOUDNESS / level(clip))
    groups: list[list[tuple[int, int]]] = []
    for first, stop in spoken:
        if groups and stop - groups[-1][0][0] <= LONGEST_SECONDS * sound.RATE:
            groups[-1].append((first, stop))
        else:
            groups.append([(first, stop)])
    found = []
    for group in groups:
        # On the grid of the frames, so that times in the RTTM stay whole hundredths of a second.
        begin = max(0, group[0][0] - MARGIN) // STEP * STEP
        samples = clip[begin : group[-1][1] + MARGIN] * gain
        ramp = np.linspace(0, 1, min(FADE, len(samples)), dtype=np.float32)
        samples[: len(ramp)] *= ramp
        samples[len(samples) - len(ramp) :] *= ramp[::-1]
        found.append(Piece(samples, tuple((first - begin, stop - begin) for first, stop in group)))
    return found
