"""A teacher that hears loud sound as its first speaker, in the place of segmentation-3.0."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

pytest.importorskip("torch")

from wavlm_diarizer.errors import OptionError
from wavlm_export.builtin import config, prepare, training, voices
from wavlm_export.builtin.activity_teacher import FIELD, STEP, ActivityTeacher, between
from wavlm_export.builtin.conversations import Conversations

HOP = config.HOP
LOUD = 0.02


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Mean magnitude over :data:`LOUD` in a frame's field: the first speaker, else nobody."""
    slopes = np.array([-1e4, 1e4, 0, 0, 0, 0, 0], dtype=np.float32)
    offsets = np.array([1e4 * LOUD, -1e4 * LOUD, -1e3, -1e3, -1e3, -1e3, -1e3], dtype=np.float32)
    nodes = [
        helper.make_node("Abs", ["x"], ["magnitude"]),
        helper.make_node("AveragePool", ["magnitude"], ["level"], kernel_shape=[FIELD], strides=[STEP]),
        helper.make_node("Transpose", ["level"], ["frames"], perm=[0, 2, 1]),
        helper.make_node("Mul", ["frames", "slopes"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offsets"], ["scores"]),
        helper.make_node("LogSoftmax", ["scores"], ["y"], axis=2),
    ]
    graph = helper.make_graph(
        nodes,
        "teacher",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1, "T"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", "F", 7])],
        [numpy_helper.from_array(slopes, "slopes"), numpy_helper.from_array(offsets, "offsets")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path_factory.mktemp("teacher") / "teacher.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def voice() -> voices.Voice:
    """Half a second of buzz, half a second of nothing, and so on; all of it labelled as speech."""
    second = np.concatenate((np.tile(np.repeat(np.int16([4000, -4000]), 80), 50), np.zeros(8000, dtype=np.int16)))
    return voices.Voice("one", np.tile(second, 12), np.ones(600, dtype=bool), ((0, 600),))


def test_it_hears_every_20_ms_where_they_are(path: Path) -> None:
    samples = np.zeros(8 * config.RATE + 80, dtype=np.float32)
    samples[3 * config.RATE : 5 * config.RATE] = 0.1
    heard = ActivityTeacher(path)(samples)
    assert heard.shape == (400, 7)
    assert np.allclose(heard.sum(axis=1), 1, atol=1e-5)
    on = np.flatnonzero(heard[:, 1] > 0.5)
    # Its field of 62 ms is loud enough once a fifth of it is.
    assert 150 - on[0] in (0, 1, 2)
    assert on[-1] - 249 in (0, 1, 2)
    assert len(on) == on[-1] - on[0] + 1


def test_without_its_file_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"no teacher .*none\.onnx"):
        ActivityTeacher(tmp_path / "none.onnx")


def heard(*columns: int) -> np.ndarray:
    """Certainty of who talks in each frame: the class's number."""
    return np.eye(7, dtype=np.float32)[list(columns)]


def test_who_talks_is_for_the_truth_to_say_and_whether_anybody_does_is_between() -> None:
    truth = np.float32([[1, 0, 0], [1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0], [1, 1, 0]])
    # The teacher's second speaker is the truth's first, and it hears a word of the other as his too; its third is nobody's; and it
    # hears nothing of two at once.
    labels = between(truth, heard(2, 2, 0, 1, 2, 2, 3, 0), 0.6)
    assert np.allclose(labels, [[1, 0, 0], [1, 0, 0], [0.4, 0, 0], [0, 1, 0], [0, 1, 0], [0.6, 0, 0], [0, 0, 0], [1, 1, 0]])


def test_a_second_voice_that_only_the_teacher_hears_is_nobody() -> None:
    truth = np.float32([[1, 0, 0], [1, 0, 0]])
    assert np.array_equal(between(truth, heard(4, 1), 1.0), truth)


def test_a_share_of_nothing_is_the_truth() -> None:
    truth = (np.random.default_rng(0).random((50, 3)) < 0.4).astype(np.float32)
    scores = np.random.default_rng(1).random((50, 7)).astype(np.float32)
    assert np.array_equal(between(truth, scores / scores.sum(axis=1, keepdims=True), 0.0), truth)


def test_a_conversation_is_heard_as_it_sounds(path: Path, voice: voices.Voice) -> None:
    quiet = config.Simulation(
        seconds=4.0, speakers=(0.0, 1.0), reverberation=0.0, noise=0.0, telephone=0.0, own_line=0.0, levelled=0.0, codec=0.0,
        window_gain_db=(0.0, 0.0), speaker_gain_db=(0.0, 0.0), events=0.0, bystander=0.0, teacher_share=1.0,
    )  # fmt: skip
    cast, teacher = voices.Cast([voice], (1.0,)), ActivityTeacher(path)
    apart = 0
    for number in range(8):
        one = Conversations(cast, quiet, 0, teacher=teacher)[number]
        loud = np.abs(one.samples[: 200 * HOP]).reshape(200, HOP).mean(axis=1) > LOUD
        talks = one.activity[:, 0] > 0
        assert np.mean((one.labels[:, 0] > 0.5)[talks] == loud[talks]) > 0.9
        assert not one.labels[:, 1:].any()
        apart += int(np.abs(one.labels - one.activity).sum())
        untold = Conversations(cast, replace(quiet, teacher_share=0.0), 0, teacher=teacher)[number]
        assert np.array_equal(untold.labels, untold.activity)
        assert np.array_equal(untold.samples, one.samples)
    assert apart > 100


def test_where_nobody_is_there_the_teacher_is_not_asked(path: Path, voice: voices.Voice) -> None:
    empty = config.Simulation(seconds=2.0, speakers=(1.0,), window_gain_db=(0.0, 0.0), teacher_share=1.0)
    conversations = Conversations(voices.Cast([voice], (1.0,)), empty, 0, teacher=ActivityTeacher(path))
    assert not any(conversations[number].labels.any() for number in range(5))


def test_a_share_for_nobody_is_an_error(tmp_path: Path) -> None:
    data = config.Data(packed=str(tmp_path / "packed"))
    recipe = config.Recipe(data=data, simulation=config.Simulation(teacher_share=0.5))
    with pytest.raises(OptionError, match=r"teacher_share.*data\.teacher"):
        training.conversations(recipe)


def test_clips_are_labelled_by_what_it_hears_too(path: Path) -> None:
    label = prepare.by_teacher(str(path))
    sound = np.zeros(12 * config.RATE, dtype=np.float32)
    sound[config.RATE : 11 * config.RATE] = 0.1 * np.sign(np.sin(np.arange(10 * config.RATE) * 0.05))
    on = np.flatnonzero(label(sound))
    assert abs(int(on[0]) - 50) <= 3
    assert abs(int(on[-1]) - 549) <= 3
