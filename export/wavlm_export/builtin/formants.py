"""Speech in, the same speech by a longer or shorter vocal tract out: pitch and pace stay, the formants move.

Playing a voice faster raises pitch and formants together. Moving the formants alone makes other people of it in a second direction, and a
speaker embedder hears them as such: the more the farther they move.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

WINDOW, STEP = 1024, 256
QUEFRENCIES = 40
"""Cepstral coefficients that make up the envelope: at 16 kHz, what changes more slowly along frequency than a pitch of 400 Hz does."""
FLOOR = 1e-5
"""Added to magnitudes before their logarithm."""
MOST = 6.0
"""The natural logarithm of the greatest gain."""


def shifted(samples: NDArray[np.float32], ratio: float) -> NDArray[np.float32]:
    """Samples ``[n]`` with all formants at ``ratio`` times their frequency.

    The envelope of each frame's spectrum is its real cepstrum's beginning (Oppenheim and Schafer, *Digital Signal Processing*, 1975); the
    spectrum is multiplied by the ratio of the moved envelope to its own, and keeps its phases.
    """
    padded = np.concatenate((np.zeros(WINDOW), samples, np.zeros(2 * WINDOW))).astype(np.float32)
    # Two windows, before and after, so that their product overlaps to a constant.
    window = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
    starts = np.arange(0, len(padded) - WINDOW, STEP)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[starts] * window
    spectra = np.fft.rfft(frames, axis=1)
    envelopes = _envelopes(np.abs(spectra))
    bins = np.arange(WINDOW // 2 + 1) / ratio
    below = np.minimum(bins.astype(int), WINDOW // 2)
    above, share = np.minimum(below + 1, WINDOW // 2), np.clip(bins - below, 0, 1)
    moved = envelopes[:, below] * (1 - share) + envelopes[:, above] * share
    changed = np.fft.irfft(spectra * np.exp(np.clip(moved - envelopes, -MOST, MOST)), axis=1) * window
    whole = np.zeros(len(padded))
    for start, frame in zip(starts, changed, strict=True):
        whole[start : start + WINDOW] += frame
    whole /= np.sum(window**2) / STEP
    shifted: NDArray[np.float32] = whole[WINDOW : WINDOW + len(samples)].astype(np.float32)
    return shifted


def _envelopes(magnitudes: NDArray[np.floating]) -> NDArray[np.floating]:
    """The smooth part of the logarithm of magnitudes ``[frames, bins]``."""
    cepstra = np.fft.irfft(np.log(magnitudes + FLOOR), axis=1)
    cepstra[:, QUEFRENCIES : WINDOW - QUEFRENCIES + 1] = 0
    envelopes: NDArray[np.floating] = np.fft.rfft(cepstra, axis=1).real
    return envelopes
