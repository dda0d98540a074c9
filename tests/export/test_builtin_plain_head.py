"""A voice head that has learned nothing but its last layer: what it hands on, whom it tells apart, and that the rest stays as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from test_builtin_training import SIZES, _one_thread, moved, recipe
from transformers import WavLMForAudioFrameClassification, WavLMForXVector

from wavlm_diarizer.errors import OptionError
from wavlm_export.builtin import config, evaluation, model, plain_head, projection, training, trials
from wavlm_export.builtin.__main__ import main

__all__ = ["_one_thread", "recipe"]

WIDTH = 4


@pytest.fixture(scope="module")
def changed(recipe: config.Recipe, tmp_path_factory: pytest.TempPathFactory) -> config.Recipe:
    """A recipe with nine people and a run of one step."""
    run = replace(
        moved(recipe, tmp_path_factory.mktemp("plain") / "run", steps=1),
        simulation=replace(recipe.simulation, speeds=(1.0, 0.8, 1.2)),
        projection=config.Projection(width=WIDTH, alone=96, conversations=8),
    )
    training.train(run)
    return run


@pytest.fixture(scope="module")
def folder(changed: config.Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``sd`` folder of a pair with such a head."""
    return plain_head.plain(changed, None, tmp_path_factory.mktemp("plain"), str)


def test_the_head_is_transformers_own_and_the_rest_stays_as_it_was(changed: config.Recipe, folder: Path, tmp_path: Path) -> None:
    said: list[str] = []
    found = [folder, plain_head.plain(changed, None, tmp_path, said.append)]
    assert said[0].endswith("voices of 9 people")
    head, loaded = WavLMForXVector.from_pretrained(found[0].with_name("sv"), output_loading_info=True)
    assert not loaded["missing_keys"]
    assert not loaded["unexpected_keys"]
    assert (head.config.xvector_output_dim, head.config.tdnn_dim) == (WIDTH, [SIZES.hidden])
    before = WavLMForAudioFrameClassification.from_pretrained(training.trained(changed, None)).state_dict()
    after = WavLMForAudioFrameClassification.from_pretrained(found[0]).state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    first, second = ((path.with_name("sv") / "model.safetensors").read_bytes() for path in found)
    assert first == second


def test_every_channel_of_the_states_is_handed_on_as_it_is(changed: config.Recipe, folder: Path) -> None:
    head = WavLMForXVector.from_pretrained(folder.with_name("sv")).eval()
    samples = next(iter(training.simulated(changed, changed.simulation, 3, 1)))[0]
    with torch.inference_mode():
        states = head.wavlm(samples, output_hidden_states=True).hidden_states
        student = model.Student(model.like(SIZES, folder), 2).eval()
        model.start_from(student, folder)
        frames = student(samples).frames
        wanted = torch.stack(states[:-1]).mean(dim=0)
        # Of what lies within the rectifier's reach, a channel is the same but for its scale and its place.
        scale, place = head.projector.weight.diagonal(), head.projector.bias
        torch.testing.assert_close(frames, (wanted * scale + place).clamp(min=0), atol=2e-3, rtol=1e-3)
        assert (frames > 0).float().mean() > 0.999
        embeddings = student.embeddings(frames, torch.ones(frames.shape[:2]))
        # transformers divides the deviation's squares by one less.
        assert torch.cosine_similarity(embeddings[:, :WIDTH], head(samples).embeddings).min() > 0.998


def test_people_of_other_conversations_are_told_apart(changed: config.Recipe, folder: Path) -> None:
    sizes = replace(model.like(SIZES, folder), embedding=WIDTH)
    student = model.Student(sizes, 2).eval()
    model.start_from(student, folder)
    others = replace(changed, simulation=replace(changed.simulation, noise=0.0, telephone=0.0, events=0.0))
    embeddings, people = projection.heard(others, student, student.embeddings)
    # By chance it would be a half; the backbone has learned for one step.
    assert trials.equal_error_rate(embeddings, people) < 0.35
    answer = evaluation.with_voices(changed, folder)
    samples = next(iter(training.simulated(others, others.simulation, 5, 1)))[0][0].numpy()
    assert answer(samples).embeddings is not None


def test_a_run_that_starts_from_such_a_pair_begins_its_own_head_anew(folder: Path) -> None:
    torch.manual_seed(1)
    student = model.Student(SIZES, 2)
    before = {name: value.clone() for name, value in student.sv.state_dict().items() if not name.startswith("wavlm.")}
    model.start_from(student, folder)
    after = student.sv.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_a_projection_is_one_of_the_head_that_there_is(changed: config.Recipe, folder: Path, tmp_path: Path) -> None:
    same = replace(changed, model=replace(changed.model, embedding=WIDTH))
    projected = projection.project(same, str(folder), tmp_path, str)
    before, after = (WavLMForXVector.from_pretrained(path.with_name("sv")).eval() for path in (folder, projected))
    samples = next(iter(training.simulated(changed, changed.simulation, 4, 1)))[0]
    with torch.inference_mode():
        given, found = before(samples).embeddings.double(), after(samples).embeddings.double()
    matrix = torch.linalg.lstsq(before.feature_extractor.weight.double().T, after.feature_extractor.weight.double().T).solution
    apart = given - given.mean(dim=0)
    # Its discriminants are directions of the plain head's own embeddings, and spread those of one person evenly.
    torch.testing.assert_close(found - found.mean(dim=0), apart @ matrix, atol=1e-2, rtol=1e-2)
    student = model.Student(replace(model.like(SIZES, folder), embedding=WIDTH), 2).eval()
    model.start_from(student, projected)
    embeddings, people = projection.heard(changed, student, student.embeddings)
    means = np.stack([embeddings[people == one].mean(axis=0) for one in range(9)])
    within = (embeddings - means[people]).std(axis=0)
    assert within.max() / within.min() < 1.5


def test_its_command_says_what_is_missing(changed: config.Recipe, tmp_path: Path, capsys: Any) -> None:
    few = replace(changed, projection=config.Projection(width=8, alone=16, conversations=4))
    with pytest.raises(OptionError, match=r"more than 8 people .* lower projection\.width"):
        plain_head.plain(few, None, tmp_path / "out", str)
    assert not (tmp_path / "out").exists()
    (tmp_path / "recipe.toml").write_text("")
    assert main(["plain", "--config", str(tmp_path / "recipe.toml"), "--checkpoint", str(tmp_path / "none")]) == 1
    assert "There is no checkpoint" in capsys.readouterr().err
