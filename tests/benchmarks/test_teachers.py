"""What the teachers' adapter promises: sets of speakers become speakers, their frames ours, and voices are those of solo speech."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import programs
from wavlm_diarizer import Diarizer
from wavlm_diarizer.diarizer import sigmoid
from wavlm_diarizer.timebase import TimeBase

sys.path.insert(0, str(programs.CONTENDERS))
import teacher_session

TIME = TimeBase()


def log_probabilities(sets: list[int]) -> np.ndarray:
    """Sure answers: one set of speakers for each of their frames."""
    return np.log(np.full((len(sets), 7), 1e-9) + np.eye(7)[sets])


def test_a_set_of_two_speakers_is_both_of_them() -> None:
    expected = [[], [0], [1], [2], [0, 1], [0, 2], [1, 2]]
    for number, speakers in enumerate(expected):
        on = sigmoid(teacher_session.as_logits(log_probabilities([number] * 589), 499, TIME)) > 0.5
        assert np.flatnonzero(on.all(axis=0)).tolist() == np.flatnonzero(on.any(axis=0)).tolist() == speakers


def test_a_speakers_probability_is_the_sum_over_the_sets_with_it() -> None:
    given = np.array([0.1, 0.2, 0.05, 0.05, 0.3, 0.2, 0.1])
    found = sigmoid(teacher_session.as_logits(np.log(np.tile(given, (589, 1))), 499, TIME))
    assert np.allclose(found, [0.7, 0.45, 0.35], atol=1e-6)


def test_a_boundary_keeps_its_time_to_half_a_frame() -> None:
    for seconds in (2.0, 5.31, 9.4):
        theirs = (np.arange(589) * teacher_session.STEP + teacher_session.FIELD / 2) / 16_000
        found = teacher_session.as_logits(log_probabilities(np.where(theirs < seconds, 0, 1).tolist()), 499, TIME)
        first = int(np.argmax(found[:, 0] > 0))
        assert abs(TIME.frame_seconds(first) - seconds) <= 0.02


def test_frames_of_two_speakers_are_nobodys_voice() -> None:
    logits = np.array([[3, -3, -3], [3, 2, -3], [-3, 2, -3], [-3, -3, -3]], dtype=float)
    assert teacher_session.solo(logits).tolist() == [[True, False, False], [False] * 3, [False, True, False], [False] * 3]


def constant_model(path: Path, source: str, shape: list, answer: np.ndarray) -> None:
    """A model that answers the same whatever it is asked."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["answer"], ["y"])],
        "constant",
        [helper.make_tensor_value_info(source, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, list(answer.shape))],
        [numpy_helper.from_array(answer.astype(np.float32), "answer")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.fixture
def session(tmp_path: Path) -> teacher_session.TeacherSession:
    """Speaker 0 from 1 to 4 s, speakers 0 and 1 until 6 s, then speaker 1 until 9 s; every voice is the same."""
    theirs = (np.arange(589) * teacher_session.STEP + teacher_session.FIELD / 2) / 16_000
    sets = np.select([(theirs > 1) & (theirs < 4), (theirs >= 4) & (theirs < 6), (theirs >= 6) & (theirs < 9)], [1, 4, 2], 0)
    constant_model(tmp_path / "segmentation-3.0.onnx", "x", [1, 1, "n"], log_probabilities(sets.tolist())[None])
    constant_model(tmp_path / "campplus.onnx", "x", [1, "n", 80], np.full((1, 192), 0.5))
    return teacher_session.TeacherSession(tmp_path, 1)


@pytest.mark.parametrize("voices", [False, True])
def test_the_teachers_diarize_through_our_runtime(
    session: teacher_session.TeacherSession, monkeypatch: pytest.MonkeyPatch, *, voices: bool
) -> None:
    # Louder and softer as speech is: steady noise would not be given to the model at all.
    loudness = 0.1 * np.maximum(np.sin(2 * np.pi * 2 * np.arange(160_000) / 16_000), 0)
    samples = (loudness * np.random.default_rng(0).standard_normal(160_000)).astype(np.float32)
    frames = np.array([150, 150, 0])
    monkeypatch.setattr(session, "embeddings", lambda *_: (np.eye(3, 192, dtype=np.float32), frames))
    found = Diarizer(session=session, settings=teacher_session.settings(voices=voices))((samples, 16_000))
    assert [(round(turn.start, 1), round(turn.end, 1)) for turn in found.turns] == [(1.0, 6.0), (4.0, 9.0)]


def test_voices_are_counted_in_frames_of_solo_speech(session: teacher_session.TeacherSession) -> None:
    samples = np.random.default_rng(0).standard_normal((1, 160_000)).astype(np.float32)
    logits, embeddings, frames = session.run(["logits", "embeddings", "embedding_frames"], {"input_values": samples})
    assert (logits.shape, embeddings.shape, frames.shape) == ((1, 499, 3), (1, 3, 192), (1, 3))
    assert frames[0].tolist() == pytest.approx([150, 150, 0], abs=2)
    assert (embeddings[0, 0] == 0.5).all()
    assert not embeddings[0, 2].any()
