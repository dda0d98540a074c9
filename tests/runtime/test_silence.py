"""The gate in front of the model: what it lets pass, and that it goes by nothing but the window itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from wavlm_diarizer import Diarizer
from wavlm_diarizer.model_file import SAMPLE
from wavlm_diarizer.silence import is_silence
from wavlm_diarizer.timebase import TimeBase

RATE = 16_000
TIME = TimeBase()


def noise(seconds: float, level: float = 0.01) -> np.ndarray:
    return (level * np.random.default_rng(0).standard_normal(round(seconds * RATE))).astype(np.float32)


def speech(seconds: float, start: float = 0.0) -> np.ndarray:
    samples, rate = soundfile.read(SAMPLE, dtype="float32")
    assert rate == RATE
    return samples[round(start * RATE) :][: round(seconds * RATE)]


def test_steady_noise_of_any_level_and_colour_is_silence() -> None:
    for level in (1e-6, 1e-3, 0.3):
        assert is_silence(noise(10, level), TIME)
    hum = 0.2 * np.sin(2 * np.pi * 50 * np.arange(10 * RATE) / RATE)
    assert is_silence((noise(10) + hum).astype(np.float32), TIME)
    assert is_silence(noise(10) + 0.9, TIME)
    assert is_silence(np.convolve(noise(10), np.ones(8), mode="same").astype(np.float32), TIME)
    assert is_silence(np.full(10 * RATE, 0.25, dtype=np.float32), TIME)


@pytest.mark.parametrize("start", range(0, 22, 2))
def test_speech_never_is(start: int) -> None:
    assert not is_silence(speech(8, start), TIME)
    assert not is_silence(1e-4 * speech(8, start), TIME)
    assert not is_silence(speech(8, start) + np.float32(0.9), TIME)


@pytest.mark.parametrize("signal_to_noise", [20, 10, 5])
def test_half_a_second_of_speech_in_noise_is_heard(signal_to_noise: float) -> None:
    window = noise(8)
    word = speech(0.5, 1.0)
    gain = 10 ** (signal_to_noise / 20) * window.std() / word.std()
    for start in (0.0, 3.7, 7.5):
        here = slice(round(start * RATE), round(start * RATE) + len(word))
        with_word = window.copy()
        with_word[here] += gain * word
        assert not is_silence(with_word, TIME), start


def test_digital_silence_beside_sound_goes_to_the_model() -> None:
    window = noise(8)
    window[: 4 * RATE] = 0
    assert not is_silence(window, TIME)


def test_short_windows_go_to_the_model() -> None:
    assert not is_silence(noise(4), TIME)


def test_a_pause_is_skipped_and_counted_and_all_else_has_the_same_answer(tmp_path: Path) -> None:
    samples = np.concatenate([speech(12), noise(24, 1e-3), speech(8, 16)])
    gated, every = Diarizer()((samples, RATE)), Diarizer(skip_silence=False)((samples, RATE))
    assert gated.turns == every.turns
    assert (gated.skipped_windows, every.skipped_windows) == (4, 0)
    # Windows of 9 s overlap by half: those at 13.5, 18, 22.5 and 27 s hold nothing else.
    seen = np.ones(len(every.activity), dtype=bool)
    seen[600:1800] = False
    np.testing.assert_array_equal(gated.activity[seen], every.activity[seen])
    path = tmp_path / "pause.json"
    gated.save(path)
    assert type(gated).load(path).skipped_windows == gated.skipped_windows
