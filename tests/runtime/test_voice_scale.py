"""The scale of a model's voices, learned from recordings without labels."""

from __future__ import annotations

import numpy as np
import pytest
from test_clustering import RATE, meeting

from wavlm_diarizer.clustering import LocalSpeakers
from wavlm_diarizer.voice_scale import voice_scale


def shifted(local: LocalSpeakers, amount: float) -> LocalSpeakers:
    """The same voices with so much in common that the cosine of different people becomes ``amount``."""
    common = np.zeros(local.embeddings.shape[2] + 1, dtype=np.float32)
    common[-1] = amount**0.5
    wider = np.concatenate((local.embeddings * (1 - amount) ** 0.5, np.zeros((*local.solo.shape, 1), dtype=np.float32)), axis=2)
    heard = (local.solo > 0)[..., None]
    return LocalSpeakers(local.active, local.solo, np.where(heard, wider + common, 0).astype(np.float32), local.common, local.frames)


@pytest.mark.parametrize("amount", [0.0, 0.5, 0.9])
def test_the_cosine_of_different_people_is_found(amount: float) -> None:
    local = [shifted(meeting(4, 60, seed=seed)[0], amount) for seed in range(3)]
    assert voice_scale(local, RATE)["different"] == pytest.approx(amount, abs=0.05)


def test_noisier_voices_take_longer_to_be_known() -> None:
    halves = [voice_scale([meeting(3, 200, noise=noise)[0]], RATE)["half_seconds"] for noise in (0.2, 0.5, 0.9)]
    assert halves == sorted(set(halves))
    # Noise of 0.5 over 8 s is as much variance as a quarter of the voice's: half after 2 s.
    assert halves[1] == pytest.approx(2.0, rel=0.35)


def test_too_little_speech_shows_no_scale() -> None:
    assert voice_scale([meeting(2, 3)[0]], RATE) == {}
    assert voice_scale([], RATE) == {}
