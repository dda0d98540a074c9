"""Sound that is not speech to be labelled: coloured and modulated noise, hum, knocks, tones, far babble, recordings of noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wavlm_export.builtin.config import HOP, RATE
from wavlm_export.builtin.rooms import convolve, room

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from wavlm_export.builtin.voices import Cast

KINDS = (("coloured", 0.3), ("band", 0.14), ("hum", 0.1), ("knocks", 0.16), ("tones", 0.1), ("babble", 0.2))
BABBLE_VOICES = 8


def shaped(samples: int, shape: NDArray[np.floating], random: np.random.Generator) -> NDArray[np.float32]:
    """White noise ``[samples]`` times a spectrum ``[samples // 2 + 1]``."""
    spectrum = np.fft.rfft(random.standard_normal(samples, dtype=np.float32))
    noise: NDArray[np.float32] = np.fft.irfft(spectrum * shape, samples).astype(np.float32)
    return noise


def frequencies(samples: int) -> NDArray[np.float32]:
    """Of the bins of a real spectrum, in Hz."""
    hertz: NDArray[np.float32] = np.fft.rfftfreq(samples, 1 / RATE).astype(np.float32)
    return hertz


def coloured(samples: int, random: np.random.Generator) -> NDArray[np.float32]:
    """From nearly white to brown, through a room's or a machine's broad tilt."""
    slope = random.uniform(0.1, 1.3)
    return shaped(samples, np.arange(1, samples // 2 + 2, dtype=np.float32) ** -slope, random)


def band(samples: int, random: np.random.Generator) -> NDArray[np.float32]:
    """A band that swells: fans, water, traffic."""
    hertz, low = frequencies(samples), 10 ** random.uniform(1.7, 3.3)
    high = low * random.uniform(1.3, 6.0)
    inside = np.where((hertz < low) | (hertz > high), np.float32(0.03), np.float32(1))
    time = np.arange(samples, dtype=np.float32) / RATE
    swell = 1 + random.uniform(0, 1) * np.sin(2 * np.pi * random.uniform(0.1, 8.0) * time + random.uniform(0, 6))
    swelling: NDArray[np.float32] = shaped(samples, inside, random) * swell.astype(np.float32)
    return swelling


def hum(samples: int, random: np.random.Generator) -> NDArray[np.float32]:
    """Steady harmonics over a little noise."""
    time = np.arange(samples, dtype=np.float32) / RATE
    base = 10 ** random.uniform(1.6, 3.0)
    sound = 0.05 * random.standard_normal(samples, dtype=np.float32)
    for multiple in range(1, int(random.integers(2, 8))):
        phase = np.float32(2 * np.pi * base * multiple) * time + np.float32(random.uniform(0, 6))
        sound += np.float32(random.uniform(0.1, 1.0)) * np.sin(phase)
    return sound


def knocks(samples: int, random: np.random.Generator) -> NDArray[np.float32]:
    """Decaying bursts at random times: doors, keys, cups, steps, rustling."""
    sound = 0.01 * random.standard_normal(samples, dtype=np.float32)
    for _ in range(int(random.integers(1, 14))):
        length = min(int(random.uniform(0.004, 0.35) * RATE), samples)
        centre, width = 10 ** random.uniform(2.0, 3.7), random.uniform(0.3, 2.5)
        near = np.abs(np.log2((frequencies(length) + 1) / centre)) < width
        decay = np.exp(-np.arange(length) / (length * random.uniform(0.1, 0.4)))
        at = int(random.integers(0, samples - length + 1))
        sound[at : at + length] += (shaped(length, np.where(near, 1.0, 0.05), random) * decay * random.uniform(0.2, 1.0)).astype(np.float32)
    return sound


def tones(samples: int, random: np.random.Generator) -> NDArray[np.float32]:
    """Notes of one to four partials that come and go and may glide: music, ringing, alarms. The nearest to voiced speech that is none."""
    sound = 0.005 * random.standard_normal(samples, dtype=np.float32)
    at = 0
    while at < samples:
        length = min(int(random.uniform(0.05, 0.9) * RATE), samples - at)
        time = np.arange(length, dtype=np.float32) / RATE
        base, glide = 10 ** random.uniform(2.0, 3.2), random.uniform(-0.3, 0.3) if random.random() < 0.3 else 0.0
        edge = np.minimum(1, np.minimum(time, time[::-1]) * 50) * np.exp(-time * random.uniform(0, 8))
        for partial in range(1, int(random.integers(2, 6))):
            angle = 2 * np.pi * base * partial * (time + glide * time * time)
            sound[at : at + length] += (edge * np.sin(angle) * random.uniform(0.1, 1.0) / partial).astype(np.float32)
        at += length + int(random.exponential(0.1) * RATE)
    return sound


def babble(samples: int, cast: Cast, random: np.random.Generator, voices: int = BABBLE_VOICES) -> NDArray[np.float32]:
    """Far voices at once ``[samples]``, with an RMS of 1; nobody would label them."""
    sound = np.zeros(samples, dtype=np.float32)
    for person in random.integers(len(cast), size=voices):
        words, _ = cast.speak(int(person), -(-samples // HOP), random)
        sound += words[:samples]
    far = convolve(sound, room(random, far=True))
    return far / np.float32(np.sqrt(np.mean(far * far)) + 1e-9)


def noise(samples: int, cast: Cast | None, recordings: Sequence[NDArray[np.int16]], random: np.random.Generator) -> NDArray[np.float32]:
    """``[samples]`` of one to three kinds at once, with an RMS of 1 together; without a cast there is no babble among them."""
    makers: dict[str, Callable[[int, np.random.Generator], NDArray[np.float32]]] = {
        "coloured": coloured,
        "band": band,
        "hum": hum,
        "knocks": knocks,
        "tones": tones,
    }
    if cast is not None:
        makers["babble"] = lambda count, source: babble(count, cast, source)
    kinds, shares = zip(*((kind, share) for kind, share in KINDS if kind in makers), strict=True)
    sound = np.zeros(samples, dtype=np.float32)
    for _ in range(int(random.choice([1, 2, 3], p=[0.5, 0.35, 0.15]))):
        if recordings and random.random() < 0.5:
            one = _excerpt(recordings[int(random.integers(len(recordings)))], samples, random)
        else:
            one = makers[str(random.choice(kinds, p=np.divide(shares, sum(shares))))](samples, random)
        sound += one * np.float32(random.uniform(0.2, 1.0) / (np.sqrt(np.mean(one * one)) + 1e-9))
    unit: NDArray[np.float32] = sound / np.float32(np.sqrt(np.mean(sound * sound)) + 1e-9)
    return unit


def _excerpt(recording: NDArray[np.int16], samples: int, random: np.random.Generator) -> NDArray[np.float32]:
    """Some part of a recording; a short one is repeated with pauses."""
    if len(recording) > samples:
        at = int(random.integers(len(recording) - samples))
        return recording[at : at + samples].astype(np.float32)
    sound, at = np.zeros(samples, dtype=np.float32), int(random.integers(RATE))
    while at < samples:
        take = min(len(recording), samples - at)
        sound[at : at + take] = recording[:take]
        at += take + int(random.exponential(0.7) * RATE)
    return sound
