"""The examples run as their page says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import soundfile

from wavlm_diarizer import Diarization, Diarizer
from wavlm_diarizer.diarizer import sigmoid
from wavlm_diarizer.model_file import BUILTIN, SAMPLE

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, *arguments: object, folder: Path) -> str:
    done = subprocess.run([sys.executable, EXAMPLES / name, *map(str, arguments)], cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_call_is_labelled(tmp_path: Path) -> None:
    assert "SPEAKER_00 speaks" in run("label_a_call.py", SAMPLE, folder=tmp_path)
    assert len(Diarization.load(tmp_path / "sample.srt").turns) == len(Diarizer()(SAMPLE).turns)


def test_plain_onnxruntime_gives_the_turns_of_the_first_window(tmp_path: Path) -> None:
    lines = [line.split() for line in run("plain_onnxruntime.py", BUILTIN, SAMPLE, folder=tmp_path).splitlines()]
    diarizer = Diarizer()
    samples, _ = soundfile.read(SAMPLE, dtype="float32")
    window = samples[: diarizer.settings.windows.window]
    on = (sigmoid(diarizer.logits(window)) > diarizer.settings.decoding.onset).sum()
    assert sum(round((float(end) - float(start)) / 0.02) for start, end, _ in lines) == on
    assert {label for _, _, label in lines} <= set(diarizer.settings.labels)


def test_every_example_is_on_the_page() -> None:
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"`{path.name}`" in page for path in EXAMPLES.glob("*.py"))
