"""Takes, their conversations, the loss of a teacher's frames and a training that asks for them, with a tiny teacher of CAM++'s names."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("kaldi_native_fbank")

import torch
from test_builtin_training import SIZES, _one_thread, moved, recipe, weights
from torch import nn
from transformers import WavLMForAudioFrameClassification, WavLMForXVector

from wavlm_diarizer.errors import OptionError
from wavlm_export.builtin import config, model, projection, takes, together, training
from wavlm_export.builtin.__main__ import main
from wavlm_export.builtin.conversations_of_takes import ConversationsOfTakes
from wavlm_export.builtin.frame_losses import FrameLoss, apart_loss
from wavlm_export.builtin.frame_teacher import FrameTeacher
from wavlm_export.builtin.frame_training import FrameTrainer
from wavlm_export.builtin.mean_weights import MeanWeights
from wavlm_export.builtin.normed_head import NormedHead
from wavlm_export.builtin.voice_teacher import log_mels

__all__ = ["_one_thread", "recipe"]

EARLY, LATE, WIDE = 6, 8, 5


class Block(nn.Module):
    """A convolution over time under the name that CAM++ has for it."""

    def __init__(self, wide: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.linear = nn.Conv1d(wide, width, 3, stride=stride, padding=1)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.linear(frames)
        return result


class Last(nn.Module):
    """The layer behind the pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Conv1d(2 * LATE, WIDE, 1, bias=False)
        self.nonlinear = nn.Sequential()
        self.nonlinear.add_module("batchnorm", nn.BatchNorm1d(WIDE, affine=False))

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.nonlinear(self.linear(pooled[..., None])[..., 0])
        return result


class XVector(nn.Module):
    """Mel energies ``[1, 80, frames]`` in, an embedding out, as CAM++ has it: blocks, rectifier, statistics, last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.transit1, self.transit3, self.dense = Block(80, EARLY, 2), Block(EARLY, LATE), Last()

    def forward(self, energies: torch.Tensor) -> torch.Tensor:
        frames = torch.relu(self.transit3(self.transit1(energies)))
        result: torch.Tensor = self.dense(torch.cat((frames.mean(dim=2), frames.std(dim=2)), dim=1))
        return result


class Tiny(nn.Module):
    """A model with the names of CAM++'s."""

    def __init__(self) -> None:
        super().__init__()
        self.xvector = XVector()

    def forward(self, energies: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.xvector(energies.transpose(1, 2))
        return result


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    tiny = Tiny().eval()
    norm = tiny.xvector.dense.nonlinear.batchnorm
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2.0)
    path = tmp_path_factory.mktemp("teacher") / "tiny.onnx"
    axes = {"x": {0: "N", 1: "T"}, "embedding": {0: "N"}}
    torch.onnx.export(tiny, (torch.randn(1, 200, 80),), str(path), input_names=["x"], output_names=["embedding"], opset_version=14,
                      dynamic_axes=axes, dynamo=False)  # fmt: skip
    return path


@pytest.fixture(scope="module")
def taught(recipe: config.Recipe, teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> config.Recipe:
    """A recipe with takes of half a second and conversations of two of them."""
    root = tmp_path_factory.mktemp("frames")
    sizes = replace(SIZES, tdnn=(16, 16, LATE), tdnn_kernel=(5, 3, 1), tdnn_dilation=(1, 1, 1), embedding=WIDE)
    changed = replace(
        moved(recipe, root / "run", steps=4, frames_weight=0.3, mean_steps=3),
        data=replace(recipe.data, voice_teacher=str(teacher)),
        simulation=replace(recipe.simulation, seconds=2.0, speakers=(0.1, 0.3, 0.4, 0.2)),
        model=sizes,
        takes=config.Takes(folder=str(root / "takes"), count=20, seconds=1.0, labels="", labels_weight=1.0),
    )
    takes.make(changed)
    return changed


def test_a_teachers_frames_make_its_embedding(teacher: Path) -> None:
    from wavlm_export.builtin.voice_teacher import embedder

    ask = FrameTeacher(teacher)
    samples = 0.1 * np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    early, late = ask(samples)
    assert early.shape == (len(log_mels(samples)) // 2, EARLY)
    assert late.shape == (len(early), LATE)
    frames = torch.from_numpy(late).relu()
    pooled = torch.cat((frames.mean(dim=0), frames.std(dim=0)))
    weight, bias = (torch.from_numpy(one) for one in ask.last)
    np.testing.assert_allclose((weight @ pooled + bias).numpy(), embedder(teacher)(samples), atol=1e-4)


def test_another_model_is_no_teacher_of_frames(tmp_path: Path) -> None:
    from onnx import TensorProto, helper, save_model

    with pytest.raises(OptionError, match="no voice teacher"):
        FrameTeacher(tmp_path / "none.onnx")
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "other", value[:1], value[1:])
    save_model(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)]), tmp_path / "other.onnx")
    with pytest.raises(OptionError, match="not CAM\\+\\+"):
        FrameTeacher(tmp_path / "other.onnx")


