"""Training a tiny student: losses, resuming, checkpoints that transformers reads, and scoring."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("torch")

import torch
from transformers import WavLMForAudioFrameClassification, WavLMForXVector

from wavlm_diarizer.errors import OptionError
from wavlm_export.builtin import config, evaluation, losses, model, projection, training, voice_teacher, voices
from wavlm_export.builtin.__main__ import main
from wavlm_export.builtin.prepare import prepare

SIZES = config.Model(conv_dim=(8, 8, 8, 8, 8, 8, 16), hidden=32, layers=2, heads=2, tdnn=(16, 16, 16, 16, 32), embedding=16)


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> config.Recipe:
    root = tmp_path_factory.mktemp("training")
    random = np.random.default_rng(0)
    for number in range(4):
        folder = root / "single" / f"voice{number}"
        folder.mkdir(parents=True)
        time = np.arange(3 * config.RATE) / config.RATE
        buzz = 0.1 * np.sign(np.sin(2 * np.pi * (90 + 60 * number) * time)) * (np.sin(2 * np.pi * time) > -0.7)
        soundfile.write(folder / "0.flac", buzz + 1e-4 * random.standard_normal(len(time)), config.RATE)
    data = config.Data(single=str(root / "single"), packed=str(root / "packed"), unseen=("voice3",), least_seconds=1.0)
    prepare(data)
    return config.Recipe(
        data=data,
        simulation=config.Simulation(seconds=1.5, speeds=(1.0,)),
        model=SIZES,
        training=config.Training(
            folder=str(root / "run"), steps=10, batch=4, warmup=1, peak_rate=3e-3, workers=0, log_every=5, compile=False, threads=1
        ),
    )


def moved(recipe: config.Recipe, folder: Path, **settings: Any) -> config.Recipe:
    return replace(recipe, training=replace(recipe.training, folder=str(folder), **settings))


def weights(folder: Path) -> dict[str, Any]:
    return dict(torch.load(folder / training.STATE, weights_only=True)["student"])


def test_the_activity_loss_is_the_best_of_all_orders() -> None:
    random = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(5, 40, 3, generator=random)
    activity = (torch.rand(5, 40, 3, generator=random) > 0.6).float()
    counted = (torch.rand(5, 40, generator=random) > 0.2).float()
    found = losses.activity_loss(logits, activity, counted)
    best = []
    for window in range(5):
        frames = counted[window] > 0
        every = [
            torch.nn.functional.binary_cross_entropy_with_logits(logits[window][frames], activity[window][frames][:, list(order)])
            for order in itertools.permutations(range(3))
        ]
        best.append(min(every))
    assert found.item() == pytest.approx(torch.stack(best).mean().item(), rel=1e-5)
    assert losses.activity_loss(logits[..., [2, 0, 1]], activity, counted).item() == pytest.approx(found.item(), rel=1e-6)


def test_voices_are_named_only_where_one_person_speaks() -> None:
    activity = torch.tensor([[[0, 0, 0], [0, 1, 0], [1, 1, 0], [1, 0, 0], [1, 0, 0]]]).float()
    counted = torch.tensor([[1.0, 1, 1, 1, 0]])
    target = losses.voice_target(activity, torch.tensor([[7, 4, -1]]), counted)
    assert target.tolist() == [[-100, 4, -100, 7, -100]]
    voices, centres = torch.eye(10)[None, :5], torch.eye(10)
    assert losses.voice_loss(voices, centres, torch.full((1, 5), -100)).item() == 0.0
    # Of the two frames that count, the first (1) is not where its person's centre (4) is, and no more wrong than nine others.
    wrong, right = losses.FRAME_SCALE, 0.0
    sure = np.log(np.exp(losses.FRAME_SCALE) + 9) - losses.FRAME_SCALE
    assert losses.voice_loss(voices, centres, target).item() == pytest.approx((wrong + wrong + 2 * sure + right) / 2, rel=1e-5)


def test_embeddings_are_drawn_to_their_own_persons_place() -> None:
    centres = torch.eye(4)
    people = torch.tensor([2, 0])
    assert losses.place_loss(7 * centres[people], centres, people).item() == pytest.approx(0.0, abs=1e-6)
    assert losses.place_loss(centres[[1, 1]], centres, people).item() == pytest.approx(1.0)
    assert losses.place_loss(torch.zeros(0, 4), centres, torch.zeros(0, dtype=torch.long)).item() == 0.0


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    """Something that places voices: the mean of their log-mel energies over time after the mean is gone would be nothing, so their spread."""
    from onnx import TensorProto, helper, save_model

    nodes = [
        helper.make_node("Mul", ["x", "x"], ["square"]),
        helper.make_node("ReduceMean", ["square"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("Slice", ["mean", "from", "to", "axis"], ["embedding"]),
    ]
    bounds = [helper.make_tensor(name, TensorProto.INT64, [1], [value]) for name, value in (("from", 0), ("to", 16), ("axis", 1))]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("x", [1, "T", 80]), ("embedding", [1, 16]))
    ]
    graph = helper.make_graph(nodes, "teacher", values[:1], values[1:], bounds)
    path = tmp_path / "teacher.onnx"
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def test_a_voice_teacher_places_the_people_and_they_stay_there(recipe: config.Recipe, teacher: Path, tmp_path: Path) -> None:
    pytest.importorskip("kaldi_native_fbank")
    taught = replace(moved(recipe, tmp_path / "run", steps=3), data=replace(recipe.data, voice_teacher=str(teacher)))
    trainer = training.Trainer(taught)
    placed = trainer.student.centres.detach().clone()
    assert placed.shape == (3, 16)
    np.testing.assert_allclose(placed.norm(dim=1), 1, rtol=1e-5)
    for batch in trainer.batches():
        trainer.learn(batch)
    assert torch.equal(trainer.student.centres, placed)
    assert torch.equal(training.Trainer(taught).student.centres, placed)
    missing = replace(taught, data=replace(taught.data, voice_teacher=str(tmp_path / "none.onnx")))
    with pytest.raises(OptionError, match="no voice teacher"):
        training.Trainer(missing)


def test_a_persons_place_is_the_same_however_they_sound_in_conversations(recipe: config.Recipe, teacher: Path, tmp_path: Path) -> None:
    pytest.importorskip("kaldi_native_fbank")
    placed = []
    for unlike_itself in (0.0, 1.0):
        people = training.cast(replace(recipe, simulation=replace(recipe.simulation, tracts=(1.0, 0.8), unlike_itself=unlike_itself)))
        (tmp_path / str(unlike_itself)).mkdir()
        placed.append(voice_teacher.centres(people, str(teacher), tmp_path / str(unlike_itself))[0])
    assert placed[0].shape == (6, 16)
    np.testing.assert_array_equal(*placed)


def test_the_teacher_places_what_is_said_in_a_window_heard_alone(recipe: config.Recipe, teacher: Path, tmp_path: Path) -> None:
    pytest.importorskip("kaldi_native_fbank")
    simulation = replace(recipe.simulation, seconds=3.0, speakers=(0.2, 0.4, 0.4), noise=1.0)
    asked = replace(
        moved(recipe, tmp_path / "run", heard_weight=10.0),
        simulation=simulation,
        data=replace(recipe.data, voice_teacher=str(teacher)),
    )
    trainer = training.Trainer(asked)
    _, middle = voice_teacher.centres(training.cast(asked), str(teacher), Path(asked.data.packed))
    placed = 0
    for number in range(12):
        one = trainer.conversations[number]
        assert one.places.shape == (3, 16)
        np.testing.assert_array_equal(one.places, trainer.conversations[number].places)
        lengths = np.linalg.norm(one.places, axis=1)
        assert np.all((np.abs(lengths - 1) < 1e-5) | (lengths == 0))
        assert not lengths[one.people < 0].any()
        placed += int(lengths.any())
    assert placed > 4
    # What is said does not depend on how the conversation is recorded, but on the voice.
    listener = voice_teacher.Listener(teacher, middle)
    said = [training.cast(asked).speak(person, 100, np.random.default_rng(0))[0] for person in (0, 1)]
    assert listener(said[0]) @ listener(said[1]) < 0.999
    for batch in itertools.islice(trainer.batches(), 2):
        assert all(np.isfinite(value) for value in trainer.learn(batch).values())
    with pytest.raises(OptionError, match="voice_teacher"):
        training.Trainer(moved(recipe, tmp_path / "none", heard_weight=1.0))


def test_the_loss_of_places_counts_only_those_that_there_are() -> None:
    embeddings = torch.tensor([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0]], requires_grad=True)
    places = torch.tensor([[1.0, 0.0], [0.0, -1.0], [0.0, 0.0]])
    assert losses.heard_loss(embeddings, places).item() == pytest.approx(1.0)
    nothing = losses.heard_loss(embeddings, torch.zeros(3, 2))
    nothing.backward()  # type: ignore[no-untyped-call]
    assert nothing.item() == 0
    assert losses.heard_loss(embeddings[:0], places[:0]).item() == 0


def test_pieces_are_of_what_was_said_without_a_gap_and_not_too_short() -> None:
    mask = torch.zeros(3, 120)
    mask[0, 10:110], mask[1, 5:25], mask[2, ::2] = 1, 1, 1
    lengths = set()
    for seed in range(30):
        part = training.piece(mask, seed)
        assert torch.equal(part, training.piece(mask, seed))
        for row, whole in zip(part, mask, strict=True):
            assert torch.equal(row * whole, row)
            spoken = row[whole > 0]
            first, last = int(spoken.argmax()), len(spoken) - int(spoken.flip(0).argmax())
            assert spoken[first:last].all()
            assert spoken.sum() >= min(training.LEAST_PIECE, int(whole.sum()))
        lengths.add(int(part[0].sum()))
    assert len(lengths) > 15
    assert max(lengths) > 80


def test_pieces_are_embedded_beside_the_whole(recipe: config.Recipe, tmp_path: Path) -> None:
    found = {}
    for pieces in (0, 2):
        trainer = training.Trainer(moved(recipe, tmp_path / str(pieces), pieces=pieces, steps=2))
        found[pieces] = [trainer.learn(batch)["embedding"] for batch in trainer.batches()]
    assert found[0][0] != found[2][0]
    again = training.Trainer(moved(recipe, tmp_path / "again", pieces=2, steps=2))
    assert [again.learn(batch)["embedding"] for batch in again.batches()] == found[2]


def test_ten_steps_on_one_batch_lower_the_loss(recipe: config.Recipe, tmp_path: Path) -> None:
    trainer = training.Trainer(moved(recipe, tmp_path))
    batch = next(trainer.batches())
    every = [trainer.learn(batch)["activity"] for _ in range(10)]
    assert every[-1] < 0.9 * every[0]


def test_a_run_that_was_interrupted_ends_like_one_that_was_not(recipe: config.Recipe, tmp_path: Path) -> None:
    training.train(moved(recipe, tmp_path / "whole"))
    part = training.Trainer(moved(recipe, tmp_path / "parts"))
    for batch in itertools.islice(part.batches(), 4):
        part.learn(batch)
    part.save()
    training.train(moved(recipe, tmp_path / "parts"))
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())
    lines = [json.loads(line) for line in (tmp_path / "whole" / training.LOG).read_text().splitlines()]
    assert [line["step"] for line in lines] == [5, 10]


def test_other_voices_are_refused_when_a_run_is_resumed(recipe: config.Recipe, tmp_path: Path) -> None:
    training.Trainer(moved(recipe, tmp_path)).save()
    with pytest.raises(OptionError, match="other voices"):
        training.Trainer(replace(moved(recipe, tmp_path), data=replace(recipe.data, unseen=("voice2", "voice3"))))


def test_workers_give_the_same_batches_in_the_same_order(recipe: config.Recipe, tmp_path: Path) -> None:
    alone, helped = (training.Trainer(moved(recipe, tmp_path, workers=workers, steps=3)) for workers in (0, 2))
    for one, other in zip(alone.batches(), helped.batches(), strict=True):
        assert all(torch.equal(left, right) for left, right in zip(one, other, strict=True))


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="there are no process groups")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_whose_whole_process_group_is_told_to_stop_saves_its_state(recipe: config.Recipe, tmp_path: Path, number: int) -> None:
    (tmp_path / "recipe.toml").write_text(
        f'[data]\npacked = "{recipe.data.packed}"\nunseen = ["voice3"]\n'
        "[simulation]\nseconds = 1.5\nspeeds = [1.0]\n"
        "[model]\nconv_dim = [8, 8, 8, 8, 8, 8, 16]\nhidden = 32\nlayers = 2\nheads = 2\ntdnn = [16, 16, 16, 16, 32]\nembedding = 16\n"
        f'[training]\nfolder = "{tmp_path / "run"}"\nsteps = 100000\nbatch = 2\nlog_every = 1\nworkers = 1\ncompile = false\nthreads = 1\n'
    )
    command = [sys.executable, "-m", "wavlm_export.builtin", "train", "--config", str(tmp_path / "recipe.toml")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as program:
        assert program.stderr is not None
        for line in program.stderr:
            if '"step"' in line:
                break
        os.killpg(program.pid, number)
        said = program.stderr.read()
    assert program.returncode == 0, said
    assert torch.load(tmp_path / "run" / training.STATE, weights_only=True)["step"] >= 1
    assert (tmp_path / "run" / training.CHECKPOINT / "sd" / "config.json").exists()


def test_a_checkpoint_that_is_not_there_is_one_sentence(recipe: config.Recipe, tmp_path: Path) -> None:
    for command in (evaluation.evaluate, lambda one, named, say: projection.project(one, named, tmp_path / "out", say)):
        with pytest.raises(OptionError, match=r"There is no checkpoint .*: train first"):
            command(moved(recipe, tmp_path / "nothing"), None, str)


def test_the_saved_heads_are_transformers_own_and_share_a_backbone(recipe: config.Recipe, tmp_path: Path) -> None:
    folder = training.train(moved(recipe, tmp_path, steps=2))
    sd, sd_info = WavLMForAudioFrameClassification.from_pretrained(folder / "sd", output_loading_info=True)
    sv, sv_info = WavLMForXVector.from_pretrained(folder / "sv", output_loading_info=True)
    assert not sd_info["missing_keys"]
    assert not sv_info["missing_keys"]
    backbone = sv.wavlm.state_dict()
    assert all(torch.equal(value, backbone[name]) for name, value in sd.wavlm.state_dict().items())
    preprocessor = json.loads((folder / "sd" / "preprocessor_config.json").read_text())
    assert preprocessor["do_normalize"] is False
    trainer = training.Trainer(moved(recipe, tmp_path, steps=2))
    samples = 0.1 * torch.randn(2, 32_080)
    with torch.inference_mode():
        answer = trainer.student.eval()(samples)
        assert torch.allclose(answer.activity, sd.eval()(samples).logits, atol=1e-4)
        pooled = trainer.student.embeddings(answer.frames, torch.ones(answer.frames.shape[:2]))
        assert pooled.shape == (2, SIZES.embedding)
        assert torch.allclose(pooled, sv.eval()(samples).embeddings, atol=1e-3)


def test_a_run_can_start_from_a_saved_checkpoint(recipe: config.Recipe, tmp_path: Path) -> None:
    folder = training.train(moved(recipe, tmp_path / "first", steps=2))
    started = training.Trainer(moved(recipe, tmp_path / "second", start=str(folder / "sd"), seed=5))
    first = weights(tmp_path / "first")
    own = started.student.state_dict()
    same = [name for name in own if name.startswith(("sd.", "sv.tdnn", "sv.projector", "sv.feature_extractor"))]
    assert same
    assert all(torch.equal(own[name], first[name]) for name in same)


def test_frozen_convolutions_and_all_but_the_voice_head_stay_as_they_were(recipe: config.Recipe, tmp_path: Path) -> None:
    for name, changes, fixed in (
        ("convolutions", {"frozen_convolutions": 3}, tuple(f"sd.wavlm.feature_extractor.conv_layers.{layer}." for layer in range(3))),
        ("voice", {"only_voice": True}, ("sd.",)),
    ):
        trainer = training.Trainer(moved(recipe, tmp_path / name, **changes))
        before = {key: value.clone() for key, value in trainer.student.state_dict().items()}
        trainer.learn(next(iter(trainer.batches())))
        after = trainer.student.state_dict()
        same = {key for key, value in before.items() if torch.equal(value, after[key])}
        assert {key for key in before if key.startswith(fixed)} <= same
        assert {key for key in before if key.startswith(("sv.tdnn", "sv.feature_extractor"))}.isdisjoint(same)


def test_alike_people_are_drawn_together_as_often_as_asked(recipe: config.Recipe, teacher: Path) -> None:
    pytest.importorskip("kaldi_native_fbank")
    with pytest.raises(OptionError, match=r"set data\.voice_teacher"):
        training.cast(replace(recipe, simulation=replace(recipe.simulation, alike=0.5)))
    placed = replace(recipe, data=replace(recipe.data, voice_teacher=str(teacher)), simulation=replace(recipe.simulation, alike=1.0))
    assert len(training.cast(placed).draw(3, np.random.default_rng(0))) == 3
    # Of 90 people, those around a circle are the most alike to whom they stand beside; nobody is drawn twice in another guise.
    people = voices.Cast(
        [replace(voice, name=f"{number}") for number in range(15) for voice in training.cast(recipe).voices[:2]], (1.0, 0.9, 1.1)
    )
    angle = 2 * np.pi * np.arange(len(people)) / len(people)
    places = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    random = np.random.default_rng(1)
    pairs = [people.alike(places, 1.0).draw(2, random) for _ in range(200)]
    near = [(places[one] @ places[other]) > np.cos(0.4 * np.pi) for one, other in pairs]
    assert all(near)
    assert all(one // 3 != other // 3 for one, other in pairs)
    mixed = [people.alike(places, 0.5).draw(2, random) for _ in range(400)]
    far = np.mean([(places[one] @ places[other]) < np.cos(0.4 * np.pi) for one, other in mixed])
    assert 0.2 < far < 0.4


def test_a_run_goes_on_with_more_voices_if_a_teacher_places_them(recipe: config.Recipe, teacher: Path, tmp_path: Path) -> None:
    pytest.importorskip("kaldi_native_fbank")
    few = replace(
        moved(recipe, tmp_path / "run", steps=2),
        data=replace(recipe.data, voice_teacher=str(teacher), unseen=("voice2", "voice3")),
    )
    training.train(few)
    more = training.Trainer(replace(few, data=replace(few.data, unseen=("voice3",))))
    assert more.step == 2
    assert len(more.student.centres) == 3


def test_every_weight_learns_from_one_optimiser_and_the_layers_matrices_from_muon(recipe: config.Recipe, tmp_path: Path) -> None:
    trainer = training.Trainer(moved(recipe, tmp_path / "run"))
    adam, muon = ({id(value) for group in one.param_groups for value in group["params"]} for one in trainer.optimisers)
    assert not adam & muon
    assert adam | muon == {id(value) for value in trainer.student.parameters() if value.requires_grad}
    layer = trainer.student.sd.wavlm.encoder.layers[0]
    assert {id(layer.attention.q_proj.weight), id(layer.feed_forward.output_dense.weight)} <= muon
    assert {id(layer.attention.gru_rel_pos_linear.weight), id(trainer.student.sd.classifier.weight)} <= adam
    assert len(training.Trainer(moved(recipe, tmp_path / "voice", only_voice=True)).optimisers) == 1


def test_the_learning_rate_rises_stays_and_falls() -> None:
    settings = config.Training(steps=100, warmup=10, peak_rate=1.0, decay_from=0.6)
    rates = [training.learning_rate(step, settings) for step in range(101)]
    assert rates[4] == pytest.approx(0.5)
    assert rates[10:60] == [1.0] * 50
    assert rates[80] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0.02)


def test_evaluating_splits_the_error_and_scores_speech_alone(recipe: config.Recipe, tmp_path: Path, capsys: Any) -> None:
    soundfile.write(tmp_path / "one.flac", np.zeros(5 * config.RATE), config.RATE)
    (tmp_path / "one.rttm").write_text("SPEAKER one 1 1.000 2.000 <NA> <NA> a <NA> <NA>\nSPEAKER one 1 2.000 2.000 <NA> <NA> b <NA> <NA>\n")
    student = model.Student(SIZES, 3)
    with torch.no_grad():
        student.sd.classifier.weight.zero_()
        student.sd.classifier.bias.copy_(torch.tensor([9.0, -9.0, -9.0]))
    model.save(student, tmp_path)
    settings = replace(
        recipe,
        evaluation=config.Evaluation(
            sets=(str(tmp_path),), worsened=(str(tmp_path),), conditions=("telephone",), window_seconds=2.0, overlap_seconds=1.0
        ),
    )
    found = evaluation.evaluate(settings, str(tmp_path / "sd"), lambda _: None)
    speakers, speech = found[tmp_path.name]["speakers"], found[tmp_path.name]["speech"]
    # One person all the time, for two who speak from 1 to 3 and from 2 to 4 s of 5.
    assert (speakers["missed"], speakers["false_alarm"], speakers["confusion"]) == pytest.approx((1 / 4, 2 / 4, 1 / 4))
    assert (speech["missed"], speech["false_alarm"]) == pytest.approx((0.0, 2 / 3))
    assert set(found[f"{tmp_path.name} telephone"]) == {"speakers", "speech"}
    assert 0 <= found["voices"]["equal error rate, voice head"] <= 1
    assert len(capsys.readouterr().out.splitlines()) == 5
    with pytest.raises(OptionError, match="no recordings with RTTM"):
        evaluation.score_set(evaluation.activity_alone(student.sd), tmp_path / "sd", settings.evaluation, evaluation.Policy())


def test_the_mean_of_checkpoints_has_the_mean_of_their_weights(tmp_path: Path, capsys: Any) -> None:
    students = [model.Student(SIZES, 3) for _ in range(3)]
    folders = [tmp_path / str(number) for number in range(3)]
    for student, folder in zip(students, folders, strict=True):
        model.save(student, folder)
    written = tmp_path / "recipe.toml"
    written.write_text("")
    command = ["average", "--config", str(written), "--output", str(tmp_path / "mean"), "--of"]
    assert main([*command, *(str(folder / "sd") for folder in folders)]) == 0
    for head, kind in (("sd", WavLMForAudioFrameClassification), ("sv", WavLMForXVector)):
        mean = kind.from_pretrained(tmp_path / "mean" / head).state_dict()
        for name, value in mean.items():
            theirs = torch.stack([getattr(student, head).state_dict()[name] for student in students])
            torch.testing.assert_close(value, theirs.mean(dim=0))
    assert main([*command, str(folders[0] / "sd")]) == 1
    assert "at least two" in capsys.readouterr().err
    model.save(model.Student(replace(SIZES, layers=1), 3), tmp_path / "smaller")
    assert main([*command, str(folders[0] / "sd"), str(tmp_path / "smaller" / "sd")]) == 1
    assert "different architectures" in capsys.readouterr().err
    (tmp_path / "sd").mkdir()
    assert main([*command, str(folders[0] / "sd"), str(tmp_path / "sd")]) == 1
    assert "voice head" in capsys.readouterr().err


def test_more_layers_begin_with_what_fewer_have_learned(tmp_path: Path) -> None:
    torch.manual_seed(5)
    few = model.Student(SIZES, 3).eval()
    # Norms as training leaves them: of other spreads than 1, and not around 0.
    for name, value in few.sd.wavlm.named_parameters():
        if "layer_norm" in name:
            torch.nn.init.normal_(value, 0.8 if name.endswith("weight") else 0.1, 0.1)
    torch.nn.init.normal_(few.sd.layer_weights)
    torch.nn.init.normal_(few.sv.layer_weights)
    model.save(few, tmp_path)
    fresh = model.Student(replace(SIZES, layers=4), 3).eval()
    samples = 0.1 * torch.randn(2, 320 * 100 + 80)
    with torch.inference_mode():
        wanted, before = few(samples), fresh(samples)
        model.start_from(fresh, tmp_path / "sd", deeper=True)
        begun = fresh(samples)
    for name in ("activity", "frames"):
        at_first, now = ((getattr(one, name) - getattr(wanted, name)).abs().mean() for one in (before, begun))
        assert now < 0.1 * at_first
    # They are there to learn: what is added is zero, but not what it is made from.
    top = fresh.sd.wavlm.encoder.layers[3]
    assert not top.attention.out_proj.weight.any()
    assert not top.feed_forward.output_dense.weight.any()
    assert torch.equal(top.attention.q_proj.weight, few.sd.wavlm.encoder.layers[1].attention.q_proj.weight)
    loss = fresh(samples).activity.square().mean()
    loss.backward()  # type: ignore[no-untyped-call]
    assert top.attention.out_proj.weight.grad.abs().sum() > 0
    for layers, deeper in ((1, True), (1, False), (4, False)):
        # Neither an evaluation nor a projection is one of another model than what was saved.
        with pytest.raises(OptionError, match=f"2 layers and the recipe {layers}: set model.layers to 2"):
            model.start_from(model.Student(replace(SIZES, layers=layers), 3), tmp_path / "sd", deeper=deeper)


def test_a_mistake_in_the_recipe_is_one_sentence(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "recipe.toml").write_text("[nothing]\n")
    assert main(["train", "--config", str(tmp_path / "recipe.toml")]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_a_projection_weighs_directions_by_how_well_they_tell_people_apart() -> None:
    random = np.random.default_rng(3)
    people = np.repeat(np.arange(40), 30)
    places = random.standard_normal((40, 2))
    embeddings = np.zeros((len(people), 6))
    embeddings[:, :2] = places[people] + 0.1 * random.standard_normal((len(people), 2))
    embeddings[:, 2:] = 5.0 * random.standard_normal((len(people), 4))  # the loudest directions say nothing of the person
    found = projection.discriminants(embeddings, people, width=2, shrinkage=0.0)
    assert np.abs(found[2:]).max() < 0.02 * np.abs(found[:2]).max()
    apart = embeddings - np.stack([embeddings[people == one].mean(axis=0) for one in range(40)])[people]
    np.testing.assert_allclose(found.T @ (apart.T @ apart / (len(people) - 40)) @ found, np.eye(2), atol=1e-9)


def test_a_projected_head_is_the_projection_of_its_embeddings(recipe: config.Recipe, tmp_path: Path) -> None:
    folder = training.train(moved(recipe, tmp_path / "run", steps=1))
    head = WavLMForXVector.from_pretrained(folder / "sv").eval()
    random = np.random.default_rng(4)
    matrix, centre = random.standard_normal((16, 5)), random.standard_normal(16)
    narrow = projection.projected(head, matrix, centre).eval()
    samples = torch.from_numpy(0.1 * random.standard_normal((2, 16_000)).astype(np.float32))
    with torch.inference_mode():
        before, after = head(samples).embeddings.numpy(), narrow(samples).embeddings.numpy()
    np.testing.assert_allclose(after, (before - centre) @ matrix, rtol=1e-4, atol=1e-4)


def test_the_pair_is_projected_and_saved_as_transformers_own_classes(recipe: config.Recipe, tmp_path: Path) -> None:
    trained = training.train(moved(recipe, tmp_path / "run", steps=1)) / "sd"
    changed = replace(
        moved(recipe, tmp_path / "run"),
        simulation=replace(recipe.simulation, speeds=(1.0, 0.8, 1.2)),
        projection=config.Projection(width=4, alone=60, conversations=8),
    )
    said: list[str] = []
    found = [projection.project(changed, str(trained), tmp_path / name, said.append) for name in ("one", "two")]
    assert WavLMForXVector.from_pretrained(found[0].with_name("sv")).config.xvector_output_dim == 4
    with pytest.raises(OptionError, match=r"have 4 numbers, not model\.embedding = 16: a head is projected once"):
        projection.project(changed, str(found[0]), tmp_path / "again", said.append)
    assert said[0].endswith("voices of 9 people")
    first, second = (
        {name: value.numpy() for name, value in WavLMForXVector.from_pretrained(path.with_name("sv")).state_dict().items()}
        for path in found
    )
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name])
    before, after = (WavLMForAudioFrameClassification.from_pretrained(path).state_dict() for path in (trained, found[0]))
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_a_projection_of_too_few_people_is_refused(recipe: config.Recipe, tmp_path: Path) -> None:
    trained = training.train(moved(recipe, tmp_path / "run", steps=1)) / "sd"
    few = replace(moved(recipe, tmp_path / "run"), projection=config.Projection(width=8, alone=16, conversations=4))
    with pytest.raises(OptionError, match=r"more than 8 people .* lower projection\.width"):
        projection.project(few, str(trained), tmp_path / "out", str)
    (trained.with_name("sv")).rename(tmp_path / "elsewhere")
    with pytest.raises(OptionError, match="no checkpoint with a voice head"):
        projection.project(few, str(trained), tmp_path / "out", str)
    assert not (tmp_path / "out").exists()


def test_a_run_that_starts_from_a_projected_pair_hears_the_same_voices(recipe: config.Recipe, tmp_path: Path) -> None:
    trained = training.train(moved(recipe, tmp_path / "run", steps=1))
    head = WavLMForXVector.from_pretrained(trained / "sv")
    random = np.random.default_rng(5)
    narrow = projection.projected(head, random.standard_normal((16, 5)), random.standard_normal(16)).eval()
    model.save_pair(WavLMForAudioFrameClassification.from_pretrained(trained / "sd"), narrow, tmp_path / "projected")
    student = model.Student(SIZES, 4)
    model.start_from(student, tmp_path / "projected" / "sd")
    samples = torch.from_numpy(0.1 * random.standard_normal((2, 16_000)).astype(np.float32))
    with torch.inference_mode():
        frames = student.eval()(samples).frames
        found = student.embeddings(frames, torch.ones(frames.shape[:2])).numpy()
        expected = narrow(samples).embeddings.numpy()
    cosine = np.sum(found[:, :5] * expected, axis=1) / np.linalg.norm(found[:, :5], axis=1) / np.linalg.norm(expected, axis=1)
    assert cosine.min() > 0.999
    assert not found[:, 5:].any()
