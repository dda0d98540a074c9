"""Speech in, the same speech from a longer or shorter vocal tract out: other formants at the same pitch and pace.

Playing a recording faster moves pitch and formants alike; people differ in each by itself. Warping the frequency axis is known as vocal
tract length perturbation (Jaitly & Hinton 2013); here only the spectral envelope is warped, from the low part of the cepstrum, so the
harmonics stay where they are.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from wavlm_export.builtin.config import RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

FFT = 512
HOP = FFT // 2
"""Half a window: windows of the root of a Hann window, applied twice, add up to 1."""
LIFTER = 30
"""Of the cepstrum, so many numbers make the envelope: up to 1.9 ms, less than the period of a voice of 500 Hz."""
HERTZ = np.fft.rfftfreq(FFT, 1 / RATE)
FLOOR = 1e-5
MOST_GAIN = 2.3
"""Of the natural logarithm: 20 dB."""


def lengthened(samples: NDArray[np.float32], factor: float, gains: NDArray[np.float64] | None = None) -> NDArray[np.float32]:
    """Samples ``[n]`` at 16 kHz as from a vocal tract ``factor`` times as long, whose formants lie that much lower; ``[n]`` again.

    ``gains``: what the magnitudes at each of :data:`HERTZ` are multiplied by besides.
    """
    count = -(-len(samples) // HOP) + 1
    padded = np.zeros((count + 1) * HOP, dtype=np.float32)
    padded[HOP : HOP + len(samples)] = samples
    window = _window()
    frames = np.lib.stride_tricks.sliding_window_view(padded, FFT)[::HOP] * window
    spectra = np.fft.rfft(frames, axis=1)
    louder = np.log(np.abs(spectra).astype(np.float32) + np.float32(FLOOR)) @ _warp(round(factor, 3))
    louder = np.exp(np.clip(louder, -MOST_GAIN, MOST_GAIN))
    spectra *= louder if gains is None else louder * gains.astype(np.float32)
    pieces = np.fft.irfft(spectra, FFT, axis=1).astype(np.float32) * window
    heard = np.zeros_like(padded)
    heard[:-HOP] += pieces[:, :HOP].ravel()
    heard[HOP:] += pieces[:, HOP:].ravel()
    return heard[HOP : HOP + len(samples)]


@cache
def _window() -> NDArray[np.float32]:
    return np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FFT) / FFT)).astype(np.float32)


@lru_cache(maxsize=1024)
def _warp(factor: float) -> NDArray[np.float32]:
    """``[257, 257]``: log magnitudes of a window, times this, are by how much each band becomes louder (natural logarithm).

    All of it is linear: from log magnitudes to the cepstrum, from its low part to the envelope, from there to the envelope at ``factor``
    times the frequency, less the envelope itself.
    """
    bands = FFT // 2 + 1
    mirrored = np.concatenate((np.eye(bands), np.eye(bands)[:, -2:0:-1]), axis=1)
    cepstrum = np.fft.ifft(mirrored, axis=1).real
    low = np.minimum(np.arange(FFT), FFT - np.arange(FFT)) < LIFTER
    envelope = np.fft.fft(cepstrum * low, axis=1).real[:, :bands]
    at = np.minimum(np.arange(bands) * factor, bands - 1)
    below = np.minimum(at.astype(np.int64), bands - 2)
    share = at - below
    warped = envelope[:, below] * (1 - share) + envelope[:, below + 1] * share
    return np.ascontiguousarray(warped - envelope, dtype=np.float32)
