from __future__ import annotations

import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import soundfile

import fake_model
from fake_model import speech
from wavlm_diarizer import Decoding, Diarizer
from wavlm_diarizer.audio import open_audio
from wavlm_diarizer.diarizer import sigmoid
from wavlm_diarizer.errors import AudioContentError, ModelFormatError, ModelSettingsError, OptionError
from wavlm_diarizer.windows import cut, plan

RATE = 16_000
TURNS = [(0.5, 2.0, 0), (2.4, 4.0, 1), (5.0, 7.5, 0), (8.0, 9.0, 1), (10.0, 12.5, 0)]


@pytest.fixture(scope="module")
def diarizer(fake: Path) -> Diarizer:
    return Diarizer(fake)


def simple(result: object) -> list[tuple[float, float, str]]:
    return [(round(turn.start, 3), round(turn.end, 3), turn.speaker) for turn in result.turns]  # type: ignore[attr-defined]


def test_turns_are_where_the_speech_is(diarizer: Diarizer) -> None:
    result = diarizer((speech(TURNS, 13.0), RATE))
    assert result.speakers == ("SPEAKER_00", "SPEAKER_01")
    assert result.duration == 13.0
    found = simple(result)
    assert len(found) == len(TURNS)
    for (start, end, speaker), (first, last, name) in zip(TURNS, found, strict=True):
        # A frame sees 25 ms, of which it needs a tenth at this level.
        assert (first, last) == (pytest.approx(start, abs=0.021), pytest.approx(end, abs=0.021))
        assert name == f"SPEAKER_{speaker:02d}"


def test_speakers_are_named_in_the_order_in_which_they_begin(diarizer: Diarizer) -> None:
    result = diarizer((speech([(1.0, 2.0, 1), (2.5, 3.0, 0)], 4.0), RATE))
    assert [(turn.speaker, round(turn.start)) for turn in result.turns] == [("SPEAKER_00", 1), ("SPEAKER_01", 2)]
    assert result.activity is not None
    assert result.activity[70].argmax() == 0


def test_activity_has_a_frame_every_20_ms_and_a_column_for_each_speaker(diarizer: Diarizer) -> None:
    result = diarizer((speech(TURNS, 13.0), RATE))
    assert result.activity is not None
    assert result.activity.shape == (diarizer.time_base.frames(13 * RATE), 2)
    assert result.activity.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        result.activity[0, 0] = 1.0


@pytest.mark.parametrize("seconds", [0.01, 1.0, 10.0])
def test_turns_are_the_same_whatever_the_block_size(
    diarizer: Diarizer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seconds: float
) -> None:
    from wavlm_diarizer import diarizer as module

    path = tmp_path / "call.flac"
    soundfile.write(path, speech(TURNS, 13.0, 44_100), 44_100)
    expected = diarizer(path)
    monkeypatch.setattr(module, "open_audio", lambda source, **options: open_audio(source, block_seconds=seconds, **options))
    answer = diarizer(path)
    assert answer == expected
    assert answer.activity is not None
    assert np.array_equal(answer.activity, expected.activity)


