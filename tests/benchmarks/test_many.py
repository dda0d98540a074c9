"""Many recordings: what each way runs, and that a report tells whether they all came to the same turns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile

import many
from wavlm_diarizer.model_file import SAMPLE


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    samples, rate = soundfile.read(SAMPLE, dtype="int16")
    for name, start in (("real", 0), ("mix", 4)):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / f"{name}.flac", samples[start * rate : (start + 4) * rate], rate)
    return tmp_path


def test_every_way_diarizes_every_recording_once() -> None:
    paths = [Path(f"{letter}.flac") for letter in "abcde"]
    for way in many.WAYS.values():
        words = [word for group in way(paths, Path("out"), ["-m", "model.onnx"]) for command in group for word in command]
        assert sorted(word for word in words if word.endswith(".flac")) == [str(path) for path in paths]
        assert "model.onnx" in words
    assert len(many.a_command_each(paths, Path("out"), [])) == len(paths)
    assert len(many.together(paths, Path("out"), [])) == 1


def test_the_report_compares_what_was_written(recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "WAYS", {"together": many.together, "processes": many.processes})
    out = tmp_path / "results"
    assert many.main([str(recordings), "--rounds", "1", "--output", str(out)]) == 0
    ways = json.loads((out / "many.json").read_text(encoding="utf-8"))["ways"]
    assert {name: (way["files"], way["same"]) for name, way in ways.items()} == {"together": (2, True), "processes": (2, True)}
    assert "2 recordings" in (out / "many.md").read_text(encoding="utf-8")


def test_a_way_that_fails_is_not_a_measurement(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="failed"):
        many.seconds_of(many.together([tmp_path / "missing.flac"], tmp_path, []))


def test_without_recordings_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        many.main([str(tmp_path)])
    assert "no FLAC file" in capsys.readouterr().err
