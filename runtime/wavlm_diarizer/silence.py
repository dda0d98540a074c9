"""One window of audio in, whether anybody can speak in it out: a cheap gate in front of the model, on the safe side.

Speech rises and falls by tens of decibels within a second, in one band of frequencies or another; the noise of a room, of a line or of a
microphone does not. So a window is taken for silence only if it is steady: if in no band any moment stands out from the window's own
quiet moments. Nothing but the window itself is looked at, and only ratios are, so the answer is the same at any gain, for any block size,
and whatever else is in the recording. What is not speech but not steady either (music, keys, footsteps) goes to the model as before.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wavlm_diarizer.timebase import TimeBase

LIMIT_DECIBELS = 12.0
"""The loudest moment of a steady window above its quiet ones, in every band. White noise has 6; of the windows of the recordings in
``docs/decisions/less_work.md`` in which somebody speaks, none has less than 31."""
BAND_EDGES = (100, 300, 600, 1000, 1600, 2500, 4000, 7000)
"""In Hz: wider towards the top, as the ear's are. Below is hum, which may swell as it likes, above hardly anything of a voice."""
MOMENT_FRAMES = 3
"""A moment is 60 ms: about the shortest vowel, and long enough for noise to be told from it."""
QUIET = 10
"""Per cent of a window's moments that are no louder than what is called its quiet moments."""
LEAST_SECONDS = 5.0
"""Shorter windows are never taken for silence: a sung note may fill them."""


def is_silence(samples: NDArray[np.float32], time_base: TimeBase) -> bool:
    """Whether nobody speaks in one window ``[n]``: all samples are equal, or the window is steady in every band."""
    if np.all(samples == samples[0]):
        return True
    hop = time_base.hop
    frames = (samples - samples.mean(dtype=np.float64)).astype(np.float32)[: len(samples) // hop * hop].reshape(-1, hop)
    if len(frames) < time_base.whole_frames(LEAST_SECONDS):
        return False
    # Most windows with speech are recognised by their loudness alone, for a tenth of the time that bands take.
    if _range(np.einsum("ij,ij->i", frames, frames, dtype=np.float64)[:, None]) > LIMIT_DECIBELS:
        return False
    spectrum = np.fft.rfft(frames * np.hanning(hop).astype(np.float32), axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    edges = [round(edge * hop / time_base.sample_rate) for edge in BAND_EDGES]
    bands = np.stack([power[:, low:high].sum(axis=1) for low, high in pairwise(edges)], axis=1)
    return _range(bands) <= LIMIT_DECIBELS


def _range(power: NDArray[np.floating]) -> float:
    """Decibels from the quiet moments to the loudest one of powers ``[frames, bands]``, in the band where that is most."""
    sums = np.cumsum(np.pad(power, ((1, 0), (0, 0))), axis=0, dtype=np.float64)
    moments = sums[MOMENT_FRAMES:] - sums[:-MOMENT_FRAMES]
    quiet = np.partition(moments, len(moments) * QUIET // 100, axis=0)[len(moments) * QUIET // 100]
    loudest = moments.max(axis=0)
    if np.any(quiet <= 0):  # digital silence beside sound
        return float("inf")
    return float(10 * np.log10((loudest / quiet).max()))
