"""The states of a model file's backbone, and a voice head that learns a teacher's frames from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import soundfile

pytest.importorskip("torch")
pytest.importorskip("kaldi_native_fbank")

import torch
from test_builtin_frames import LATE, WIDE, taught, teacher
from test_builtin_training import _one_thread, moved, recipe

from wavlm_diarizer.errors import OptionError
from wavlm_diarizer.model_file import BUILTIN, SAMPLE
from wavlm_export.builtin import building, config, model, training
from wavlm_export.builtin.file_states import states_of

__all__ = ["_one_thread", "recipe", "taught", "teacher"]

SHIPPED = config.read(building.CHECKPOINT.parents[1] / "recipes" / "builtin.toml").model
HEAD = replace(SHIPPED, tdnn=(16, 16, LATE), tdnn_kernel=(5, 3, 1), tdnn_dilation=(1, 1, 1), embedding=WIDE)


def test_a_model_files_states_are_those_of_its_checkpoint() -> None:
    samples = torch.from_numpy(soundfile.read(SAMPLE, dtype="float32")[0][: 2 * 32_000]).reshape(2, 32_000)
    student = model.Student(SHIPPED, 2).eval()
    model.start_from(student, building.CHECKPOINT)
    with torch.no_grad():
        wanted = torch.stack(student.states(samples)[1], dim=1)
    found = states_of(BUILTIN)(samples)
    assert found.shape == wanted.shape == (2, 7, 99, 192)
    # Apart by the int8 products, of which each layer adds some.
    off = (found - wanted).square().mean(dim=(0, 2, 3)).sqrt() / wanted.std(dim=(0, 2, 3))
    assert off[0] < 0.03
    assert off.max() < 0.1


def test_a_voice_head_learns_from_a_model_file_what_it_learns_from_the_checkpoint(taught: config.Recipe, tmp_path: Path) -> None:
    changes = {"start": str(building.CHECKPOINT), "only_voice": True, "mean_steps": 0, "steps": 2, "batch": 2}
    run = replace(moved(taught, tmp_path / "run", **changes), model=HEAD)
    by_folder, by_file = (training.trainer_of(moved(run, tmp_path / "run", heard_by=name)) for name in ("", str(BUILTIN)))
    for batch in by_folder.batches():
        one, other = by_folder.learn(batch), by_file.learn(batch)
        assert one["frames"] == pytest.approx(other["frames"], rel=0.03)


def test_what_has_no_weighed_states_is_refused(taught: config.Recipe, tmp_path: Path) -> None:
    for missing in (tmp_path / "none.onnx", building.CHECKPOINT):
        with pytest.raises(OptionError, match="There is no model file"):
            states_of(missing)
    with pytest.raises(OptionError, match="does not weigh the states"):
        states_of(taught.data.voice_teacher)
    with pytest.raises(OptionError, match="only_voice"):
        training.trainer_of(moved(taught, tmp_path / "run", heard_by=str(BUILTIN)))
