"""What the speed benchmark promises: programs are asked in turns, disturbed samples are taken again, figures are computed as named."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import engines
import programs
import random_checkpoints
import speed
import speed_pictures
import speed_report
import speed_targets
from engines import ENGINES, Engine

sys.path.insert(0, str(programs.CONTENDERS))

from matrix_products import products

from wavlm_export.graph.architecture import Architecture


class Answering:
    """A program that answers with what was prepared."""

    def __init__(self, answers: list[dict[str, Any]], log: list[str], name: str) -> None:
        self.answers, self.log, self.name = iter(answers), log, name

    def ask(self, **request: Any) -> dict[str, Any]:
        self.log.append(self.name)
        return next(self.answers) | {"times": request.get("times", 1)}


def quiet(seconds: float) -> dict[str, Any]:
    return {"seconds": seconds, "cpu_seconds": 2 * seconds, "others": 0.0}


@pytest.fixture(autouse=True)
def _no_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "gap", lambda: None)


def test_programs_are_asked_in_turns_in_another_order_each_round() -> None:
    log: list[str] = []
    asked = {name: Answering([quiet(1.0)] * 5, log, name) for name in "abc"}
    found = speed.in_turns(asked, Path("w.npy"), 3, 60)  # type: ignore[arg-type]
    assert "".join(log) == "aabbcc" + "abc" + "bca" + "cab"
    assert found["a"] == {"seconds": [1.0] * 3, "cpu_seconds": [2.0] * 3, "disturbed": [False] * 3}


def test_without_time_for_more_one_round_is_made() -> None:
    asked = {name: Answering([quiet(1.0)] * 3, [], name) for name in "ab"}
    found = speed.in_turns(asked, Path("w.npy"), 3, 0)  # type: ignore[arg-type]
    assert found["a"]["seconds"] == [1.0]


def test_a_sample_that_other_programs_disturbed_is_taken_again() -> None:
    busy = quiet(2.0) | {"others": 1.0}
    assert speed.sample(Answering([busy, quiet(1.0)], [], "a"), Path("w.npy"), 1)["seconds"] == 1.0  # type: ignore[arg-type]
    busier = quiet(3.0) | {"others": 2.0}
    always = Answering([busier, busy], [], "a")
    found = speed.sample(always, Path("w.npy"), 1)  # type: ignore[arg-type]
    assert (found["seconds"], found["cpu_seconds"], found["disturbed"]) == (2.0, 4.0, True)


def test_ratios_are_those_of_one_round() -> None:
    one = {"seconds": [2.0, 30.0, 4.0, 9.0], "disturbed": [False, False, False, True]}
    other = {"seconds": [1.0, 10.0, 1.0, 1.0], "disturbed": [False] * 4}
    assert speed_targets.ratio(one, other) == {"median": 3.0, "least": 2.0, "most": 4.0}
    assert speed_targets.undisturbed(one) == [2.0, 30.0, 4.0]


def test_disturbed_rounds_count_where_there_are_no_others() -> None:
    one, other = {"seconds": [2.0], "disturbed": [True]}, {"seconds": [1.0], "disturbed": [False]}
    assert speed_targets.ratio(one, other)["median"] == 2.0
    assert speed_targets.undisturbed(one) == [2.0]


def test_rounds_are_added_to_those_that_are_kept() -> None:
    before = {"note": "old", "frames": [1], "engines": {"a": {"seconds": [1.0], "disturbed": [True], "load_seconds": 9.0}}}
    after = {"note": "new", "frames": [1], "engines": {"a": {"seconds": [2.0], "disturbed": [False], "load_seconds": 8.0}}}
    joined = {"seconds": [1.0, 2.0], "disturbed": [True, False], "load_seconds": 8.0}
    assert speed.with_more(before, after) == {"note": "new", "frames": [1], "engines": {"a": joined}}


def test_a_target_is_reached_on_the_right_side() -> None:
    faster = speed_targets.Target("x", 2.1, 2.0, 2.5)
    assert faster.verdict == "reached"
    assert speed_targets.Target("x", 2.5, 2.0, 2.5).verdict == "aim reached"
    assert speed_targets.Target("x", 1.9, 2.0, 2.5).verdict == "**missed**"
    assert speed_targets.Target("x", 0.3, 0.6, 0.4, smaller=True).verdict == "aim reached"
    assert speed_targets.Target("x", 0.7, 0.6, 0.4, smaller=True).verdict == "**missed**"
    assert speed_targets.Target("x", 5.0, None, None, at_best=6.0).verdict == "reported"
    assert speed_targets.Target("x", 1.9, 2.0, 2.5, at_best=2.6).verdict == "**missed**; by the least times aim reached"
    assert speed_targets.Target("x", 2.1, 2.0, 2.5, at_best=2.2).verdict == "reached"


def measured() -> dict[str, Any]:
    """Results of all engines, all parts, one thousandth of a second more for each further engine."""
    part = {"command": "python benchmarks/speed.py WORK", "load_before": 0.0, "note": "", "threads": 2, "missing": []}
    machine = {"cores": 2, "architecture": "x86_64", "cpu": "a CPU", "cpu_features": [], "memory_gib": 1, "system": "Linux", "python": "3"}
    times = {engine.key: [0.1 + 0.001 * index, 0.2 + 0.001 * index] for index, engine in enumerate(ENGINES)}
    facts = {"versions": {"numpy": "1"}, "load_seconds": 1.0, "file_bytes": 5, "disturbed": [False, False]}
    names = {engine.key: engine.name for engine in ENGINES}
    real = [engine for engine in ENGINES if not engine.floor]
    return {
        "time": part
        | {"machine": machine, "window_seconds": 10}
        | {"engines": {key: facts | {"seconds": seconds, "cpu_seconds": seconds, "name": names[key]} for key, seconds in times.items()}},
        "agreement": part
        | {"machine": machine, "seconds": 60}
        | {
            "engines": {
                engine.key: {"relative_rms": 0.02 * index, "labels_equal": 1.0, "mean_probability_difference": 0.0}
                for index, engine in enumerate(real)
            }
        },
        "memory": part
        | {"machine": machine, "names": names}
        | {"peak_bytes": {engine.key: {"10": 10**9 - index * 10**7, "30": 10**9} for index, engine in enumerate(real)}},
        "scaling": part
        | {"machine": machine, "names": {engine.key: engine.name for engine in ENGINES if engine.scaled}}
        | {"by_threads": {"1": {"10": {key: {"seconds": value, "disturbed": [False, False]} for key, value in times.items()}}}},
    }


def test_the_report_puts_the_fastest_first_and_shows_every_engine_that_was_measured() -> None:
    content = measured()
    page = speed_report.markdown(content)
    assert page.startswith("`python benchmarks/")
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    positions = [next(index for index, row in enumerate(rows) if engine.name in row) for engine in ENGINES]
    assert positions == sorted(positions)
    assert page.count("missed") >= 1


def test_the_report_of_some_parts_leaves_the_others_out() -> None:
    content = measured()
    del content["memory"], content["agreement"], content["time"]["engines"]["openvino_int8"]
    figures = [target.what for target in speed_targets.targets(content)]
    assert not any("NNCF int8 + fp32" in figure or "memory" in figure for figure in figures)
    assert any("optimum fp32" in figure for figure in figures)
    assert "OpenVINO, NNCF int8 + fp32" not in speed_report.times(content)


def test_every_picture_that_the_page_shows_is_drawn(tmp_path: Path) -> None:
    content = measured()
    drawn = {f"results/{path.name}" for path in speed_pictures.draw(content, tmp_path)}
    page = speed_report.markdown(content)
    assert all(path in page for path in drawn)
    assert page.count("![") == len(drawn)
    assert all((tmp_path / Path(path).name).stat().st_size > 5_000 for path in drawn)


def test_what_cannot_be_run_here_is_left_out_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "optimum").mkdir()
    (tmp_path / "optimum" / "model.onnx").touch()
    found, missing = engines.present(tmp_path, None)
    assert [engine.key for engine in found] == ["optimum_fp32"]
    assert any("--openvino" in sentence for sentence in missing)
    assert len(missing) == len(set(missing))


def test_the_products_of_a_window_are_the_operations_of_the_architecture() -> None:
    config = random_checkpoints.make("wavlm-small").config
    small = products(Architecture.of(config), 16_000)
    assert [product.rows for product in small[:7]] == [3199, 1599, 799, 399, 199, 99, 49]
    full = Architecture.of(SimpleNamespace(**random_checkpoints.KINDS["wavlm-base-plus"][0](**random_checkpoints.BASE_PLUS).to_dict()))
    assert sum(one.operations for one in products(full, 160_000)) == pytest.approx(148e9, rel=0.01)


def test_an_engine_answers_with_its_logits_and_then_tells_its_memory(tmp_path: Path) -> None:
    code = "import engine\nengine.serve(lambda: lambda window: window[:, None] * 2, ('numpy',), precision=lambda: 'f32')\n"
    np.save(tmp_path / "window.npy", np.arange(3, dtype=np.float32))
    (tmp_path / "run.py").write_text(f"import sys\nsys.path.insert(0, {str(programs.CONTENDERS)!r})\n{code}")
    program = programs.Program([sys.executable, tmp_path / "run.py"])
    assert program.facts["precision"] == "f32"
    answer = program.ask(window=tmp_path / "window.npy", times=3, answer=tmp_path / "answer.npy")
    assert answer["seconds"] > 0
    assert np.load(tmp_path / "answer.npy").tolist() == [[0.0], [2.0], [4.0]]
    assert program.end() > 1e6


def test_a_program_that_ends_early_is_named() -> None:
    with pytest.raises(SystemExit, match="run it alone"):
        programs.Program([sys.executable, "-c", "raise ValueError"])


def test_parts_are_added_to_what_was_measured_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "PARTS", {"time": lambda *_: measured()["time"], "memory": lambda *_: measured()["memory"]})
    monkeypatch.setattr(speed, "draw", lambda *_: [])
    for part in ("time", "memory"):
        assert speed.main([str(tmp_path), "--only", part, "--output", str(tmp_path)]) == 0
    assert set(json.loads((tmp_path / "speed.json").read_text())) == {"time", "memory"}


def test_an_engines_file_is_measured_with_what_belongs_to_it(tmp_path: Path) -> None:
    (tmp_path / "model.xml").write_bytes(b"1" * 10)
    (tmp_path / "model.bin").write_bytes(b"1" * 90)
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "model.safetensors").write_bytes(b"1" * 7)
    assert Engine("a", "a", "x.py", "model.xml").bytes(tmp_path) == 100
    assert Engine("a", "a", "x.py", "checkpoint").bytes(tmp_path) == 7