def test_takes_are_what_the_teacher_hears_and_are_made_once(taught: config.Recipe, teacher: Path, tmp_path: Path) -> None:
    made = takes.Takes(taught.takes.folder)
    assert (len(made), made.hops) == (20, 50)
    assert set(made.voices) == {"voice0", "voice1", "voice2"}
    assert made.made[:, 0].min() >= 0.75
    assert made.made[:, 0].max() <= 1.33
    ask = FrameTeacher(teacher)
    for number in (0, 19):
        one = made[number]
        early, late = ask(one.samples.astype(np.float32) / 32768)
        np.testing.assert_allclose(one.late, late[:49], atol=1e-3, rtol=1e-3)
        np.testing.assert_allclose(one.early, early[:49], atol=1e-3, rtol=1e-3)
        assert one.speech.mean() >= 0.35
        np.testing.assert_array_equal(one.likely, one.speech)
    before = {path: path.stat().st_mtime_ns for path in Path(taught.takes.folder).rglob("*.npy")}
    takes.make(taught)
    assert {path: path.stat().st_mtime_ns for path in Path(taught.takes.folder).rglob("*.npy")} == before
    elsewhere = replace(taught, takes=replace(taught.takes, folder=str(tmp_path / "again")))
    takes.make(elsewhere)
    again = takes.Takes(tmp_path / "again")
    np.testing.assert_array_equal(again[7].samples, made[7].samples)
    np.testing.assert_array_equal(again[7].late, made[7].late)


def test_a_checkpoint_says_when_somebody_speaks_beside_the_labels(taught: config.Recipe, tmp_path: Path) -> None:
    torch.manual_seed(5)
    student = model.Student(taught.model, 2).eval()
    model.save(student, tmp_path / "pair")
    labelled = replace(taught, takes=replace(taught.takes, folder=str(tmp_path / "takes"), count=3, labels=str(tmp_path / "pair" / "sd")))
    takes.make(labelled)
    one = takes.Takes(tmp_path / "takes")[1]
    heard = torch.from_numpy(np.append(one.samples.astype(np.float32) / 32768, np.zeros(80, dtype=np.float32)))[None]
    with torch.inference_mode():
        nobody = (1 - torch.sigmoid(student(heard).activity)).prod(dim=2)[0, :49]
    np.testing.assert_allclose(one.likely, (1 - nobody).numpy(), atol=2e-3)
    missing = replace(labelled, takes=replace(labelled.takes, labels=str(tmp_path / "none")))
    with pytest.raises(OptionError, match=r"takes\.labels"):
        takes.make(missing)
    with pytest.raises(OptionError, match="run takes first"):
        takes.Takes(tmp_path)


def test_conversations_of_takes_know_their_frames(taught: config.Recipe) -> None:
    made = takes.Takes(taught.takes.folder)
    clean = replace(taught.simulation, reverberation=0.0, noise=0.0, telephone=0.0, codec=0.0, events=0.0, bystander=0.0)
    conversations = ConversationsOfTakes(made, training.cast(taught), clean, 4)
    every = {tuple(made[number].late[3].tolist()) for number in range(len(made))}
    owned = overlapped = 0
    for number in range(40):
        one = conversations[number]
        np.testing.assert_array_equal(one.samples, conversations[number].samples)
        assert one.samples.shape == (100 * 320 + 80,)
        assert one.activity.min() >= 0
        assert one.activity.max() <= 1
        alone = one.owner >= 0
        owned += int(alone.sum())
        overlapped += int((one.activity.sum(axis=1) > 1).sum())
        # Nothing is known where two may speak, or nobody; and whoever owns a frame is the only one who can be heard in it.
        assert not one.late[~alone].any()
        assert (np.count_nonzero(one.activity[alone], axis=1) <= 1).all()
        for frame in np.flatnonzero(alone[[3, 53]]):
            assert tuple(one.late[[3, 53]][frame].tolist()) in every
        for row in set(one.owner[alone].tolist()):
            assert one.pooled[row].any()
            assert np.all(one.pooled[row] >= 0)
    assert owned > 1000
    assert overlapped > 50


