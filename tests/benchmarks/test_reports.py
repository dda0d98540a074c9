"""What the benchmarks promise to their readers: the page shows the results that are kept, and figures are computed as they are named."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import accuracy
import footprint
import footprint_report
import measuring
import programs
import report
from wavlm_diarizer.diarization import Diarization, Turn
from wavlm_diarizer.scoring import score


def test_the_readme_shows_the_results_that_are_kept() -> None:
    page = report.README.read_text(encoding="utf-8")
    for path in report.RESULTS.glob("*.md"):
        text = path.read_text(encoding="utf-8")
        assert report.shown(page, path.stem, text) == page, f"{path.name} is not what the README shows"
        assert (path.with_suffix(".json")).exists()


def test_results_name_their_command_and_no_path_of_the_machine() -> None:
    for path in report.RESULTS.glob("*.md"):
        text = path.read_text(encoding="utf-8")
        assert text.startswith("`python benchmarks/")
        assert not re.search(r"/(home|root|tmp|work|Users)\b", text + path.with_suffix(".json").read_text(encoding="utf-8"))


def test_a_page_without_a_place_for_a_result_is_an_error() -> None:
    page = "a\n<!-- begin: one -->\nold\n<!-- end: one -->\nb\n"
    assert report.shown(page, "one", "new \\1\n") == "a\n<!-- begin: one -->\nnew \\1\n<!-- end: one -->\nb\n"
    with pytest.raises(ValueError, match="two"):
        report.shown(page, "two", "new\n")


def test_a_program_is_measured_from_its_start_to_its_first_line_and_its_end() -> None:
    run = measuring.run([sys.executable, "-c", "import time; print(1, flush=True); time.sleep(0.3); x = b'x' * 60_000_000"])
    assert run.first_line_seconds is not None
    assert run.first_line_seconds + 0.25 < run.seconds
    assert 60e6 < run.peak_bytes < 200e6


def test_a_programs_memory_is_its_own_and_not_its_parents() -> None:
    held = np.ones(30_000_000)
    run = measuring.run([sys.executable, "-c", "pass"])
    assert run.peak_bytes < held.nbytes / 4
    assert run.first_line_seconds is None


def test_a_program_that_fails_is_not_a_measurement() -> None:
    with pytest.raises(RuntimeError, match="failed"):
        measuring.run([sys.executable, "-c", "raise SystemExit(3)"])


def test_a_contender_answers_each_request_and_then_tells_its_memory() -> None:
    code = (
        "from worker import serve\n"
        "def diarize(wav, speakers):\n"
        "    print('chatter')\n"
        "    if wav == 'bad.wav': raise ValueError('no')\n"
        "    return [(0.0, float(speakers or 1), wav)]\n"
        "serve(diarize, ('numpy',))\n"
    )
    requests = [{"wav": "a.wav", "speakers": 2}, {"wav": "bad.wav", "speakers": None}]
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=programs.CONTENDERS,
        input="".join(json.dumps(request) + "\n" for request in requests),
        text=True,
        capture_output=True,
        check=True,
    )
    versions, good, bad, last = map(json.loads, done.stdout.splitlines())
    assert versions["numpy"] == np.__version__
    assert good["turns"] == [[0.0, 2.0, "a.wav"]]
    assert "no" in bad["error"]
    assert last["peak_bytes"] > 1e6


def test_counts_of_speakers_are_right_off_by_one_or_further_off() -> None:
    truth = Diarization([Turn(0, 1, "A"), Turn(1, 2, "B")])
    scores = [score(truth, Diarization([Turn(i, i + 1, str(i)) for i in range(count)])) for count in (2, 1, 3, 4, 2)]
    assert accuracy.counted(scores) == {"right": 2, "off_by_one": 2, "further_off": 1}


def test_times_are_compared_within_a_round() -> None:
    times = {
        "recordings": {"set/a": 10.0, "set/b": 10.0},
        "seconds": {"own": [[1.0, 1.0], [2.0, 2.0], [1.0, 1.0]], "other": [[2.0, 2.0], [4.0, 4.0], [3.0, 3.0]]},
    }
    assert accuracy.timing("other", "own", times) == {
        "seconds_per_second": 0.3,
        "times_ours": 2.0,
        "times_ours_least": 2.0,
        "times_ours_most": 3.0,
    }


def test_a_long_recording_has_exactly_its_length_and_is_the_same_each_time(tmp_path: Path) -> None:
    sources = []
    for index in range(3):
        sources.append(tmp_path / f"{index}.flac")
        soundfile.write(sources[-1], np.full(footprint.RATE * (index + 1), index / 10), footprint.RATE)
    for name in ("one.flac", "two.flac"):
        footprint.recording(tmp_path / name, sources, 17)
    one, two = (soundfile.read(tmp_path / name)[0] for name in ("one.flac", "two.flac"))
    assert len(one) == 17 * footprint.RATE
    assert np.array_equal(one, two)
    assert len(np.unique(one)) == 3


def test_memory_is_shown_and_drawn_by_the_recordings_length(tmp_path: Path) -> None:
    machine = {"cores": 2, "architecture": "x86_64", "cpu": "a CPU", "cpu_features": [], "memory_gib": 1, "system": "Linux", "python": "3"}
    part = {"command": "python benchmarks/footprint.py DATA", "machine": machine, "load_before": 0.0, "note": ""}
    rows = [
        {"seconds": seconds, "options": options, "peak_bytes": 10**8 + seconds, "wall_seconds": 1.0}
        for seconds in (60, 14_400)
        for options in ([], ["--low-memory"])
    ]
    content = {"memory": part | {"recordings": rows}, "full-size": part | {"recordings": rows[:1]}}
    lines = footprint_report.curves(content)
    assert [len(line) for line in lines.values()] == [2, 2, 1]
    page = footprint_report.markdown(content)
    assert "| 1 min | 4 h |" in page
    drawn = footprint_report.draw(content, tmp_path)
    assert [path.stat().st_size > 5_000 for path in drawn] == [True]
    assert f"results/{drawn[0].name}" in page


def test_rows_of_memory_are_kept_beside_those_of_other_lengths_and_options() -> None:
    kept = [{"seconds": 60, "options": [], "peak_bytes": 1}, {"seconds": 600, "options": [], "peak_bytes": 2}]
    new = [{"seconds": 60, "options": ["--overlap", "1"], "peak_bytes": 3}, {"seconds": 60, "options": [], "peak_bytes": 4}]
    assert [one["peak_bytes"] for one in footprint.with_others(kept, new)] == [4, 3, 2]
