"""What the built-in model promises on the sample recording: the same answer however it is run."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from wavlm_diarizer import Diarizer
from wavlm_diarizer import diarizer as module
from wavlm_diarizer.audio import open_audio
from wavlm_diarizer.model_file import SAMPLE

if TYPE_CHECKING:
    from wavlm_diarizer.diarization import Diarization


def probabilities(diarizer: Diarizer, source: object) -> np.ndarray:
    return diarizer.activity(source).channels[0].probabilities  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def builtin() -> Diarizer:
    return Diarizer(threads=2)


@pytest.fixture(scope="module")
def answer(builtin: Diarizer) -> Diarization:
    return builtin(SAMPLE)


def test_every_run_gives_the_same_bits(builtin: Diarizer) -> None:
    first = probabilities(builtin, SAMPLE)
    builtin((np.random.default_rng(0).normal(0, 0.1, 50_000), 16_000))
    assert np.array_equal(probabilities(builtin, SAMPLE), first)
    assert np.array_equal(probabilities(Diarizer(threads=2), SAMPLE), first)


@pytest.mark.parametrize("seconds", [0.037, 2.5])
def test_the_block_size_changes_no_bit(builtin: Diarizer, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    expected = probabilities(builtin, SAMPLE)
    monkeypatch.setattr(module, "open_audio", lambda source, **options: open_audio(source, block_seconds=seconds, **options))
    assert np.array_equal(probabilities(builtin, SAMPLE), expected)


@pytest.mark.parametrize("options", [{"threads": 1}, {"threads": 3}, {"threads": 2, "low_memory": True}, {"threads": 2, "spin": True}])
def test_threads_and_memory_profiles_change_no_turn(builtin: Diarizer, answer: Diarization, options: dict[str, int]) -> None:
    other = Diarizer(**options)  # type: ignore[arg-type]
    assert np.abs(probabilities(other, SAMPLE) - probabilities(builtin, SAMPLE)).max() <= 1e-5
    assert other(SAMPLE) == answer


@pytest.mark.parametrize("rate", [8000, 44_100])
def test_other_sampling_rates_give_nearly_the_same_turns(builtin: Diarizer, answer: Diarization, rate: int) -> None:
    import soxr

    samples, own = soundfile.read(SAMPLE)
    file = io.BytesIO()
    soundfile.write(file, soxr.resample(samples, own, rate), rate, format="WAV", subtype="FLOAT")
    result = builtin(file.getvalue())
    assert result.duration == pytest.approx(answer.duration, abs=0.001)
    if rate > own:  # what 8 kHz cuts off is not there for the model
        total = sum(turn.duration for turn in answer.turns)
        assert sum(turn.duration for turn in result.turns) == pytest.approx(total, rel=0.03)


def test_digital_silence_has_no_turns(builtin: Diarizer) -> None:
    result = builtin((np.zeros(20 * 16_000), 16_000))
    assert (result.turns, result.duration) == ((), 20.0)


def test_the_models_file_says_where_it_is_from() -> None:
    settings = Diarizer().settings
    assert settings.source == "builtin-sd"
    assert settings.license == "mit; speaker model: apache-2.0"
    assert settings.precision == "int8"
    assert settings.verification["fp32"]["verdict"] == "passed"
    assert settings.verification["int8"]["verdict"] in {"passed", "not enough evidence"}
    assert settings.verification["int8"]["labels_equal"] >= 0.995
    assert Path(SAMPLE).stat().st_size < 1_000_000
