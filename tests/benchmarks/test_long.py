"""What the benchmark of a long recording promises: its parts are compared at the right times, and a delay would be seen."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import fake_model
import long
import programs
from recordings import sound
from wavlm_diarizer.diarization import Diarization, Turn

sys.path.insert(0, str(programs.CONTENDERS))
import run_long


def spoken(*turns: tuple[float, float, str], duration: float | None = None) -> Diarization:
    return Diarization((Turn(*turn) for turn in turns), duration=duration)


def test_excerpts_begin_on_the_grid_of_the_windows_and_reach_from_the_first_to_the_last() -> None:
    assert run_long.starts(3600.0, 4, 600.0, 5.0) == [0.0, 1000.0, 2000.0, 3000.0]
    assert run_long.starts(3603.7, 2, 600.0, 5.0) == [0.0, 3000.0]
    assert run_long.starts(30.0, 2, 600.0, 5.0) == [0.0, 0.0]


def test_a_part_of_a_result_has_times_from_its_own_beginning() -> None:
    whole = spoken((0, 10, "A"), (8, 20, "B"), (30, 40, "A"))
    assert long.crop(whole, 9, 6).turns == spoken((0, 1, "A"), (0, 6, "B")).turns


@pytest.mark.parametrize("late", [-0.12, 0.0, 0.02, 0.3])
def test_a_result_that_is_late_is_seen_to_be(late: float) -> None:
    random = np.random.default_rng(0)
    edges = np.cumsum(random.uniform(0.5, 3.0, 40)).round(2) + 1
    truth = spoken(*((start, end, "A") for start, end in zip(edges[::2], edges[1::2], strict=True)))
    moved = spoken(*((turn.start + late, turn.end + late, "x") for turn in truth.turns))
    assert long.delay(truth, moved, 100.0) == pytest.approx(late, abs=0.011)


def test_boundaries_count_as_found_again_within_a_frame() -> None:
    part = spoken((20, 30, "A"), (40, 50, "B"), duration=100)
    whole = spoken((120, 130.02, "A"), (140.2, 150, "B"))
    assert long.found_again(part, whole, 100, 100, margin=15) == {"boundaries": 4, "within_a_frame": 0.75}
    assert long.found_again(part, whole, 100, 100, margin=35)["boundaries"] == 2
    assert long.found_again(spoken(), whole, 100, 100, margin=0)["boundaries"] == 0


def test_who_is_silent_for_long_is_looked_for_before_and_after() -> None:
    truth = spoken((0, 10, "A"), (10, 20, "B"), (20, 30, "A"), (30, 31, "B"), (90, 100, "A"), (100, 110, "B"))
    result = spoken((0, 10, "x"), (10, 20, "y"), (20, 31, "x"), (90, 100, "y"), (100, 110, "y"))
    assert long.silences(truth, result) == [long.Silence("A", 60.0, "x", "y"), long.Silence("B", 69.0, "y", "y")]
    assert long.silences(truth, spoken()) == []


def test_looks_at_the_memory_are_evenly_spaced() -> None:
    memory = [(float(minute), minute) for minute in range(100)]
    assert long.sampled(memory, 3) == [(0.0, 0), (50.0, 50), (99.0, 99)]
    assert long.sampled(memory[:2]) == memory[:2]


def test_a_recording_is_made_diarized_in_a_process_of_its_own_and_judged(
    tmp_path: Path, fake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(1)
    for voice in range(2):
        for index in range(6):
            clip = fake_model.speech([(0.1, 0.1 + random.uniform(1, 3), voice)], 3.2)
            sound.write(tmp_path / "single" / f"voice{voice}" / f"{index}.flac", clip)
    stopped = {"after_seconds": 5.0, "had_ended": False, "exit_code": 130, "left": []}
    monkeypatch.setattr(long, "interrupted", lambda *_: stopped)
    words = [str(tmp_path), "--voices", str(tmp_path / "single"), "--only", "all", "--hours", "0.05", "--speakers", "2"]
    words += ["--excerpts", "2", "--minutes", "1", "--model", str(fake), "--threads", "1", "--output", str(tmp_path / "out")]
    assert long.main(words) == 0
    found = json.loads((tmp_path / "out" / "long.json").read_text())
    assert soundfile.info(tmp_path / "meeting2_0.05h.flac").duration == found["run"]["duration"] == 180
    assert [one["start"] for one in found["run"]["excerpts"]] == [0, 120]
    assert found["judged"]["last_excerpt_found_again"]["boundaries"] > 0
    assert found["run"]["peak_bytes"] > 1e7
    page = (tmp_path / "out" / "long.md").read_text()
    assert "exit code 130, files left: none" in page
    assert str(tmp_path) not in page
