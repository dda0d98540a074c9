"""Which of a model's precisions is run: the faster one here, measured once."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import fake_model
from wavlm_diarizer import Diarizer, precision_choice
from wavlm_diarizer.cache import VARIABLE
from wavlm_diarizer.errors import ModelFormatError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model in both precisions, and a cache of its own."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    for name, precision in (("model.onnx", "fp32"), ("model_quantized.onnx", "int8")):
        fake_model.write(tmp_path / "model" / "onnx" / name, fake_model.settings(precision=precision).to_metadata())
    return tmp_path / "model"


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Seconds that each precision is said to take, and how often that was asked for."""
    said = {"fp32": 1.0, "int8": 1.0, "asked": 0}

    def measured(files: dict[str, Path], **_: object) -> dict[str, float]:
        said["asked"] += 1
        return {name: said[name] for name in files}

    monkeypatch.setattr(precision_choice, "measured", measured)
    return said


@pytest.mark.parametrize(("fp32", "int8", "expected"), [(1.0, 0.5, "int8"), (0.5, 1.0, "fp32")])
def test_auto_takes_what_is_faster_here(folder: Path, speed: dict[str, float], fp32: float, int8: float, expected: str) -> None:
    speed |= {"fp32": fp32, "int8": int8}
    assert Diarizer(folder).settings.precision == expected
    assert Diarizer(folder, precision="fp32").settings.precision == "fp32"
    assert Diarizer(folder, precision="int8").settings.precision == "int8"


def test_it_is_measured_once_for_each_number_of_threads_and_each_state_of_the_files(folder: Path, speed: dict[str, float]) -> None:
    speed["int8"] = 0.5
    for _ in range(3):
        assert Diarizer(folder, threads=1).settings.precision == "int8"
    assert speed["asked"] == 1
    speed["int8"] = 2.0
    assert Diarizer(folder, threads=1).settings.precision == "int8"  # remembered, so that answers do not change from run to run
    assert Diarizer(folder, threads=2).settings.precision == "fp32"
    os.utime(folder / "onnx" / "model.onnx", (1, 1))
    assert Diarizer(folder, threads=1).settings.precision == "fp32"
    assert speed["asked"] == 3


def test_a_cache_that_is_damaged_or_cannot_be_written_is_done_without(
    folder: Path, speed: dict[str, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speed["int8"] = 0.5
    assert Diarizer(folder).settings.precision == "int8"
    (kept,) = (tmp_path / "cache").iterdir()
    assert json.loads(kept.read_text())["precision"] == "int8"
    for content in ("", "[]", '{"precision": "fp64"}'):
        kept.write_text(content)
        assert Diarizer(folder).settings.precision == "int8"
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "file" / "cache"))
    assert Diarizer(folder).settings.precision == "int8"


def test_a_single_precision_is_not_measured(folder: Path, speed: dict[str, float]) -> None:
    (folder / "onnx" / "model_quantized.onnx").unlink()
    assert Diarizer(folder).settings.precision == "fp32"
    assert speed["asked"] == 0


def test_both_are_really_run(folder: Path) -> None:
    seconds = precision_choice.measured(
        {"fp32": folder / "onnx" / "model.onnx", "int8": folder / "onnx" / "model_quantized.onnx"}, threads=1
    )
    assert set(seconds) == {"fp32", "int8"}
    assert all(0 < value < 60 for value in seconds.values())


def test_a_file_that_cannot_be_run_is_named(folder: Path) -> None:
    fake_model.write(folder / "onnx" / "model.onnx", names=("pixels", "logits"))
    with pytest.raises(ModelFormatError, match=r"model\.onnx takes pixels"):
        Diarizer(folder)