def test_a_window_is_some_takes_long(taught: config.Recipe) -> None:
    made = takes.Takes(taught.takes.folder)
    with pytest.raises(OptionError, match="multiple of the 1 seconds"):
        ConversationsOfTakes(made, training.cast(taught), replace(taught.simulation, seconds=2.5), 4)


def test_the_teachers_own_frames_lose_nothing(taught: config.Recipe, teacher: Path) -> None:
    made = takes.Takes(taught.takes.folder)
    loss, student = FrameLoss(made, FrameTeacher(teacher).last), model.Student(taught.model, 2)
    late = torch.from_numpy(np.stack([made[number].late for number in (1, 2)]).astype(np.float32))
    early = torch.from_numpy(np.stack([made[number].early for number in (1, 2)]).astype(np.float32))
    owner = torch.tensor([[0] * 49, [1] * 49])
    rectified = late.relu()
    pooled = torch.cat((rectified.mean(dim=1), (rectified.var(dim=1, unbiased=False) + 1e-6).sqrt()), dim=1)[None].expand(2, -1, -1)
    same = (early - loss.early_mean) / loss.early_spread
    # The student's last layer has three frames less on each side; so pooled over fewer, and a little apart.
    found = loss(student, late[:, 3:-3], same, late, early, owner, pooled)
    assert found.item() < 0.05
    swapped = loss(student, late.flip(0)[:, 3:-3], same, late, early, owner, pooled)
    assert swapped.item() > 0.5
    nobody = loss(student, late[:, 3:-3].requires_grad_(), same, late, early, torch.full_like(owner, -1), pooled)
    assert nobody.item() == 0.0
    nobody.backward()


def test_a_place_is_told_apart_from_those_of_others_but_not_from_its_like() -> None:
    places = torch.eye(4)
    others = torch.cat((2 * torch.eye(4), torch.tensor([[0.6, 0.8, 0.0, 0.0]])))
    assert apart_loss(places, places, others).item() < 1e-6
    # Between two people it cannot be sure, and at somebody else's place it is wrong.
    between = apart_loss((places + places.flip(0)) / 2, places, others)
    assert between.item() > np.log(2)
    assert apart_loss(places.flip(0), places, others).item() > 15
    # With nobody else there is nothing to tell apart.
    assert apart_loss(places[:1].flip(1), places[:1], others[:1]).item() == 0.0


def test_places_told_apart_are_asked_for_by_weight(taught: config.Recipe, teacher: Path) -> None:
    made, last = takes.Takes(taught.takes.folder), FrameTeacher(teacher).last
    student = model.Student(taught.model, 2)
    late = torch.from_numpy(made[1].late.astype(np.float32))[None]
    early = torch.zeros(1, late.shape[1], made[1].early.shape[1])
    owner, pooled = torch.zeros(1, late.shape[1], dtype=torch.long), torch.rand(1, 1, 2 * late.shape[2])
    values = [
        FrameLoss(made, last, place=place, apart=apart)(student, late, early, late, early, owner, pooled).item()
        for place, apart in ((0.0, 0.0), (2.0, 0.0), (0.0, 1.0))
    ]
    assert values[0] < values[1]
    assert values[0] < values[2]


def test_training_learns_frames_and_activity_and_resumes(taught: config.Recipe, tmp_path: Path) -> None:
    # Far more steps than are trained: the rate stays.
    run = moved(taught, tmp_path / "run", steps=40, peak_rate=3e-3, log_every=20)
    torch.manual_seed(0)
    found = training.train(run)
    lines = [json.loads(line) for line in (tmp_path / "run" / training.LOG).read_text().splitlines()]
    assert [line["step"] for line in lines] == [20, 40]
    assert lines[1]["frames"] < 0.9 * lines[0]["frames"]
    head, loaded = WavLMForXVector.from_pretrained(found / "sv", output_loading_info=True)
    assert not loaded["missing_keys"]
    assert head.config.tdnn_dim == [16, 16, LATE]
    # The last layer is the teacher's, and stays so.
    np.testing.assert_allclose(head.feature_extractor.weight.detach(), FrameTeacher(taught.data.voice_teacher).last[0])
    whole, parts = (moved(taught, tmp_path / name, steps=4) for name in ("whole", "parts"))
    training.train(whole)
    half = FrameTrainer(parts)
    for batch in list(half.batches())[:2]:
        half.learn(batch)
    half.save()
    training.train(parts)
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    sd = [(tmp_path / name / training.CHECKPOINT / "sd" / "model.safetensors").read_bytes() for name in ("whole", "parts")]
    assert sd[0] == sd[1]


