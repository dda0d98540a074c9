"""Tuning on labelled recordings: what it finds, that it is honest, and the file that it writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import soundfile

import fake_model
from fake_model import speech, voiced
from wavlm_diarizer import Diarization, Diarizer, Turn
from wavlm_diarizer.cli import main
from wavlm_diarizer.onnx_messages import with_metadata

RATE = 16_000
SECONDS = 40.0


def write(folder: Path, name: str, samples: np.ndarray, turns: list[tuple[float, float, str]]) -> None:
    soundfile.write(folder / f"{name}.wav", samples, RATE)
    Diarization([Turn(*turn) for turn in turns], name=name).save(folder / f"{name}.rttm")


@pytest.fixture(scope="module")
def halting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of people who halt for a tenth of a second in every turn, which the truth does not count as a pause."""
    folder = tmp_path_factory.mktemp("halting")
    for number in range(4):
        rng = np.random.default_rng(number)
        heard, turns, at = [], [], 0.5
        while at < SECONDS - 6:
            speaker, length = len(turns) % 2, float(rng.uniform(2.0, 4.0))
            heard += [(at, at + length / 2 - 0.06, speaker), (at + length / 2 + 0.06, at + length, speaker)]
            turns.append((at, at + length, "AB"[speaker]))
            at += length + 1.5
        write(folder, f"r{number}", speech(heard, SECONDS), turns)
    return folder


def test_settings_that_help_are_found_and_written_into_a_copy(
    halting: Path, fake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tuned.onnx"
    assert main(["tune", str(halting), "-m", str(fake), "-o", str(out), "-q", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["policy"] == "no collar, overlap scored"
    assert report["cross_validated"]["der"] < report["before"]["der"]
    assert report["after"]["der"] < 0.5 * report["before"]["der"]
    tuned, before = Diarizer(out), Diarizer(fake)
    assert tuned.settings.decoding.as_dict() == report["decoding"]
    assert tuned.settings.verification["tuning"]["recordings"] == 4
    assert len(tuned(halting / "r0.wav").turns) < len(before(halting / "r0.wav").turns)
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    assert np.array_equal(tuned.logits(noise), before.logits(noise))


def test_the_report_names_its_policy_and_the_figure_to_believe(
    halting: Path, fake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tune", str(halting), "-m", str(fake), "-o", str(tmp_path / "tuned.onnx")]) == 0
    out = capsys.readouterr().out
    assert [line.split("  ")[0] for line in out.splitlines()[:4]] == [
        "settings",
        "before",
        "after, on the same recordings",
        "cross-validated",
    ]
    assert "Scored: no collar, overlap scored. Believe the cross-validated row." in out


def test_a_model_that_is_right_already_is_left_alone(fake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        turns = [(0.5 + 3 * turn + 0.1 * number, 3.0 + 3 * turn, turn % 2) for turn in range(10)]
        write(tmp_path, f"r{number}", speech(turns, 31.0), [(start, end, "AB"[who]) for start, end, who in turns])
    out = tmp_path / "tuned.onnx"
    assert main(["tune", str(tmp_path), "-m", str(fake), "-o", str(out), "-q"]) == 1
    assert "Nothing was written: on recordings that they were not found on" in capsys.readouterr().err
    assert not out.exists()
    assert main(["tune", str(tmp_path), "-m", str(fake), "-o", str(out), "-q", "--anyway"]) == 0
    assert out.exists()


def test_clustering_is_tuned_where_there_are_voices(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # A threshold so low that everybody is one person.
    from wavlm_diarizer import Clustering

    settings = fake_model.voice_settings(clustering=Clustering(threshold=-1.0, half_seconds=0.05))
    model = fake_model.write(tmp_path / "model.onnx", settings.to_metadata(), voices=True)
    for number in range(3):
        turns = [(0.5 + 3 * turn, 3.0 + 3 * turn - 0.1 * number, (turn + number) % 2, (turn * (number + 1)) % 4) for turn in range(10)]
        write(tmp_path, f"r{number}", voiced(turns, 31.0), [(start, end, f"V{voice}") for start, end, _, voice in turns])
    assert main(["tune", str(tmp_path), "-m", str(model), "-o", str(tmp_path / "tuned.onnx"), "-q", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["before"]["speakers_right"] == 0
    assert report["after"]["speakers_right"] == 3
    assert Diarizer(tmp_path / "tuned.onnx").settings.clustering.threshold > -1.0


@pytest.mark.parametrize(("recordings", "words"), [(0, "holds no audio files"), (2, "too little to tune on"), (4, "put them into r0.rttm")])
def test_too_little_or_unlabelled_data_is_one_sentence(
    recordings: int, words: str, halting: Path, fake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(recordings):
        (tmp_path / f"r{number}.wav").write_bytes((halting / f"r{number}.wav").read_bytes())
        if recordings == 2:
            (tmp_path / f"r{number}.rttm").write_bytes((halting / f"r{number}.rttm").read_bytes())
    assert main(["tune", str(tmp_path), "-m", str(fake), "-o", str(tmp_path / "tuned.onnx"), "-q"]) in {1, 2}
    assert words in capsys.readouterr().err
    assert not (tmp_path / "tuned.onnx").exists()


def test_no_data_and_two_recordings_in_one_rttm_are_refused(
    halting: Path, fake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tune", "-m", str(fake), "-o", str(tmp_path / "tuned.onnx")]) == 2
    (tmp_path / "r0.wav").write_bytes((halting / "r0.wav").read_bytes())
    (tmp_path / "r0.rttm").write_bytes((halting / "r0.rttm").read_bytes() + (halting / "r1.rttm").read_bytes())
    assert main(["tune", str(tmp_path), "-m", str(fake), "-o", str(tmp_path / "tuned.onnx")]) == 1
    assert "must hold the turns of one recording, not of 2" in capsys.readouterr().err


def test_the_errors_of_the_search_are_those_of_the_score() -> None:
    from wavlm_diarizer.scoring import score
    from wavlm_diarizer.tuning import frame_errors

    rng = np.random.default_rng(0)
    truth, found = rng.random((100, 3)) < 0.4, rng.random((100, 2)) < 0.5

    def turns(frames: np.ndarray) -> Diarization:
        return Diarization([Turn(frame / 50, (frame + 1) / 50, f"S{who}") for frame, who in np.argwhere(frames)])

    exact = score(turns(truth), turns(found))
    assert frame_errors(truth, found) / 50 == pytest.approx(exact.missed + exact.false_alarm + exact.confusion)
    assert frame_errors(truth, np.zeros((100, 0), dtype=bool)) == truth.sum()


def test_only_the_metadata_of_a_copy_changes(fake: Path) -> None:
    onnx = pytest.importorskip("onnx")
    changed = with_metadata(fake.read_bytes(), {"wavlm_diarizer.source": "x", "other": "y"})
    before, after = onnx.load(fake), onnx.load_from_string(changed)
    assert after.graph == before.graph
    session = onnxruntime.InferenceSession(changed, providers=["CPUExecutionProvider"])
    expected = {entry.key: entry.value for entry in before.metadata_props} | {"wavlm_diarizer.source": "x", "other": "y"}
    assert session.get_modelmeta().custom_metadata_map == expected
