"""Short runs that differ in one thing each: how they are read, run, stopped, judged and put into a table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("torch")

from test_builtin_training import SIZES, _one_thread, recipe

from wavlm_diarizer.errors import OptionError
from wavlm_diarizer.voice_join import WindowAnswer
from wavlm_export.builtin import comparing, config, filter_bank, training
from wavlm_export.builtin.__main__ import main

__all__ = ["_one_thread", "recipe"]


def written(recipe: config.Recipe, folder: Path, changes: str) -> Path:
    (folder / "set").mkdir(parents=True)
    random = np.random.default_rng(0)
    soundfile.write(folder / "set" / "one.flac", 0.05 * random.standard_normal(5 * config.RATE), config.RATE)
    (folder / "set" / "one.rttm").write_text("SPEAKER one 1 1.000 2.000 <NA> <NA> a <NA> <NA>\n")
    path = folder / "compare.toml"
    path.write_text(
        f"""
        [data]
        packed = "{recipe.data.packed}"
        unseen = ["voice3"]
        [simulation]
        seconds = 1.5
        speeds = [1.0]
        [model]
        conv_dim = {list(SIZES.conv_dim)}
        hidden = 32
        layers = 2
        heads = 2
        tdnn = {list(SIZES.tdnn)}
        embedding = 16
        [training]
        folder = "{folder / "runs"}"
        steps = 2
        batch = 4
        workers = 0
        compile = false
        threads = 1
        [evaluation]
        sets = ["{folder / "set"}"]
        worsened = ["{folder / "set"}"]
        window_seconds = 2.0
        overlap_seconds = 1.0
        {changes}
        """
    )
    return path


def test_changes_lie_over_the_recipe_one_by_one(recipe: config.Recipe, tmp_path: Path) -> None:
    path = written(
        recipe,
        tmp_path,
        """
        [[changes]]
        name = "as it is"
        [[changes]]
        name = "longer"
        training = { steps = 3 }
        simulation = { seconds = 2.0 }
        [[changes]]
        name = "then"
        after = "longer"
        """,
    )
    base, (as_it_is, longer, then) = comparing.read(path)
    assert replace(as_it_is.recipe, training=replace(as_it_is.recipe.training, folder=base.training.folder)) == base
    assert (longer.recipe.training.steps, longer.recipe.training.batch, longer.recipe.simulation.seconds) == (3, 4, 2.0)
    assert longer.recipe.simulation.speeds == (1.0,)
    assert then.recipe.training.start == str(tmp_path / "runs" / "longer" / training.CHECKPOINT / "sd")
    assert then.recipe.training.steps == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ("", "compares nothing"),
        ("[[changes]]", "needs a name"),
        ('[[changes]]\nname = "a/b"', "needs a name"),
        ('[[changes]]\nname = "a"\n[[changes]]\nname = "a"', "needs a name of its own"),
        ('[[changes]]\nname = "a"\nafter = "b"', "a in .* comes after b"),
        ('[[changes]]\nname = "a"\ntraining = { stepps = 3 }', "no setting stepps"),
        ('[[changes]]\nname = "a"\ntrainings = 3', r"no table|a table \[trainings\]"),
    ],
)
def test_comparisons_that_make_no_sense_are_refused(recipe: config.Recipe, tmp_path: Path, changes: str, message: str, capsys: Any) -> None:
    path = written(recipe, tmp_path, changes)
    with pytest.raises(OptionError, match=message):
        comparing.read(path)
    assert main(["compare", "--config", str(path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_every_change_is_run_judged_and_put_into_one_table(
    recipe: config.Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    path = written(
        recipe,
        tmp_path,
        """
        [[changes]]
        name = "as it is"
        [[changes]]
        name = "three layers"
        model = { layers = 3 }
        [[changes]]
        name = "then"
        after = "three layers"
        model = { layers = 3 }
        """,
    )
    assert main(["compare", "--config", str(path), "--of", "nobody"]) == 1
    assert "no change named nobody" in capsys.readouterr().err
    assert main(["compare", "--config", str(path), "--of", "as it is"]) == 0
    first = tmp_path / "runs" / "as it is" / comparing.RESULT
    before = first.read_text()
    assert not (tmp_path / "runs" / "three layers").exists()
    assert main(["compare", "--config", str(path), "--of", "then"]) == 1
    assert "no checkpoint" in capsys.readouterr().err
    # A run that is stopped is not judged, and what is judged is not run again.
    done = training.steps_done
    monkeypatch.setattr(training, "steps_done", lambda recipe: done(recipe) - 1)
    assert main(["compare", "--config", str(path)]) == 0
    assert not (tmp_path / "runs" / "three layers" / comparing.RESULT).exists()
    assert "the same command goes on" in capsys.readouterr().err
    monkeypatch.undo()
    assert main(["compare", "--config", str(path)]) == 0
    assert first.read_text() == before
    found = json.loads((tmp_path / "runs" / "three layers" / comparing.RESULT).read_text())
    assert found["hours"] == pytest.approx(2 * 4 * 1.5 / 3600, abs=0.01)
    assert found["recipe"]["model"]["layers"] == 3
    assert set(found["sets"]) == {"set", "set noisy_reverberant"}
    assert found["unseen"] > 0
    assert found["million parameters"] > json.loads(before)["million parameters"]
    rows = (tmp_path / "runs" / comparing.TABLE).read_text().splitlines()
    assert [row.split(" | ")[0] for row in rows] == ["| ", "| ---", "| as it is", "| three layers", "| then"]
    assert len({row.count("|") for row in rows}) == 1


def test_a_windows_labels_go_to_the_people_that_they_fit_best() -> None:
    truth = np.zeros((8, 4), dtype=bool)
    truth[0:4, 2], truth[2:4, 0], truth[4:8, 3] = True, True, True
    # The first window hears both right, under other labels; the second one somebody in one frame too few, and somebody else in one more.
    first, second = np.zeros((4, 3)), np.zeros((4, 3))
    first[:, 0], first[2:, 2] = 0.9, 0.6
    second[0:3, 1], second[0, 0] = 0.7, 0.8
    answers = [(0, WindowAnswer(first)), (4, WindowAnswer(second))]
    np.testing.assert_array_equal(comparing.window_errors(answers, truth), [1, 1, 0, 10])
    second[0:3] = [[0.9, 0, 0], [0, 0.9, 0], [0, 0.9, 0]]
    np.testing.assert_array_equal(comparing.window_errors(answers, truth), [1, 0, 1, 10])


def test_a_filter_bank_that_is_trained_from_scratch_begins_as_one(recipe: config.Recipe, tmp_path: Path) -> None:
    sizes = replace(SIZES, conv_dim=(30, 30, 24), conv_kernel=filter_bank.KERNELS, conv_stride=filter_bank.STRIDES, conv_bias=True)
    assert filter_bank.wanted(sizes)
    assert not filter_bank.wanted(SIZES)
    trainer = training.Trainer(replace(recipe, model=sizes, training=replace(recipe.training, folder=str(tmp_path / "run"))))
    first = trainer.student.sd.wavlm.feature_extractor.conv_layers[0].conv.weight
    np.testing.assert_allclose(first[:, 0].detach().numpy(), 30 * filter_bank.filters(10), rtol=1e-6)