def test_every_way_to_give_a_recording_gives_the_same_turns(diarizer: Diarizer, tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    soundfile.write(path, speech(TURNS, 13.0), RATE, subtype="FLOAT")
    data = path.read_bytes()
    with path.open("rb") as file:
        results = [diarizer(path), diarizer(str(path)), diarizer(data), diarizer(io.BytesIO(data)), diarizer(file)]
    results.append(diarizer((speech(TURNS, 13.0), RATE)))
    assert all(result.turns == results[0].turns for result in results)
    assert [result.name for result in results] == ["call", "call", "audio", "audio", "call", "audio"]


def test_the_model_sees_one_window_at_a_time_and_the_planned_ones(fake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    diarizer = Diarizer(fake)
    seen: list[tuple[int, ...]] = []
    run = diarizer._session.run

    class Watched:
        def run(self, names: list[str], feed: dict[str, np.ndarray], options: object) -> list[np.ndarray]:
            seen.append(feed["input_values"].shape)
            return run(names, feed, options)

    monkeypatch.setattr(diarizer, "_session", Watched())
    noise = np.random.default_rng(0).normal(0, 0.1, 13 * RATE)
    diarizer((noise, RATE))
    assert seen == [(1, stop - start) for start, stop in plan(13 * RATE, diarizer.settings.windows, diarizer.time_base)]


def test_each_window_is_normalised_by_itself_if_the_model_wants_it(tmp_path: Path) -> None:
    path = fake_model.write(tmp_path / "model.onnx", fake_model.settings(do_normalize=True).to_metadata())
    samples = 0.9 + 1e-3 * speech([(0.5, 1.5, 0)], 2.0)
    result = Diarizer(path)((samples, RATE))
    wide = (samples.astype(np.float64) - samples.mean(dtype=np.float64)) / np.sqrt(samples.var(dtype=np.float64) + 1e-7)
    assert result.activity is not None
    frame = 50
    window = wide[frame * 320 : frame * 320 + 400]
    expected = sigmoid(np.array([fake_model.GAIN * (np.maximum(window, 0).mean() - fake_model.THRESHOLD)]))
    # Normalised silence is negative, so the other label begins first.
    assert result.activity[frame, 1] == pytest.approx(expected[0], abs=1e-3)
    assert expected[0] > 0.99


@pytest.mark.parametrize("samples", [0, 1, 399])
def test_a_recording_shorter_than_a_frame_gives_an_empty_result(diarizer: Diarizer, samples: int) -> None:
    result = diarizer((np.full(samples, 0.5), RATE))
    assert (result.turns, result.speakers, result.duration) == ((), (), samples / RATE)
    assert result.activity is not None
    assert result.activity.shape == (0, 0)


def test_one_frame_is_enough_for_a_turn(diarizer: Diarizer) -> None:
    samples = np.full(400, 0.5)
    samples[0] = 0.4
    assert simple(diarizer((samples, RATE))) == [(0.0, 0.025, "SPEAKER_00")]


def test_silence_has_no_turns_and_the_model_is_not_asked(diarizer: Diarizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diarizer, "_session", None)
    for level in (0.0, 0.25):
        result = diarizer((np.full(13 * RATE, level), RATE))
        assert (result.turns, result.duration) == ((), 13.0)


def test_a_turn_up_to_the_end_ends_with_the_recording(diarizer: Diarizer) -> None:
    length = 3 * RATE + 123
    result = diarizer((speech([(1.0, 9.0, 0)], length / RATE), RATE))
    assert result.turns[-1].end == length / RATE


def test_channels_of_a_call_are_different_people(diarizer: Diarizer) -> None:
    call = np.stack([speech([(0.5, 2.0, 0)], 6.0), speech([(1.5, 4.0, 0), (4.5, 5.5, 1)], 6.0)], axis=1)
    result = diarizer((call, RATE), per_channel=True)
    assert [(turn.speaker, turn.channel) for turn in result.turns] == [("CH1_SPEAKER_00", 1), ("CH2_SPEAKER_00", 2), ("CH2_SPEAKER_01", 2)]
    assert result.warnings == ()
    for channel in (1, 2):
        alone = diarizer((call, RATE), channel=channel)
        both = [(turn.start, turn.end) for turn in result.turns if turn.channel == channel]
        assert both == [(turn.start, turn.end) for turn in alone.turns]


def test_identical_channels_are_noticed_and_diarized_as_one(diarizer: Diarizer) -> None:
    mono = speech(TURNS, 13.0)
    result = diarizer((np.stack([mono, mono], axis=1), RATE), per_channel=True)
    assert result.turns == diarizer((mono, RATE)).turns
    assert "identical" in result.warnings[0]
    assert result.complete
    later = np.stack([mono, mono], axis=1)
    later[-2000:, 1] += 0.5
    assert {turn.channel for turn in diarizer((later, RATE), per_channel=True).turns} == {1, 2}


def test_a_truncated_recording_is_diarized_as_far_as_it_goes(diarizer: Diarizer) -> None:
    file = io.BytesIO()
    soundfile.write(file, speech(TURNS, 13.0), RATE, format="WAV")
    result = diarizer(file.getvalue()[: 7 * RATE * 2])
    assert not result.complete
    assert "truncated" in result.warnings[0]
    assert len(result.turns) == 3


def test_a_bad_sample_late_in_a_recording_is_an_error(diarizer: Diarizer) -> None:
    samples = speech(TURNS, 13.0)
    samples[-10] = np.nan
    with pytest.raises(AudioContentError, match=r"at 12\.999 s"):
        diarizer((samples, RATE))


def test_samples_that_the_model_cannot_take_are_an_error_and_not_an_empty_result() -> None:
    with pytest.raises(AudioContentError, match="as large as"):
        Diarizer()((np.random.default_rng(0).normal(0, 1e30, 2 * RATE), RATE))


def test_joins_without_speech_are_listed(diarizer: Diarizer) -> None:
    result = diarizer((speech([(0.2, 1.5, 0), (11.0, 12.0, 1)], 13.0), RATE))
    assert len(result.uncertain_joins) >= 3
    assert all(0.0 < second < 13.0 for second in result.uncertain_joins)
    talk = speech([(0.0, 13.0, 0)], 13.0) + 0.01 * np.random.default_rng(0).standard_normal(13 * RATE)
    assert diarizer((talk, RATE)).uncertain_joins == ()


def test_decoding_and_windows_can_be_replaced(fake: Path, diarizer: Diarizer) -> None:
    samples = speech([(0.5, 1.0, 0), (1.2, 3.0, 0)], 3.5)
    assert len(diarizer((samples, RATE)).turns) == 2
    assert len(Diarizer(fake, decoding=Decoding(min_off=0.5))((samples, RATE)).turns) == 1
    assert len(diarizer.with_decoding(Decoding(min_off=0.5))((samples, RATE)).turns) == 1
    assert len(diarizer((samples, RATE)).turns) == 2
    assert diarizer.with_decoding(Decoding(onset=0.99, offset=0.99)).settings.decoding.onset == 0.99
    settings = Diarizer(fake, window_seconds=2.0).settings
    assert (settings.window_seconds, settings.overlap_seconds, settings.single_pass_seconds) == (2.0, 1.0, 4.0)
    with pytest.raises(OptionError, match="overlap"):
        Diarizer(fake, window_seconds=2.0, overlap_seconds=1.5)


def test_progress_goes_up_to_the_whole_recording(diarizer: Diarizer) -> None:
    calls: list[tuple[float, float | None]] = []
    diarizer((speech(TURNS, 13.0), RATE), progress=lambda done, total: calls.append((done, total)))
    assert calls == sorted(calls)
    assert calls[-1] == (13.0, 13.0)


def test_a_session_of_the_users_own_is_used(fake: Path, tmp_path: Path) -> None:
    session = onnxruntime.InferenceSession(fake, providers=["CPUExecutionProvider"])
    samples = speech(TURNS, 13.0)
    assert Diarizer(session=session)((samples, RATE)) == Diarizer(fake)((samples, RATE))
    with pytest.raises(OptionError, match="not both"):
        Diarizer(fake, session=session)
    bare = onnxruntime.InferenceSession(fake_model.write(tmp_path / "bare.onnx"), providers=["CPUExecutionProvider"])
    with pytest.raises(ModelSettingsError, match="settings="):
        Diarizer(session=bare)
    assert Diarizer(session=bare, settings=fake_model.settings())((samples, RATE)).turns


def test_a_file_that_others_exported_runs_unchanged(tmp_path: Path) -> None:
    fake_model.write(tmp_path / "onnx" / "model_quantized.onnx")
    (tmp_path / "config.json").write_text('{"architectures": ["WavLMForAudioFrameClassification"], "num_labels": 2}')
    (tmp_path / "preprocessor_config.json").write_text('{"do_normalize": false, "sampling_rate": 16000}')
    diarizer = Diarizer(tmp_path)
    assert diarizer.settings.single_pass_seconds == 30.0
    assert len(diarizer((speech(TURNS, 13.0), RATE)).turns) == len(TURNS)


def test_a_model_that_answers_with_another_shape_is_named(tmp_path: Path) -> None:
    settings = replace(fake_model.settings(), labels=("A", "B", "C"))
    path = fake_model.write(tmp_path / "odd.onnx", settings.to_metadata())
    with pytest.raises(ModelFormatError, match=r"odd\.onnx answered"):
        Diarizer(path)((speech(TURNS, 13.0), RATE))


def test_the_logits_of_one_window(diarizer: Diarizer) -> None:
    assert diarizer.logits(speech(TURNS, 13.0)).shape == (diarizer.time_base.frames(13 * RATE), 2)
    with pytest.raises(OptionError, match="at least 400"):
        diarizer.logits(np.zeros(399))
    with pytest.raises(OptionError, match="one axis"):
        diarizer.logits(np.zeros((2, 4000)))


def test_several_threads_get_the_same_answers_as_one(diarizer: Diarizer) -> None:
    recordings = [(np.roll(speech(TURNS, 13.0), 4000 * index), RATE) for index in range(8)]
    expected = [diarizer(recording) for recording in recordings]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(diarizer, recordings)) == expected


def test_sigmoid_does_not_overflow_and_agrees_with_the_sign() -> None:
    logits = np.array([-1000.0, -1e-9, 0.0, 1e-9, 1000.0], dtype=np.float32)
    with np.errstate(all="raise", under="ignore"):
        probabilities = sigmoid(logits)
    assert probabilities.tolist() == [0.0, pytest.approx(0.5), 0.5, pytest.approx(0.5), 1.0]
    assert ((probabilities > 0.5) == (logits > 0)).all()


def test_importing_the_runtime_loads_neither_torch_nor_its_company() -> None:
    code = "import sys, wavlm_diarizer.diarizer, wavlm_diarizer.cli.diarize, wavlm_diarizer.formats; print(' '.join(sys.modules))"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    assert not loaded & {"torch", "transformers", "optimum", "onnx", "scipy", "pandas", "wavlm_export", "onnxruntime", "av", "rich"}


def test_windows_of_the_built_in_model_join_on_the_frame_grid() -> None:
    settings = Diarizer().settings
    windows = list(cut([np.zeros((RATE, 1), dtype=np.float32)] * 30, settings.windows, settings.time_base))
    assert [window.start % settings.hop for window in windows] == [0] * len(windows)
    assert windows[-1].start + len(windows[-1].samples) == 30 * RATE
