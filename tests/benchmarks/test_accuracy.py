"""What the accuracy benchmark promises: nobody is asked twice, figures are what a hand computes, and the report shows who is best."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import accuracy
import answers
import diarizers
import programs
from wavlm_diarizer.diarization import Diarization, Turn

STAND_IN = """
import sys
sys.path.insert(0, {contenders!r})
from worker import serve

def diarize(wav, speakers):
    with open({log!r}, "a") as log:
        log.write(wav.rpartition("/")[2] + " " + str(speakers) + chr(10))
    return [(0.0, 1.0, "x"), (1.0, 2.0, "y")][: speakers or 1]

serve(diarize, ("numpy",))
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two sets of two recordings of two seconds: A speaks for one, B for the next."""
    for name in ("calm", "loud"):
        (tmp_path / name).mkdir()
        for index in range(2):
            soundfile.write(tmp_path / name / f"{index}.flac", np.full(32_000, 0.1), 16_000)
            Diarization([Turn(0, 1, "A"), Turn(1, 2, "B")], name=str(index)).save(tmp_path / name / f"{index}.rttm")
    return tmp_path


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Contenders that know one speaker unless they are told, instead of the real ones; the log of what they were asked."""
    log = tmp_path / "log"
    code = STAND_IN.format(contenders=str(programs.CONTENDERS), log=str(log))
    command = (sys.executable, "-c", code)
    one = diarizers.Contender("own", "own", command)
    told = diarizers.Contender(f"own, {diarizers.TOLD}", "own", command, told=True, timed_as="own")
    monkeypatch.setattr(diarizers, "chosen", lambda *_: [one, told, diarizers.Contender("other", "other", command)])
    return log


def run(data: Path, *more: str) -> dict:
    words = [str(data / "calm"), str(data / "loud"), "--answers", str(data / "answers"), "--output", str(data / "out"), *more]
    assert accuracy.main(words) == 0
    return json.loads((data / "out" / "accuracy.json").read_text())


def test_a_run_scores_everybody_and_is_continued_where_it_was_left(data: Path, stand_ins: Path) -> None:
    found = run(data, "--steps", "answers", "report")
    for part in found["sets"].values():
        own = part["contenders"]["own"]
        assert own["collars"]["0"]["der"] == pytest.approx(0.5)
        assert own["speaker_counts"] == {"right": 0, "off_by_one": 2, "further_off": 0}
        assert own["speech_activity"]["missed"] == pytest.approx(0.5)
        told = part["contenders"][f"own, {diarizers.TOLD}"]
        assert told["collars"]["0"]["der"] == 0
        assert told["speaker_counts"]["right"] == 2
    asked = stand_ins.read_text().splitlines()
    assert len(asked) == 3 * 4
    assert asked.count("0.wav 2") == 2
    run(data, "--steps", "answers", "report")
    assert len(stand_ins.read_text().splitlines()) == len(asked)


def test_what_changed_is_asked_again_and_whoever_is_named(data: Path, stand_ins: Path) -> None:
    run(data, "--steps", "answers", "report")
    before = len(stand_ins.read_text().splitlines())
    soundfile.write(data / "calm" / "0.flac", np.full(32_000, 0.2), 16_000)
    answers._digests.clear()
    run(data, "--steps", "answers", "report")
    assert len(stand_ins.read_text().splitlines()) == before + 3
    run(data, "--steps", "answers", "report", "--again", "other")
    assert len(stand_ins.read_text().splitlines()) == before + 3 + 4


def test_times_are_taken_in_turns_and_shown_with_a_picture(data: Path, stand_ins: Path) -> None:
    found = run(data, "--rounds", "2", "--timed", "1", "--steps", "times", "answers", "report")
    assert list(found["times"]["seconds"]) == ["own", "other"]
    assert [len(one) for one in found["times"]["seconds"]["own"]] == [2, 2]
    assert found["times"]["recordings"] == {"calm/0": 2.0, "loud/0": 2.0}
    # Two that are timed are asked to warm up, then about two recordings twice.
    assert len(stand_ins.read_text().splitlines()) == 2 * (1 + 2 * 2) + 3 * 4
    page = (data / "out" / "accuracy.md").read_text()
    assert "| own | " in page
    assert "x our time" in page
    assert (data / "out" / "accuracy.png").read_bytes().startswith(b"\x89PNG")
    assert str(data) not in page + json.dumps(found)


@pytest.mark.usefixtures("stand_ins")
def test_the_best_is_bold_among_those_who_were_told_as_much(data: Path) -> None:
    run(data, "--steps", "answers", "report")
    rows = [line for line in (data / "out" / "accuracy.md").read_text().splitlines() if "/ 0.0" in line]
    assert "**50.0** (50.0 / 0.0 / 0.0)" in rows[0]
    # Alone among those who were told: nothing to be better than.
    assert "| 0.0 (0.0 / 0.0 / 0.0)" in rows[1]


@pytest.mark.usefixtures("stand_ins")
def test_a_report_without_answers_says_what_to_do(data: Path) -> None:
    with pytest.raises(SystemExit, match="run the step 'answers' first"):
        run(data, "--steps", "report")


@pytest.mark.usefixtures("stand_ins")
def test_who_was_not_asked_about_a_set_is_shown_as_not_run(data: Path) -> None:
    run(data, "--steps", "answers", "report")
    (data / "answers" / "other.json").unlink()
    assert accuracy.main([str(data / "calm"), "--answers", str(data / "answers"), "--steps", "answers"]) == 0
    found = run(data, "--steps", "report")
    assert "other" in found["sets"]["calm"]["contenders"]
    assert "other" not in found["sets"]["loud"]["contenders"]
    assert "| not run |" in (data / "out" / "accuracy.md").read_text()


def test_the_spread_of_recordings_is_their_quartiles() -> None:
    found = accuracy.spread([0.1, 0.2, 0.3, 0.4, 0.5])
    assert found == pytest.approx({"least": 0.1, "lower_quartile": 0.2, "median": 0.3, "upper_quartile": 0.4, "most": 0.5})
    assert set(accuracy.spread([0.2]).values()) == {0.2}
