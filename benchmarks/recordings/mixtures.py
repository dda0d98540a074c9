"""``mix/``: simulated mixtures of two unseen voices, in the manner of LibriMix. Clips in, FLAC and exact RTTM out, the same for a seed.

Each mixture takes two voices, puts each one's utterances on a track of its own with random pauses, and adds the tracks (levels within
5 dB), so that about half of the speech overlaps. All of it goes through one 8 kHz band, so that the channel does not tell the voices
apart. The RTTM is the tracks' own activity, see :func:`activity`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np
import soundfile
import soxr

from recordings import sound, turns
from recordings.packages import UNSEEN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from recordings.turns import Turn

SECONDS = 40
LEAST_CLIPS, LEAST_SECONDS = 30, 1.0
"""A voice takes part with at least this many clips of at least this length."""
SPEECH_DB = -35.0
"""Frames of 10 ms count as speech if they are within this of the utterance's loudest one."""
FLOOR_DB, LOUD_DB = 8.0, -12.0
FILLED_FRAMES = 30
"""Gaps of an utterance up to this many frames count as speech."""
LOUDNESS = 0.06
"""Root mean square of a voice's speech at 0 dB."""
LEVELS_DB = 2.5
FIRST_PAUSE = (0.2, 2.0)
MEAN_PAUSE = 1.2
"""Seconds between two utterances of a voice, exponentially distributed."""
PEAK = 0.9

Clip = TypeVar("Clip")


def build(out: Path, single: Path, count: int, seed: int) -> str:
    """Write ``count`` mixtures of the unseen voices of ``single`` into ``out``; returns what there is, in words.

    Raises :class:`ValueError` if there are fewer than two unseen voices.
    """
    clips = voices(single)
    if len(clips) < 2:
        raise ValueError(f"{single} holds fewer than two of the unseen voices; fetch the single voices first.")
    rng = np.random.default_rng(seed)
    rows = []
    for index in range(count):
        name = f"mix{seed}_{index:02d}"
        pair, mixed, spoken = mixture(clips, rng, _read)
        sound.write(out / f"{name}.flac", mixed)
        turns.write_text(out / f"{name}.rttm", turns.to_rttm(name, spoken))
        rows.append((name, *pair))
    turns.write_text(out / "SOURCES.tsv", turns.table([("name", "first_voice", "second_voice"), *rows]))
    return f"{count} mixtures of {SECONDS} s, {len(clips)} voices"


def voices(single: Path) -> dict[str, list[Path]]:
    """The clips of each unseen voice that has enough of them."""
    found = {}
    for folder in sorted(path for path in single.iterdir() if path.name in UNSEEN):
        files = [path for path in sorted(folder.glob("*.flac")) if soundfile.info(path).duration >= LEAST_SECONDS]
        if len(files) >= LEAST_CLIPS:
            found[folder.name] = files
    return found


def mixture(
    clips: Mapping[str, Sequence[Clip]], rng: np.random.Generator, read: Callable[[Clip], NDArray[np.float32]]
) -> tuple[tuple[str, str], NDArray[np.float32], list[Turn]]:
    """The next mixture of a generator: its two voices, its samples ``[n]`` and its turns.

    Pauses, levels and the order of clips are drawn in one fixed order, so a seed always gives the same mixtures.
    """
    first, second = sorted(str(name) for name in rng.choice(sorted(clips), 2, replace=False))
    length = SECONDS * sound.RATE
    mixed, spoken = np.zeros(length, np.float32), []
    for who in (first, second):
        gain_db, at_seconds = rng.uniform(-LEVELS_DB, LEVELS_DB), rng.uniform(*FIRST_PAUSE)
        for index in rng.permutation(len(clips[who])):
            clip = read(clips[who][index])
            at = int(at_seconds * sound.RATE)
            if at + len(clip) > length:
                break
            mixed[at : at + len(clip)] += clip * (LOUDNESS * 10 ** (gain_db / 20) / level(clip))
            spoken += [(at_seconds + start, at_seconds + end, who) for start, end in activity(clip)]
            at_seconds = at / sound.RATE + len(clip) / sound.RATE + rng.exponential(MEAN_PAUSE)
    half = sound.RATE // 2
    banded = soxr.resample(soxr.resample(mixed, sound.RATE, half), half, sound.RATE)[:length].astype(np.float32)
    peak = np.abs(banded).max()
    return (first, second), banded * (PEAK / peak) if peak > PEAK else banded, spoken


def level(clip: NDArray[np.float32]) -> np.float32:
    """The root mean square of a clip's louder samples, those over a fiftieth of its peak."""
    loud: np.float32 = np.sqrt(np.mean(clip[np.abs(clip) > 0.02 * np.abs(clip).max()] ** 2))
    return loud


def activity(clip: NDArray[np.float32], *, floor: bool = False) -> list[tuple[float, float]]:
    """Where a clip of one voice is speech: frames of 10 ms within 35 dB of the loudest, gaps up to 0.3 s filled; seconds.

    With ``floor`` they are also over the clip's own noise: 8 dB over its softest frames, or within 12 dB of its loud ones if that is less.
    (``mix/`` was made without, and calls all of a noisy clip speech.)
    """
    hop = sound.RATE // 100
    frames = clip[: len(clip) // hop * hop].reshape(-1, hop)
    power = (frames.astype(np.float64) ** 2).mean(axis=1)
    threshold = power.max(initial=0.0) * 10 ** (SPEECH_DB / 10)
    if floor and len(power):
        soft, loud = np.percentile(power, [5, 95])
        threshold = max(threshold, min(soft * 10 ** (FLOOR_DB / 10), loud * 10 ** (LOUD_DB / 10)))
    on = np.flatnonzero(power > threshold)
    if not len(on):
        return []
    cuts = np.flatnonzero(np.diff(on) > FILLED_FRAMES)
    starts, ends = on[np.r_[0, cuts + 1]], on[np.r_[cuts, len(on) - 1]] + 1
    return [(start / 100, end / 100) for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]


def _read(path: Path) -> NDArray[np.float32]:
    samples: NDArray[np.float32] = soundfile.read(path, dtype="float32")[0]
    return samples
