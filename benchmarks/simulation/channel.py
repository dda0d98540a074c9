"""What happens to the sum of all sound on its way into a file, block by block: noise, a band, a telephone's companding. Blocks in and out.

Every filter is a finite impulse response with its delay taken out, so times stay what they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recordings.sound import RATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

BLOCK = 1 << 15
"""Samples that are worked on at once, whatever the recording's length, so that a seed gives the same bytes."""
TAPS = 801
TELEPHONE_HZ = (300.0, 3400.0)
"""The band of a telephone line (ITU-T G.712)."""
MU = 255.0
"""mu-law, ITU-T G.711."""


@dataclass(frozen=True)
class Channel:
    """What a recording went through."""

    highest_hz: float = 4000.0
    """Nothing above it: one band for all, so that the packages' own bands do not tell the voices apart. 8000: no limit."""
    telephone: bool = False
    """A telephone's band, and its companding to 8 bits."""

    def __call__(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """The sound ``[n]`` after the channel: as many samples, at the same times."""
        if self.telephone:
            return map(companded, filtered(blocks, passing(*TELEPHONE_HZ)))
        return filtered(blocks, passing(0.0, self.highest_hz)) if self.highest_hz < RATE / 2 else iter(blocks)


def taps(gain: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> NDArray[np.float64]:
    """A symmetric filter ``[801]`` with about this gain at each frequency in Hz (windowed inverse transform)."""
    size = 8192
    response = np.fft.irfft(gain(np.fft.rfftfreq(size, 1 / RATE)), size)
    half = TAPS // 2
    return np.concatenate((response[-half:], response[: half + 1])) * np.blackman(TAPS)


def passing(lowest_hz: float, highest_hz: float) -> NDArray[np.float64]:
    """A filter that passes a band."""
    return taps(lambda hertz: ((hertz >= lowest_hz) & (hertz <= highest_hz)).astype(np.float64))


def falling(decibels: float) -> NDArray[np.float64]:
    """A filter that makes white noise fall by so many dB per octave above 100 Hz, with a power of 1 for white noise of power 1."""
    filter_ = taps(lambda hertz: (np.maximum(hertz, 100.0) / 1000) ** (-decibels / 20 / np.log10(2)) * (hertz > 30))
    return filter_ / np.sqrt(np.sum(filter_**2))


def filtered(blocks: Iterable[NDArray[np.float32]], filter_: NDArray[np.float64]) -> Iterator[NDArray[np.float32]]:
    """The blocks through a symmetric filter, its delay taken out, as many samples as went in (overlap-add)."""
    delay = len(filter_) // 2
    transforms: dict[int, NDArray[np.complex128]] = {}
    tail = np.zeros(len(filter_) - 1)
    skip = delay

    def through(block: NDArray[np.float32]) -> NDArray[np.float64]:
        nonlocal tail
        size = 1 << (len(block) + len(filter_) - 2).bit_length()
        if size not in transforms:
            transforms[size] = np.fft.rfft(filter_, size)
        whole = np.fft.irfft(np.fft.rfft(block.astype(np.float64), size) * transforms[size], size)[: len(block) + len(filter_) - 1]
        whole[: len(tail)] += tail
        tail = whole[len(block) :].copy()
        return whole[: len(block)]

    for block in blocks:
        if len(block):
            ready = through(block)
            yield ready[skip:].astype(np.float32)
            skip = max(0, skip - len(ready))
    yield through(np.zeros(delay, dtype=np.float32))[skip:].astype(np.float32)


def companded(block: NDArray[np.float32]) -> NDArray[np.float32]:
    """What is left after 8 bits of mu-law."""
    small = np.sign(block) * np.log1p(MU * np.abs(np.clip(block, -1, 1))) / np.log1p(MU)
    coarse = np.rint(small * 127) / 127
    coded: NDArray[np.float32] = (np.sign(coarse) * np.expm1(np.abs(coarse) * np.log1p(MU)) / MU).astype(np.float32)
    return coded


def steady(random: np.random.Generator, decibels: float) -> Iterator[NDArray[np.float32]]:
    """Noise without end, of root mean square 1, falling by so many dB per octave: a fan, a hall, a machine far away."""

    def white() -> Iterator[NDArray[np.float32]]:
        while True:
            yield random.standard_normal(BLOCK, dtype=np.float32)

    return filtered(white(), falling(decibels))
