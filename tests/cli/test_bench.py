from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import fake_model
from fake_model import speech
from wavlm_diarizer import benchmark
from wavlm_diarizer.benchmark import Measured, Variant, _measure_in_a_process, recommended, variants
from wavlm_diarizer.cli import main
from wavlm_diarizer.machine import usable_cores
from wavlm_diarizer.model_file import SAMPLE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with both precisions of the fake model."""
    for name, precision in (("model.onnx", "fp32"), ("model_quantized.onnx", "int8")):
        fake_model.write(tmp_path / "model" / "onnx" / name, fake_model.settings(precision=precision).to_metadata())
    return tmp_path / "model"


def measured(name: str, speed: float, peak: int, equal: float | None = 1.0) -> Measured:
    result = Measured(Variant(name, "x", 2, low_memory=False), 1, seconds_per_second=[speed], peak_bytes=peak)
    result.labels_equal = equal
    return result


def test_every_precision_runs_on_all_cores_and_with_less_memory(folder: Path) -> None:
    found = variants(folder)
    assert {variant.precision for variant in found} == {"fp32", "int8"}
    assert {variant.threads for variant in found} == {1, usable_cores()}
    assert len({variant.name for variant in found}) == len(found)
    assert {variant.precision for variant in variants(folder / "onnx" / "model.onnx")} == {"the file"}


def test_the_fastest_right_variant_is_recommended_and_memory_decides_ties() -> None:
    slow, fast, small = measured("slow", 2.0, 10), measured("fast", 1.0, 300), measured("small", 1.04, 100)
    assert recommended([slow, fast]) is fast
    assert recommended([slow, fast, small]) is small
    assert recommended([measured("wrong", 0.5, 1, equal=0.9), fast]) is fast
    assert recommended([measured("unknown", 0.5, 1, equal=None), fast]).variant.precision == "unknown"


def test_the_command_measures_and_recommends(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soundfile.write(tmp_path / "a.wav", speech([(0.5, 2.0, 0), (2.5, 4.0, 1)], 6.0), 16_000)
    assert main(["bench", str(tmp_path / "a.wav"), "-m", str(folder), "--rounds", "1", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["machine"]["cores"] == usable_cores()
    assert content["recommended"] in {variant["name"] for variant in content["variants"]}
    for variant in content["variants"]:
        assert variant["labels_equal"] == 1.0
        assert variant["seconds_per_second"][0] > 0
        assert variant["first_seconds"][0] >= variant["load_seconds"][0] > 0
    assert main(["bench", str(tmp_path / "a.wav"), "-m", str(folder), "--rounds", "1"]) == 0
    shown = capsys.readouterr().out
    assert "Recommended here: " in shown
    assert len(shown.splitlines()) == len(content["variants"]) + 3


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a program's own peak")
def test_the_memory_of_a_variant_is_not_that_of_the_program_that_measures(fake: Path, tmp_path: Path) -> None:
    held = np.ones(60_000_000)
    one = _measure_in_a_process(Variant("fp32", str(fake), 1, low_memory=False), SAMPLE, tmp_path / "answer.npy")
    assert 0 < one["peak_bytes"] < held.nbytes


def test_frames_that_are_on_the_threshold_in_fp32_do_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answers = {"fp32": [0.51, 0.9, 0.1, 0.8], "int8": [0.49, 0.9, 0.1, 0.2]}

    def measure(variant: Variant, _: object, answer: Path) -> dict[str, Any]:
        np.save(answer, np.array(answers[variant.precision])[:, None])
        return {"load_seconds": 1.0, "first_seconds": 1.0, "seconds_per_second": 1.0, "peak_bytes": 1}

    monkeypatch.setattr(benchmark, "_measure_in_a_process", measure)
    (tmp_path / "model.onnx").touch()
    chosen = [Variant(precision, str(tmp_path / "model.onnx"), 1, low_memory=False) for precision in answers]
    fp32, int8 = benchmark.compare(chosen, "a.wav", rounds=1)
    assert fp32.labels_equal == 1.0
    assert int8.labels_equal == pytest.approx(2 / 3)
    assert benchmark.recommended([fp32, int8]) is fp32


def test_what_cannot_be_measured_is_said_before_the_work(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(tmp_path / "missing.wav"), "-m", str(folder)]) == 1
    assert "There is no file" in capsys.readouterr().err
    assert main(["bench", "--rounds", "0"]) == 2
    soundfile.write(tmp_path / "bad.wav", np.full(16_000, np.nan), 16_000, subtype="FLOAT")
    assert main(["bench", str(tmp_path / "bad.wav"), "-m", str(folder), "--rounds", "1"]) == 1
    assert "not a finite number" in capsys.readouterr().err
