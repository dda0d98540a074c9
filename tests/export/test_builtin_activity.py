"""Training activity alone, by the truth and by what other checkpoints say."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile

pytest.importorskip("torch")

import torch
from test_builtin_training import SIZES, _one_thread, moved, recipe

from wavlm_diarizer.errors import OptionError
from wavlm_diarizer.model_file import BUILTIN, SAMPLE
from wavlm_export.builtin import activity_training, building, config, losses, model, training

__all__ = ["_one_thread", "recipe"]


def test_activity_alone_leaves_the_voices_as_they_are_and_learns_from_what_others_say(recipe: config.Recipe, tmp_path: Path) -> None:
    model.save(model.Student(SIZES, 3), tmp_path / "teacher")
    asked = moved(recipe, tmp_path / "run", only_activity=True, activity_teachers=(str(tmp_path / "teacher" / "sd"),), steps=2)
    trainer = training.trainer_of(asked)
    before = {key: value.clone() for key, value in trainer.student.state_dict().items()}
    batch = next(iter(trainer.batches()))
    assert set(trainer.learn(batch)) == {"activity"}
    changed = {key for key, value in trainer.student.state_dict().items() if not torch.equal(value, before[key])}
    learns = ("sd.wavlm.encoder.layers", "sd.layer_weights", "sd.classifier", "sv.wavlm.encoder.layers")
    assert changed
    assert all(key.startswith(learns) for key in changed)
    assert {"sd.layer_weights", "sd.classifier.weight"} <= changed
    trainer.save()
    assert training.trainer_of(replace(asked, data=replace(asked.data, unseen=("voice2", "voice3")))).step == 1


def test_what_is_wholly_taught_by_itself_has_nothing_to_learn(
    recipe: config.Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Untrained, it confuses everybody.
    monkeypatch.setattr(activity_training, "CONFUSED", 2.0)
    model.save(model.Student(SIZES, 3), tmp_path / "own")
    own = str(tmp_path / "own" / "sd")
    asked = moved(recipe, tmp_path / "run", start=own, only_activity=True, activity_teachers=(own,), taught=1.0)
    trainer = training.trainer_of(asked)
    parts, _ = trainer.parts(next(iter(trainer.batches())))
    parts["activity"].backward()
    assert float(parts["activity"].detach()) > 0.1
    assert float(trainer.student.sd.classifier.bias.grad.abs().max()) < 1e-3


def test_whose_voice_a_frame_is_is_learned_by_the_state_before_the_last(recipe: config.Recipe, tmp_path: Path) -> None:
    alone = replace(recipe, simulation=replace(recipe.simulation, seconds=4.0, speakers=(0.0, 1.0)))
    trainer = training.trainer_of(moved(alone, tmp_path / "run", only_activity=True, places_weight=0.5, steps=2))
    before = {key: value.clone() for key, value in trainer.student.state_dict().items()}
    batch = next(iter(trainer.batches()))
    assert set(trainer.learn(batch)) == {"activity", "places"}
    changed = {key for key, value in trainer.student.state_dict().items() if not torch.equal(value, before[key])}
    assert {"voices.weight", "voices.bias"} <= changed
    assert all(key.startswith(("sd.wavlm.encoder.layers", "sd.layer_weights", "sd.classifier", "voices.", "sv.wavlm")) for key in changed)
    assert any(key.startswith("sd.wavlm.encoder.layers.0.") for key in changed)


def test_a_frame_is_its_owners_and_what_the_same_one_says_elsewhere_is_not_wrong() -> None:
    torch.manual_seed(5)
    places = torch.randn(3, 64)
    mask = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
    right = places[:, None].expand(-1, 3, -1).clone()
    # What is said where a row is off does not count.
    right[0, 2], right[1, 0] = places[1], places[0]
    people = torch.tensor([4, 7, 9])
    assert float(losses.owner_loss(right, mask, places, people)) < 1e-3
    assert float(losses.owner_loss(right.roll(1, dims=0), mask, places, people)) > 10
    alike = torch.stack((places[0], places[0], places[1]))
    said = alike[:, None].expand(-1, 3, -1)
    assert float(losses.owner_loss(said, mask, alike, torch.tensor([4, 4, 9]))) < 1e-3
    assert float(losses.owner_loss(said, mask, alike, people)) > 0.5
    assert float(losses.owner_loss(said[:0], mask[:0], alike[:0], people[:0])) == 0
    # Who has to be further behind is, until then, confused with the owner.
    assert float(losses.owner_loss(right, mask, places, people, 40.0 * (1 - torch.eye(3)))) > 10


def test_a_model_file_teaches_what_its_checkpoint_does(recipe: config.Recipe, tmp_path: Path) -> None:
    file, folder = (
        training.trainer_of(moved(recipe, tmp_path / "run", only_activity=True, activity_teachers=(str(name),)))
        for name in (BUILTIN, building.CHECKPOINT)
    )
    assert isinstance(file, activity_training.ActivityTrainer)
    assert isinstance(folder, activity_training.ActivityTrainer)
    samples = torch.from_numpy(soundfile.read(SAMPLE, dtype="float32")[0][: 2 * 32_000]).reshape(2, 32_000)
    by_file, by_folder = (torch.sigmoid(one.taught_by[0](samples)) for one in (file, folder))
    assert by_file.shape == by_folder.shape == (2, 99, config.LABELS)
    assert float((by_file - by_folder).abs().mean()) < 0.02


def test_activity_alone_with_what_contradicts_it_or_without_its_teachers_is_refused(recipe: config.Recipe, tmp_path: Path) -> None:
    for changes, message in (
        ({"only_activity": True, "only_voice": True}, "leaves the voice head"),
        ({"only_activity": True, "activity_teachers": (str(tmp_path / "none"),)}, "There is no checkpoint"),
        ({"activity_teachers": ("somebody",)}, r"set training\.only_activity"),
        ({"places_weight": 0.1}, r"set training\.only_activity"),
    ):
        with pytest.raises(OptionError, match=message):
            training.trainer_of(moved(recipe, tmp_path / "run", **changes))


def test_who_confuses_people_does_not_teach() -> None:
    activity = torch.zeros(2, 40, 3)
    activity[:, :20, 0], activity[:, 20:, 1] = 1, 1
    unsure = (2 * activity - 1)[:, :, [2, 0, 1]]
    # In the second window it takes both for one person.
    confused = unsure.clone()
    confused[1, 20:] = confused[1, :20]
    counted, likely = torch.ones(2, 40), torch.sigmoid(2 * activity - 1)
    assert torch.allclose(activity_training.taught(activity, counted, [unsure, unsure], 0.5), (activity + likely) / 2)
    one = activity_training.taught(activity, counted, [confused], 0.5)
    assert torch.allclose(one[0], (activity + likely)[0] / 2)
    assert torch.equal(one[1], activity[1])
    assert torch.allclose(activity_training.taught(activity, counted, [confused, unsure], 0.5), (activity + likely) / 2)


def test_what_others_say_is_put_in_the_order_of_the_truth() -> None:
    activity = torch.zeros(1, 40, 3)
    activity[0, :20, 0], activity[0, 15:30, 1], activity[0, 35:, 2] = 1, 1, 1
    for order in itertools.permutations(range(3)):
        logits = 8 * activity[:, :, list(order)] - 4
        assert torch.allclose(losses.in_order(logits, activity, torch.ones(1, 40)), torch.sigmoid(8 * activity - 4))