def _measuring(head: NormedHead, states: torch.Tensor) -> None:
    """Let the norms measure ``states`` until they know them."""
    head.train()
    with torch.no_grad():
        for _ in range(100):
            head(states)
    head.eval()


def test_norms_are_folded_into_the_head_and_taken_out_again(taught: config.Recipe) -> None:
    torch.manual_seed(2)
    student = model.Student(taught.model, 2).eval()
    head, states = NormedHead(student.sv), 3 * torch.randn(4, 30, SIZES.hidden) + 1
    for norm in (head.given, *head.between):
        torch.nn.init.uniform_(norm.weight, 0.5, 2.0)
        torch.nn.init.normal_(norm.bias)
    _measuring(head, states)
    before = {name: value.clone() for name, value in student.sv.state_dict().items()}

    def plain() -> torch.Tensor:
        frames = student.sv.projector(states)
        for layer in student.sv.tdnn:
            frames = layer(frames)
        result: torch.Tensor = frames
        return result

    with torch.no_grad():
        wanted = head(states).relu()
        assert not torch.allclose(plain(), wanted, atol=0.01)
        with head.folded():
            torch.testing.assert_close(plain(), wanted, atol=1e-4, rtol=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in student.sv.state_dict().items())
    with torch.no_grad():
        head.take_over(states)
        # A head that learned already goes on as it was, whether the norms measure or have measured.
        for measuring in (False, True):
            torch.testing.assert_close(head.train(measuring)(states).relu(), plain(), atol=1e-4, rtol=1e-4)


def test_frames_alone_leave_the_transformer_and_the_activity_as_they_are(taught: config.Recipe, tmp_path: Path) -> None:
    torch.manual_seed(4)
    model.save(model.Student(taught.model, 2), tmp_path / "start")
    run = moved(taught, tmp_path / "run", start=str(tmp_path / "start" / "sd"), only_frames=True, mean_steps=0, log_every=2)
    found = training.train(run)
    lines = [json.loads(line) for line in (tmp_path / "run" / training.LOG).read_text().splitlines()]
    assert set(lines[0]) >= {"frames", "step"}
    assert "activity" not in lines[0]
    before, after = (WavLMForAudioFrameClassification.from_pretrained(path / "sd").state_dict() for path in (tmp_path / "start", found))
    moved_on = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert any("feature_extractor" in name for name in moved_on)
    assert not [name for name in moved_on if "encoder.layers" in name or name.startswith(("classifier", "layer_weights"))]
    # What the checkpoint hears is the state before the first layer, by a head in which the norms are folded.
    head = WavLMForXVector.from_pretrained(found / "sv").eval()
    share = torch.softmax(head.layer_weights.detach(), dim=0)
    assert share[0] > 0.999
    trainer = FrameTrainer(run)
    samples = torch.randn(2, 16_080)
    with torch.no_grad():
        learner = trainer.frame_learner.eval()
        _, late, _ = learner(samples)
        with trainer.as_written():
            frames = trainer.student(samples).frames
        torch.testing.assert_close(late.relu(), frames, atol=1e-4, rtol=1e-3)
        student = model.Student(taught.model, 2).eval()
        model.start_from(student, found / "sd")
        torch.testing.assert_close(student(samples).frames, frames, atol=1e-4, rtol=1e-3)


