"""The command line as its users call it: real processes where that matters, ``main()`` elsewhere."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from fake_model import speech
from wavlm_diarizer import Diarization, Diarizer
from wavlm_diarizer.cli import main
from wavlm_diarizer.cli.inputs import Recording, output_paths, recordings
from wavlm_diarizer.errors import AudioNotFoundError, OptionError

RATE = 16_000
TURNS = [(0.5, 2.0, 0), (2.4, 4.0, 1), (5.0, 7.5, 0)]


def program(*arguments: str | Path, stdin: bytes | None = None, **options: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "wavlm_diarizer", *map(str, arguments)], input=stdin, capture_output=True, check=False, **options
    )  # type: ignore[call-overload, no-any-return]


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """A folder with three recordings, one of them below, and things that are none."""
    folder = tmp_path / "calls"
    (folder / "more").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    for name in ("a.wav", "b.flac", "more/c.ogg", ".hidden/d.wav"):
        soundfile.write(folder / name, speech(TURNS, 8.0), RATE)
    (folder / "notes.txt").write_text("no audio")
    return folder


def test_one_file_goes_to_stdout_as_rttm(calls: Path, fake: Path) -> None:
    done = program("diarize", calls / "a.wav", "-m", fake)
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode().splitlines()
    assert len(lines) == len(TURNS)
    assert all(line.split()[:3] == ["SPEAKER", "a", "1"] for line in lines)


def test_the_ending_chooses_the_format_and_f_overrides_it(calls: Path, fake: Path, tmp_path: Path) -> None:
    assert main(["diarize", str(calls / "a.wav"), "-m", str(fake), "-o", str(tmp_path / "x.json")]) == 0
    assert json.loads((tmp_path / "x.json").read_text())["turns"]
    assert main(["diarize", str(calls / "a.wav"), "-m", str(fake), "-o", str(tmp_path / "x.data"), "-f", "csv"]) == 0
    assert Diarization.load(tmp_path / "x.data", "csv").turns
    assert main(["diarize", str(calls / "a.wav"), "-m", str(fake), "-o", str(tmp_path / "y.srt")]) == 0
    assert "-->" in (tmp_path / "y.srt").read_text()


def test_files_may_stand_after_options(calls: Path, fake: Path, tmp_path: Path) -> None:
    assert main(["diarize", str(calls / "a.wav"), "-m", str(fake), "-o", str(tmp_path / "out"), str(calls / "b.flac")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.rttm", "b.rttm"]


def test_a_folder_gives_one_file_for_each_recording_below_it(calls: Path, fake: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["diarize", str(calls), "-m", str(fake), "-o", str(out), "-f", "json"]) == 0
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.json")) == ["a.json", "b.json", "more/c.json"]


def test_patterns_are_expanded_where_the_shell_did_not(calls: Path, fake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diarize", str(calls / "*.wav"), str(calls / "*.flac"), "-m", str(fake)]) == 0
    assert {line.split()[1] for line in capsys.readouterr().out.splitlines()} == {"a", "b"}


def test_standard_input_is_a_recording(fake: Path) -> None:
    file = io.BytesIO()
    soundfile.write(file, speech(TURNS, 8.0), RATE, format="WAV")
    done = program("diarize", "-", "-m", fake, stdin=file.getvalue())
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(done.stdout.splitlines()) == len(TURNS)
    assert done.stdout.startswith(b"SPEAKER stdin 1 ")


def test_the_sample_comes_with_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diarize", "--sample"]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 3


def test_one_bad_file_of_many_does_not_stop_the_others(calls: Path, fake: Path, tmp_path: Path) -> None:
    (calls / "bad.wav").write_text("not audio")
    out = tmp_path / "out"
    done = program("diarize", calls / "a.wav", calls / "missing.wav", calls / "bad.wav", calls / "b.flac", "-m", fake, "-o", out)
    assert done.returncode == 1
    assert sorted(path.name for path in out.iterdir()) == ["a.rttm", "b.rttm"]
    messages = done.stderr.decode().splitlines()
    assert len(messages) == 3
    assert "missing.wav" in messages[0]
    assert "bad.wav" in messages[1]
    assert "2 of 4" in messages[2]


def test_a_truncated_file_is_diarized_with_a_warning_and_exit_code_1(calls: Path, fake: Path, tmp_path: Path) -> None:
    data = (calls / "a.wav").read_bytes()
    (calls / "cut.wav").write_bytes(data[: len(data) // 2])
    done = program("diarize", calls / "cut.wav", "-m", fake, "-o", tmp_path / "cut.rttm", "-q")
    assert done.returncode == 1
    assert b"truncated" in done.stderr
    assert Diarization.load(tmp_path / "cut.rttm").turns


def test_two_inputs_for_one_output_are_an_error_before_any_work(calls: Path, fake: Path, tmp_path: Path) -> None:
    soundfile.write(calls / "a.ogg", speech(TURNS, 8.0), RATE)
    out = tmp_path / "out"
    done = program("diarize", calls, "-m", fake, "-o", out)
    assert done.returncode == 2
    assert b"would both write" in done.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "at least one recording"),
        (["a.wav", "b.flac", "-f", "json"], "do not fit in one stream"),
        (["a.wav", "b.flac", "-o", "x.rttm"], "need a folder"),
        (["a.wav", "--channel", "3"], "one channel"),
        (["a.wav", "--channel", "1", "--per-channel"], "not allowed"),
        (["a.wav", "--threads", "0"], "threads"),
        (["a.wav", "--onset", "2"], "onset"),
        (["a.wav", "--window", "1", "--overlap", "0.9"], "overlap"),
        (["a.wav", "-f", "docx"], "invalid choice"),
        (["a.wav", "--speed"], "unknown: --speed"),
        (["-", "-"], "only once"),
    ],
)
def test_a_command_line_that_makes_no_sense_has_exit_code_2(
    calls: Path, fake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    monkeypatch.chdir(calls)
    try:
        code = main(["diarize", "-m", str(fake), *arguments])
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    captured = capsys.readouterr()
    assert (code, captured.out) == (2, "")
    assert reason in captured.err
    assert len(captured.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["missing.wav"], "There is no file"),
        (["empty/"], "holds no audio"),
        (["none*.wav"], "No file matches"),
        (["notes.txt"], "not audio"),
        (["a.wav", "-m", "missing.onnx"], "There is no model"),
        (["a.wav", "-m", "notes.txt"], "not an ONNX model"),
        (["a.wav", "-o", "nowhere/x.rttm"], "does not exist"),
        (["a.wav", "-o", "x.unknown"], "ending"),
    ],
)
def test_what_cannot_be_done_has_exit_code_1_and_one_sentence(
    calls: Path, fake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    monkeypatch.chdir(calls)
    Path("empty").mkdir()
    model = [] if "-m" in arguments else ["-m", str(fake)]
    assert main(["diarize", *model, *arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert reason in captured.err
    assert len(captured.err.splitlines()) == 1
    assert not Path("x.unknown").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_one_sentence(calls: Path, fake: Path) -> None:
    done = program("diarize", calls / "a.wav", "-m", fake, "-o", "/dev/full", "-f", "rttm")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert b"Traceback" not in done.stderr


def test_a_write_that_fails_leaves_the_old_result_and_nothing_half_written(
    calls: Path, fake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "x.rttm"
    target.write_text("the old result")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert main(["diarize", str(calls / "a.wav"), "-m", str(fake), "-o", str(target)]) == 1
    assert target.read_text() == "the old result"
    assert [path.name for path in tmp_path.iterdir() if path.name not in {"calls", "x.rttm"}] == []


@pytest.mark.skipif(os.name != "posix", reason="signals of this kind are POSIX")
def test_interrupting_leaves_nothing_half_written(tmp_path: Path) -> None:
    import signal
    import time

    soundfile.write(tmp_path / "long.wav", np.random.default_rng(0).normal(0, 0.1, 60 * RATE), RATE)
    out = tmp_path / "out"
    out.mkdir()
    short = ["--window", "0.5", "--overlap", "0.24", "--single-pass", "0.5"]
    arguments = [str(tmp_path / "long.wav"), "-o", str(out), *short]
    with subprocess.Popen([sys.executable, "-m", "wavlm_diarizer", "diarize", *arguments], stderr=subprocess.PIPE) as process:
        time.sleep(0.8)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
    assert process.returncode in {0, 130, -2}
    assert {path.name for path in out.iterdir()} <= {"long.rttm"}
    # The signal may come when the result is already there; then it is a whole one.
    for path in out.iterdir():
        assert main(["diarize", str(tmp_path / "long.wav"), "-o", str(tmp_path / "whole.rttm"), *short]) == 0
        assert path.read_bytes() == (tmp_path / "whole.rttm").read_bytes()
    assert b"Traceback" not in error or process.returncode == -2


def test_a_reader_that_goes_away_is_no_error_message(calls: Path, fake: Path) -> None:
    command = f"{sys.executable} -m wavlm_diarizer diarize {calls} -m {fake} | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, check=False)  # noqa: S602
    assert (done.stderr, len(done.stdout.splitlines())) == (b"", 1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_result_that_does_not_fit_on_standard_output_is_one_sentence() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "wavlm_diarizer", "diarize", "--sample"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr == "wavlm-diarizer: standard output cannot be written: No space left on device.\n"


def test_decoding_options_change_the_turns(calls: Path, fake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diarize", str(calls / "a.wav"), "-m", str(fake), "--min-on", "1.55"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main(["diarize", str(calls / "a.wav"), "-m", str(fake), "--onset", "0.3"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_every_order_of_files_gives_the_same_turns(calls: Path, fake: Path, tmp_path: Path) -> None:
    files = [str(calls / name) for name in ("a.wav", "b.flac", "more/c.ogg")]
    for number, order in enumerate((files, files[::-1])):
        assert main(["diarize", *order, "-m", str(fake), "-o", str(tmp_path / str(number))]) == 0
    for name in ("a", "b", "c"):
        assert (tmp_path / "0" / f"{name}.rttm").read_bytes() == (tmp_path / "1" / f"{name}.rttm").read_bytes()


def test_the_command_line_and_python_agree(calls: Path, fake: Path, tmp_path: Path) -> None:
    assert main(["diarize", str(calls / "b.flac"), "-m", str(fake), "-o", str(tmp_path / "b.json")]) == 0
    assert Diarization.load(tmp_path / "b.json") == Diarizer(fake)(calls / "b.flac")


def test_help_is_quick_because_nothing_heavy_is_loaded() -> None:
    code = "import sys\nfrom wavlm_diarizer.cli import parser\nparser().format_help()\nprint(' '.join(sys.modules))"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    assert not loaded & {"onnxruntime", "soundfile", "soxr", "rich", "torch", "av"}


def test_a_terminal_gets_a_timeline(calls: Path, fake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["diarize", str(calls / "a.wav"), "-m", str(fake)]) == 0
    shown = capsys.readouterr().out
    assert "SPEAKER_00" in shown
    assert not shown.startswith("SPEAKER a")


def test_inputs_are_found_in_order_and_once(calls: Path) -> None:
    assert [recording.relative.as_posix() for recording in recordings([str(calls)])] == ["a.wav", "b.flac", "more/c.ogg"]
    assert len(recordings([str(calls / "a.wav"), str(calls / "a.wav")])) == 1
    with pytest.raises(AudioNotFoundError):
        recordings([str(calls / ".hidden" / "nothing*")])


def test_outputs_that_differ_only_by_case_are_the_same(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="both write"):
        output_paths([Recording("1", Path("A.wav")), Recording("2", Path("a.flac"))], tmp_path, ".rttm")
