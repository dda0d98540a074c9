"""What ``wavlm-diarizer score`` promises: the rates, what was scored, and no silent gaps."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from wavlm_diarizer.cli import main

TRUTH = "SPEAKER one 1 0.000 10.000 <NA> <NA> A <NA> <NA>\nSPEAKER one 1 10.000 10.000 <NA> <NA> B <NA> <NA>\n"
GUESS = "SPEAKER one 1 0.000 12.000 <NA> <NA> x <NA> <NA>\nSPEAKER one 1 12.000 7.000 <NA> <NA> y <NA> <NA>\n"


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two recordings: ``one`` with two speakers, ``two`` in which nobody speaks."""
    truth, guess = tmp_path / "truth", tmp_path / "guess"
    for folder, text in ((truth, TRUTH), (guess, GUESS)):
        folder.mkdir()
        (folder / "one.rttm").write_text(text)
        (folder / "two.rttm").write_text("")
    return truth, guess


def test_every_recording_and_the_total_are_shown_with_the_policy(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", *map(str, folders)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    one, two, _, total, policy = out.splitlines()[1:]
    assert one.split() == ["one", "15.00", "5.00", "0.00", "10.00", "23.33", "2", "->", "2"]
    assert two.split()[:2] == ["two", "0.00"]
    assert total.split() == ["total", "15.00", "5.00", "0.00", "10.00", "23.33", "right", "in", "2", "of", "2"]
    assert policy == "Scored: no collar, overlap scored."


def test_json_has_the_policy_and_fractions(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", *map(str, folders), "--json", "--collar", "2", "--skip-overlap"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["policy"] == {"collar": 2.0, "nist_collar": 1.0, "skip_overlap": True}
    assert content["total"]["der"] == pytest.approx(1 / 16)
    assert [recording["name"] for recording in content["recordings"]] == ["one", "two"]


def test_one_file_with_one_other_is_scored_whatever_the_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "truth.rttm").write_text(TRUTH)
    (tmp_path / "guess.rttm").write_text(GUESS.replace(" one ", " my-recording "))
    assert main(["score", str(tmp_path / "truth.rttm"), str(tmp_path / "guess.rttm")]) == 0
    assert "15.00" in capsys.readouterr().out


def test_a_recording_without_a_hypothesis_is_all_missed_and_said(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    truth, guess = folders
    (truth / "three.rttm").write_text("SPEAKER three 1 0 20 <NA> <NA> C <NA> <NA>\n")
    assert main(["score", str(truth), str(guess)]) == 1
    out, err = capsys.readouterr()
    assert "no hypothesis, scored as all missed: three" in err
    assert [line.split()[1] for line in out.splitlines() if line.startswith("three")] == ["100.00"]


def test_a_hypothesis_without_a_reference_is_left_out_and_said(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    (folders[1] / "extra.rttm").write_text("SPEAKER extra 1 0 20 <NA> <NA> C <NA> <NA>\n")
    assert main(["score", *map(str, folders)]) == 0
    out, err = capsys.readouterr()
    assert "no reference, left out: extra" in err
    assert "extra" not in out


def test_a_uem_says_what_is_scored(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = folders[0].parent / "all.uem"
    path.write_text("one 1 0 9\ntwo 1 0 20\n")
    assert main(["score", *map(str, folders), "--uem", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["total"]["speech_seconds"] == 9
    path.write_text("one 1 0 9\n")
    assert main(["score", *map(str, folders), "--uem", str(path)]) == 1
    assert "not in the UEM, not scored: two" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--collar", "-1"], ["--collar", "nan"]])
def test_options_without_sense_are_refused(folders: tuple[Path, Path], option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", *map(str, folders), *option]) == 2
    assert "collar" in capsys.readouterr().err


def test_bad_input_is_one_sentence(folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, guess = folders
    (tmp_path / "empty").mkdir()
    for reference, reason in ((tmp_path / "none.rttm", "There is no file"), (tmp_path / "empty", "holds no .rttm files")):
        assert main(["score", str(reference), str(guess)]) == 1
        assert reason in capsys.readouterr().err
    (guess / "again.rttm").write_text(GUESS)
    assert main(["score", str(truth), str(guess)]) == 1
    error = capsys.readouterr().err
    assert "The recording one is in" in error
    assert error.count("\n") == 1


def test_without_the_extra_the_command_says_what_to_install(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pyannote.core", None)
    assert main(["score", *map(str, folders)]) == 1
    assert "pip install 'wavlm-diarizer[score]'" in capsys.readouterr().err