def test_the_voice_head_alone_learns_frames_of_what_the_backbone_hears(taught: config.Recipe, tmp_path: Path) -> None:
    torch.manual_seed(4)
    model.save(model.Student(taught.model, 2), tmp_path / "start")
    changes: dict[str, Any] = {"steps": 80, "peak_rate": 3e-3, "log_every": 40, "only_voice": True}
    run = moved(taught, tmp_path / "run", start=str(tmp_path / "start" / "sd"), **changes)
    found = training.train(run)
    lines = [json.loads(line) for line in (tmp_path / "run" / training.LOG).read_text().splitlines()]
    assert not any({"activity", "unseen"} & set(line) for line in lines)
    assert lines[1]["frames"] < lines[0]["frames"]
    before, after = (WavLMForAudioFrameClassification.from_pretrained(path / "sd").state_dict() for path in (tmp_path / "start", found))
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    # It weighs all states, and has learned to.
    share = torch.softmax(WavLMForXVector.from_pretrained(found / "sv").layer_weights.detach(), dim=0)
    assert 0 < (share - 1 / len(share)).abs().max() < 0.5
    with pytest.raises(OptionError, match=r"training\.only_voice"):
        training.trainer_of(moved(run, tmp_path / "both", only_frames=True))
    # A head that hears the first state alone does without the layers.
    first = FrameTrainer(moved(run, tmp_path / "first", voice_states=1))
    learner, samples = first.frame_learner.eval(), torch.randn(2, 16_080)
    with torch.no_grad():
        states = torch.stack(first.student.states(samples)[1], dim=1)
        for short, long in zip(learner(samples)[1:], learner(samples, states[:, :1])[1:], strict=True):
            torch.testing.assert_close(short, long, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(learner(samples)[1], learner(samples, states)[1], atol=1e-4, rtol=1e-3)


def test_the_head_may_hear_the_first_states_alone_while_activity_learns(taught: config.Recipe, tmp_path: Path) -> None:
    run = moved(taught, tmp_path / "run", steps=2, voice_states=1, log_every=2)
    found = training.train(run)
    share = torch.softmax(WavLMForXVector.from_pretrained(found / "sv").layer_weights.detach(), dim=0)
    assert share[0] > 0.999
    line = json.loads((tmp_path / "run" / training.LOG).read_text().splitlines()[0])
    assert {"activity", "frames"} <= set(line)


def test_what_the_head_pools_is_projected_in_place_of_its_last_layer(taught: config.Recipe, tmp_path: Path) -> None:
    run = replace(
        moved(taught, tmp_path / "run", steps=1),
        simulation=replace(taught.simulation, speeds=(1.0, 0.8, 1.2)),
        projection=config.Projection(width=4, alone=96, conversations=8, pooled=True),
    )
    source = training.train(run) / "sd"
    projected = projection.project(run, str(source), tmp_path / "projected", str)
    before, after = (WavLMForXVector.from_pretrained(path.with_name("sv")) for path in (source, projected))
    assert after.config.xvector_output_dim == 4
    assert after.feature_extractor.weight.shape == (4, 2 * LATE)
    kept = {name: value for name, value in before.state_dict().items() if name.startswith(("tdnn.", "projector."))}
    assert all(torch.equal(value, after.state_dict()[name]) for name, value in kept.items())
    student = model.Student(replace(taught.model, embedding=4), 2).eval()
    model.start_from(student, projected)
    voices, people = projection.heard(run, student, student.embeddings)
    means = np.stack([voices[people == one].mean(axis=0) for one in np.unique(people)])
    within = np.concatenate([voices[people == one] - mean for one, mean in zip(np.unique(people), means, strict=True)]).std(axis=0)
    assert within.max() / within.min() < 2
    assert np.linalg.norm(voices.mean(axis=0)) < 0.5


def test_the_teachers_last_layer_takes_the_place_of_the_heads(taught: config.Recipe, teacher: Path, tmp_path: Path) -> None:
    run = replace(moved(taught, tmp_path / "run", steps=1), projection=config.Projection(alone=16, conversations=8, taught=True))
    source = training.train(run) / "sd"
    changed = projection.project(run, str(source), tmp_path / "projected", str)
    after = WavLMForXVector.from_pretrained(changed.with_name("sv"))
    assert after.config.xvector_output_dim == WIDE
    np.testing.assert_array_equal(after.feature_extractor.weight.detach().numpy(), FrameTeacher(teacher).last[0])
    student = model.Student(taught.model, 2).eval()
    model.start_from(student, changed)
    voices, _ = projection.heard(run, student, student.embeddings)
    assert np.abs(voices.mean(axis=0)).max() < 0.05 * voices.std()
    other = replace(run, model=replace(run.model, tdnn=(16, 16, 2 * LATE)))
    wider = training.train(moved(other, tmp_path / "wider", steps=1, frames_weight=0.0)) / "sd"
    with pytest.raises(OptionError, match=f"what its teacher does, {2 * LATE} numbers, not {4 * LATE}"):
        projection.project(other, str(wider), tmp_path / "refused", str)
    assert not (tmp_path / "refused").exists()


def test_other_sizes_than_the_teachers_are_refused(taught: config.Recipe, tmp_path: Path) -> None:
    other = moved(replace(taught, model=replace(taught.model, embedding=7)), tmp_path)
    with pytest.raises(OptionError, match=r"set training\.frames_weight"):
        training.trainer_of(moved(taught, tmp_path, frames_weight=0.0, only_frames=True))
    with pytest.raises(OptionError, match=f"last of model.tdnn to {LATE}.* model.embedding to {WIDE}"):
        FrameTrainer(other)


def test_the_mean_is_of_the_last_weights_and_leaves_them_alone() -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(layer.weight)
    mean = MeanWeights(layer, 4)
    for step in range(1, 81):
        nn.init.constant_(layer.weight, float(step))
        mean.add(step)
    with mean.in_place():
        # An exponential mean over 4 steps lags three behind.
        assert layer.weight.item() == pytest.approx(77, abs=0.1)
    assert layer.weight.item() == 80
    other = MeanWeights(layer, 4)
    other.load(mean.state())
    with other.in_place():
        assert layer.weight.item() == pytest.approx(77, abs=0.1)


def test_processes_that_train_side_by_side_become_one(taught: config.Recipe, tmp_path: Path) -> None:
    run = moved(taught, tmp_path / "two", steps=3, processes=2, meet_every=2, mean_steps=0)
    training.train(run)
    together = weights(tmp_path / "two")
    trainers = [training.trainer_of(moved(run, tmp_path / f"rank{rank}"), rank) for rank in range(2)]
    batches = [list(one.batches()) for one in trainers]
    assert not torch.equal(batches[0][0][0], batches[1][0][0])
    for step in range(3):
        for one, mine in zip(trainers, batches, strict=True):
            one.learn(mine[step])
        if step in {1, 2}:
            # What batch norm has measured becomes the mean, too.
            pairs = zip(*([*one.learner.parameters(), *one.learner.buffers()] for one in trainers), strict=True)
            with torch.no_grad():
                for first, second in pairs:
                    if not first.is_floating_point():
                        continue
                    mean = (first + second) / 2
                    first.copy_(mean)
                    second.copy_(mean)
    for name, value in trainers[0].learner.state_dict().items():
        torch.testing.assert_close(value, together[name], atol=1e-6, rtol=1e-5)


def _ends_at_once(run: config.Recipe, rank: int) -> None:
    """A process that does not go on."""


def test_a_process_whose_other_has_ended_says_so(taught: config.Recipe, tmp_path: Path) -> None:
    run = moved(taught, tmp_path, processes=2)
    with pytest.raises(OptionError, match="Another process of the training has ended"), together.others(_ends_at_once, run):
        together.meet([torch.zeros(3)], stop=False)


def _takes_a_turn(run: config.Recipe, rank: int) -> None:
    """Says in the run's folder when its turn begins and ends."""
    with together.first_alone(rank), (Path(run.training.folder) / "turns").open("a") as turns:
        for what in ("begins", "ends"):
            turns.write(f"{rank} {what}\n")
            turns.flush()
            time.sleep(0.2)


def test_the_first_process_prepares_before_the_others(taught: config.Recipe, tmp_path: Path) -> None:
    run = moved(taught, tmp_path, processes=2)
    with together.others(_takes_a_turn, run):
        time.sleep(0.5)  # The other one would be first if it did not wait.
        _takes_a_turn(run, 0)
    assert (tmp_path / "turns").read_text().splitlines() == ["0 begins", "0 ends", "1 begins", "1 ends"]


def test_the_command_makes_takes(taught: config.Recipe, tmp_path: Path, capsys: Any) -> None:
    lines = [
        "[data]",
        *(f"{name} = {json.dumps(getattr(taught.data, name))}" for name in ("packed", "voice_teacher")),
        "[takes]",
        f"folder = {json.dumps(str(tmp_path / 'takes'))}",
        'labels = ""\ncount = 2\nseconds = 0.5',
    ]
    (tmp_path / "recipe.toml").write_text("\n".join(lines))
    assert main(["takes", "--config", str(tmp_path / "recipe.toml")]) == 0
    assert "2 takes" in capsys.readouterr().err
    (tmp_path / "empty.toml").write_text("")
    assert main(["takes", "--config", str(tmp_path / "empty.toml")]) == 1
    assert "set data.voice_teacher" in capsys.readouterr().err


def test_the_recipe_fits_the_teacher_and_its_takes() -> None:
    known = config.read(Path(__file__).parents[2] / "export" / "recipes" / "frames.toml")
    # CAM++'s frames and embedding.
    assert (known.model.tdnn[-1], known.model.tdnn_kernel[-1], known.model.embedding) == (512, 1, 192)
    assert known.training.frames_weight > 0
    assert known.projection.pooled
    assert known.simulation.seconds % known.takes.seconds == 0
