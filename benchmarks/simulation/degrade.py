"""Recordings with their turns in, the same ones in a room and with noise out.

A recording is one sound, so all of its voices speak from one place of the room. The turns stay what they are.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np

from recordings import sound, turns
from recordings.turns import from_rttm
from simulation import clips, rooms
from simulation.channel import steady
from simulation.scene import even, write_flac

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from simulation.scene import Surroundings


def degrade(source: Path, out: Path, around: Surroundings, seed: int) -> str:
    """Write every recording of a folder (``NAME.flac`` with ``NAME.rttm``) into another; returns what there is, in words.

    ``babble`` and ``levels_db`` have no meaning here. Raises :class:`ValueError` for a folder without recordings.
    """
    paths = [path for path in sorted(source.glob("*.flac")) if path.with_suffix(".rttm").exists()]
    if not paths:
        raise ValueError(f"{source} holds no recordings (.flac) with their turns (.rttm).")
    out.mkdir(parents=True, exist_ok=True)
    rows = [("name", "reverberation_seconds", "snr_db")]
    for number, path in enumerate(paths):
        random = np.random.default_rng([seed, number])
        samples = clips.read(path)
        reverberation, snr = "", ""
        heard = samples
        if around.reverberation is not None:
            room = rooms.furnished(random, around.reverberation)
            reverberation = f"{room.reverberation:.2f}"
            heard = rooms.convolve(samples, room.response(rooms.seat(room, random)))[: len(samples)]
        noise = np.zeros(len(samples), dtype=np.float32)
        if around.snr_db is not None:
            drawn, decibels = random.uniform(*around.snr_db), random.uniform(0, 9)
            snr = f"{drawn:.1f}"
            level = speech_level(samples, path.with_suffix(".rttm").read_text(encoding="utf-8")) * 10 ** (-drawn / 20)
            noise = np.float32(level) * np.concatenate(list(even(steady(random, decibels), len(samples))))
        mixed = (heard + noise) * np.float32(10 ** (around.base_db / 20))
        write_flac(out / path.name, around.channel(_blocks(mixed)))
        shutil.copyfile(path.with_suffix(".rttm"), out / f"{path.stem}.rttm")
        rows.append((path.stem, reverberation, snr))
    turns.write_text(out / "SOURCES.tsv", turns.table(rows))
    return f"{len(paths)} recordings"


def speech_level(samples: NDArray[np.float32], rttm: str) -> float:
    """The root mean square of the samples in which somebody speaks."""
    on = np.zeros(len(samples), dtype=bool)
    for spoken in from_rttm(rttm).values():
        for start, end, _ in spoken:
            on[round(start * sound.RATE) : round(end * sound.RATE)] = True
    return float(np.sqrt(np.mean(samples[on].astype(np.float64) ** 2))) if on.any() else 0.0


def _blocks(samples: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    return even(iter([samples]), len(samples))
