"""A room, a microphone and people's places in, one impulse response ``[n]`` for each of them out.

The image source method for a box (Allen and Berkley, "Image method for efficiently simulating small-room acoustics", JASA 65, 1979), with
their high-pass filter and one absorption for all walls, from the reverberation time by Eyring's formula. The built-in model's training
makes its rooms in another way (noise that decays), so that a test with these is none of what was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recordings.sound import RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

SOUND_SPEED = 343.0
LEAST_DISTANCE = 0.5
WALL = 0.4
"""Metres that people and the microphone keep from the walls."""
LONGEST_SECONDS = 0.6
"""An impulse response is cut after this."""
HIGH_PASS_HZ = 80.0
"""All reflections are positive, so that their sum would raise the lowest frequencies by far more than a room does."""


@dataclass(frozen=True)
class Room:
    """A box with a microphone in it."""

    size: tuple[float, float, float]
    """Metres."""
    reverberation: float
    """Seconds in which sound decays by 60 dB."""
    microphone: tuple[float, float, float]

    def response(self, source: NDArray[np.float64]) -> NDArray[np.float32]:
        """From a point ``[3]`` to the microphone: the direct sound first, without its delay, and the energy of all of it 1."""
        size, microphone = np.array(self.size), np.array(self.microphone)
        seconds = min(self.reverberation, LONGEST_SECONDS)
        reach = seconds * SOUND_SPEED
        volume = float(np.prod(size))
        surface = 2 * float(size[0] * size[1] + size[1] * size[2] + size[0] * size[2])
        # Eyring: T = 24 ln(10) V / (-c S ln(1 - absorption)); the walls reflect the root of 1 - absorption.
        reflected = float(np.exp(-24 * np.log(10) * volume / (2 * SOUND_SPEED * surface * self.reverberation)))
        squares, factors = [], []
        for axis in range(3):
            most = int(np.ceil(reach / (2 * size[axis]))) + 1
            order = np.arange(-most, most + 1)
            places = np.concatenate((source[axis] + 2 * order * size[axis], -source[axis] + 2 * order * size[axis]))
            bounces = np.concatenate((2 * np.abs(order), np.abs(order - 1) + np.abs(order)))
            squares.append((places - microphone[axis]) ** 2)
            factors.append(reflected**bounces)
        distance = np.sqrt(squares[0][:, None, None] + squares[1][None, :, None] + squares[2][None, None, :]).ravel()
        strength = (factors[0][:, None, None] * factors[1][None, :, None] * factors[2][None, None, :]).ravel() / distance
        delay = np.rint((distance - distance.min()) * RATE / SOUND_SPEED).astype(np.int64)
        heard = delay < int(seconds * RATE)
        response = _high_passed(np.bincount(delay[heard], weights=strength[heard]))
        normed: NDArray[np.float32] = (response / np.sqrt(np.sum(response**2))).astype(np.float32)
        return normed


def _high_passed(response: NDArray[np.float64]) -> NDArray[np.float64]:
    """Through a causal filter of second order, cut to its own length."""
    size = 1 << (2 * len(response) - 1).bit_length()
    ratio = 1j * np.fft.rfftfreq(size, 1 / RATE) / HIGH_PASS_HZ
    passed: NDArray[np.float64] = np.fft.irfft(np.fft.rfft(response, size) * (ratio / (1 + ratio)) ** 2, size)[: len(response)]
    return passed


def furnished(random: np.random.Generator, reverberation: tuple[float, float]) -> Room:
    """A room of 3 x 2.5 m to 10 x 8 m with a reverberation time between these two, the microphone somewhere on a table."""
    size = (random.uniform(3, 10), random.uniform(2.5, 8), random.uniform(2.4, 3.5))
    place = (random.uniform(0.35, 0.65) * size[0], random.uniform(0.35, 0.65) * size[1], random.uniform(0.7, 1.0))
    return Room(size, random.uniform(*reverberation), place)


def seat(room: Room, random: np.random.Generator) -> NDArray[np.float64]:
    """Where somebody's mouth is: ``[3]``, off the walls and at least half a metre from the microphone."""
    while True:
        place = np.array([random.uniform(WALL, length - WALL) for length in room.size[:2]] + [random.uniform(1.1, 1.6)])
        if np.linalg.norm(place - np.array(room.microphone)) >= LEAST_DISTANCE:
            return place


def convolve(samples: NDArray[np.float32], response: NDArray[np.float32]) -> NDArray[np.float32]:
    """The whole convolution ``[n + m - 1]``, by FFT in float64."""
    length = len(samples) + len(response) - 1
    size = 1 << (length - 1).bit_length()
    product = np.fft.rfft(samples.astype(np.float64), size) * np.fft.rfft(response.astype(np.float64), size)
    wet: NDArray[np.float32] = np.fft.irfft(product, size)[:length].astype(np.float32)
    return wet
