"""What lies between a mouth and the model: rooms, a telephone's band, a codec's loss, a microphone's colour. ``[n]`` in and out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wavlm_export.builtin.config import RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

TELEPHONE_HZ = (250.0, 3500.0)


def room(random: np.random.Generator, *, far: bool, seconds: float | None = None) -> NDArray[np.float32]:
    """An impulse response: the direct sound, a gap, and an exponentially decaying noise tail.

    Reverberation times are those of :func:`reverberation_time` unless one is given (Polack's model); the tail has 0.01 to 1 of the direct
    sound's energy, for a far microphone 1 to 10.
    """
    seconds = reverberation_time(random) if seconds is None else seconds
    count = int(RATE * min(seconds, 0.5))
    # The level falls by 60 dB, a factor of exp(-6.9), in the reverberation time.
    tail = random.standard_normal(count) * np.exp(-6.9 * np.arange(count) / (RATE * seconds))
    tail[: int(RATE * random.uniform(0.001, 0.01))] = 0
    energy = 10 ** (random.uniform(0, 1) if far else random.uniform(-2, 0))
    tail *= np.sqrt(energy / np.sum(tail * tail))
    tail[0] = 1
    response: NDArray[np.float32] = (tail / np.sqrt(1 + energy)).astype(np.float32)
    return response


def reverberation_time(random: np.random.Generator) -> float:
    """0.1 to 0.8 s, from a furnished room to a bare one."""
    return float(random.uniform(0.1, 0.8))


def convolve(samples: NDArray[np.float32], response: NDArray[np.float32]) -> NDArray[np.float32]:
    """The samples through an impulse response, cut to their own length."""
    size = _fast_length(len(samples) + len(response) - 1)
    product = np.fft.rfft(samples, size) * np.fft.rfft(response, size)
    wet: NDArray[np.float32] = np.fft.irfft(product, size)[: len(samples)].astype(np.float32)
    return wet


def _fast_length(least: int) -> int:
    """A length for FFTs, at most a quarter longer than asked for: a power of two times 1, 3, 5, 9 or 15."""
    return min(odd << max(0, -(-least // odd) - 1).bit_length() for odd in (1, 3, 5, 9, 15))


def telephone(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Only what a telephone line passes."""
    spectrum = np.fft.rfft(samples)
    hertz = np.fft.rfftfreq(len(samples), 1 / RATE)
    spectrum[(hertz < TELEPHONE_HZ[0]) | (hertz > TELEPHONE_HZ[1])] *= 0.02
    passed: NDArray[np.float32] = np.fft.irfft(spectrum, len(samples)).astype(np.float32)
    return passed


def tilt(samples: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """Samples with a microphone's colour."""
    spectrum = np.fft.rfft(samples) * colour(np.fft.rfftfreq(len(samples), 1 / RATE), random)
    tilted: NDArray[np.float32] = np.fft.irfft(spectrum, len(samples)).astype(np.float32)
    return tilted


def colour(hertz: NDArray[np.floating], random: np.random.Generator) -> NDArray[np.float64]:
    """What a microphone makes of magnitudes at these frequencies: up to 6 dB per octave up or down, with a low or high cut now and then."""
    gains: NDArray[np.float64] = ((hertz + 200) / 1500) ** random.uniform(-0.5, 0.5)
    if random.random() < 0.3:
        gains[hertz > random.uniform(3000, 7500)] *= 0.01
    if random.random() < 0.3:
        gains[hertz < random.uniform(60, 300)] *= 0.05
    return gains


def companded(samples: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """The loss of a codec: mu-law companding (ITU-T G.711) to 5 to 8 bits."""
    levels = 2.0 ** int(random.integers(5, 9)) / 2
    top = float(np.max(np.abs(samples))) + 1e-9
    small = np.sign(samples) * np.log1p(255 * np.abs(samples) / top) / np.log(256)
    small = np.round(small * levels) / levels
    coded: NDArray[np.float32] = (top * np.sign(small) * np.expm1(np.abs(small) * np.log(256)) / 255).astype(np.float32)
    return coded
