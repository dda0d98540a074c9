"""What lies between a mouth and the model: rooms, a telephone's band, a codec's loss, a microphone's colour. ``[n]`` in and out."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import soxr

from wavlm_export.builtin.config import HOP, RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

TELEPHONE_HZ = (250.0, 3500.0)
BANDS_HZ = (500.0, 1000.0, 2000.0, 4000.0)
"""Edges of the bands in which a room's sound decays apart."""
LONGEST_TAIL = 0.8
"""Seconds after which an impulse response is cut."""
CODECS = (
    # Container, subtype, rate, least and most compression, how often.
    ("WAV", "GSM610", 8000, None, 0.3),
    ("MP3", "MPEG_LAYER_III", RATE, (0.6, 0.99), 0.3),
    ("OGG", "VORBIS", RATE, (0.7, 1.0), 0.3),
    ("OGG", "OPUS", RATE, (0.97, 1.0), 0.1),
)
"""Of libsndfile, at about 6 to 24 kbit/s; none of them shifts what it codes."""


@dataclass(frozen=True)
class Room:
    """A room in which several people are heard by one microphone."""

    seconds: float
    """Reverberation time at low frequencies."""
    damping: float
    """The share of it that is left at the highest: air and soft things swallow these first."""

    @classmethod
    def drawn(cls, random: np.random.Generator) -> Room:
        """From a furnished office to a hall."""
        return cls(float(random.uniform(0.15, 1.0)), float(random.uniform(0.3, 0.9)))

    def response(self, random: np.random.Generator, *, far: bool) -> NDArray[np.float32]:
        """From somebody's mouth to the microphone: the direct sound, a few reflections, and noise that decays, the high bands faster.

        The reflections and the tail have 0.01 to 1 of the direct sound's energy together, for a far microphone 1 to 10.
        """
        count = int(RATE * min(self.seconds, LONGEST_TAIL))
        time = np.arange(count, dtype=np.float32) / RATE
        spectrum = np.fft.rfft(random.standard_normal(count, dtype=np.float32))
        hertz = np.fft.rfftfreq(count, 1 / RATE)
        edges, tail = (0.0, *BANDS_HZ, RATE), np.zeros(count, dtype=np.float32)
        for band in range(len(edges) - 1):
            inside = (hertz >= edges[band]) & (hertz < edges[band + 1])
            lasts = self.seconds * self.damping ** (band / (len(edges) - 2))
            tail += np.fft.irfft(np.where(inside, spectrum, 0), count).astype(np.float32) * np.exp(-6.9 * time / lasts)
        tail[: int(RATE * random.uniform(0.002, 0.02))] = 0
        for _ in range(int(random.integers(3, 9))):
            delay = random.uniform(0.001, 0.03)
            tail[int(RATE * delay)] += random.choice([-1.0, 1.0]) * random.uniform(1.0, 6.0) * np.exp(-6.9 * delay / self.seconds)
        energy = 10 ** (random.uniform(0, 1) if far else random.uniform(-2, 0))
        tail *= np.sqrt(energy / np.sum(tail * tail))
        tail[0] = 1
        response: NDArray[np.float32] = (tail / np.sqrt(1 + energy)).astype(np.float32)
        return response


def room(random: np.random.Generator, *, far: bool) -> NDArray[np.float32]:
    """An impulse response: the direct sound, a gap, and an exponentially decaying noise tail.

    Reverberation times of 0.1 to 0.8 s (Polack's model); the tail has 0.01 to 1 of the direct sound's energy, for a far microphone 1 to 10.
    """
    seconds = random.uniform(0.1, 0.8)
    count = int(RATE * min(seconds, 0.5))
    # The level falls by 60 dB, a factor of exp(-6.9), in the reverberation time.
    tail = random.standard_normal(count) * np.exp(-6.9 * np.arange(count) / (RATE * seconds))
    tail[: int(RATE * random.uniform(0.001, 0.01))] = 0
    energy = 10 ** (random.uniform(0, 1) if far else random.uniform(-2, 0))
    tail *= np.sqrt(energy / np.sum(tail * tail))
    tail[0] = 1
    response: NDArray[np.float32] = (tail / np.sqrt(1 + energy)).astype(np.float32)
    return response


def convolve(samples: NDArray[np.float32], response: NDArray[np.float32]) -> NDArray[np.float32]:
    """The samples through an impulse response, cut to their own length."""
    size = 1 << (len(samples) + len(response) - 2).bit_length()
    product = np.fft.rfft(samples, size) * np.fft.rfft(response, size)
    wet: NDArray[np.float32] = np.fft.irfft(product, size)[: len(samples)].astype(np.float32)
    return wet


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


def coded(samples: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """Through one of :data:`CODECS` and back."""
    container, subtype, rate, compression, _ = CODECS[int(random.choice(len(CODECS), p=[share for *_, share in CODECS]))]
    level = None if compression is None else float(random.uniform(*compression))
    top = np.float32(2 * np.max(np.abs(samples)) + 1e-9)
    sent = soxr.resample(samples / top, RATE, rate, quality="LQ")
    file = io.BytesIO()
    soundfile.write(file, sent, rate, format=container, subtype=subtype, compression_level=level)
    file.seek(0)
    received = soxr.resample(soundfile.read(file, dtype="float32")[0], rate, RATE, quality="LQ")
    heard = np.zeros_like(samples)
    heard[: len(received)] = received[: len(samples)]
    return heard * top


def levelled(samples: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """Through a compressor or an automatic gain, as telephones and broadcasts have it: what is soft comes nearer to what is loud."""
    frames = len(samples) // HOP
    power = np.mean(samples[: frames * HOP].reshape(frames, HOP) ** 2, axis=1)
    floor = float(np.max(power)) * 10 ** (-random.uniform(20, 45) / 10) + 1e-12
    attack, release, ratio = random.uniform(0.3, 1.0), random.uniform(0.02, 0.3), random.uniform(0.3, 0.9)
    level, smooth = float(power[0]), np.empty(frames, dtype=np.float32)
    for frame, now in enumerate(power.tolist()):
        level += (attack if now > level else release) * (now - level)
        smooth[frame] = max(level, floor)
    gain = (smooth / np.max(smooth)) ** (-ratio / 2)
    at = np.arange(len(samples), dtype=np.float32)
    follows: NDArray[np.float32] = samples * np.interp(at, (np.arange(frames) + 0.5) * HOP, gain).astype(np.float32)
    return follows
