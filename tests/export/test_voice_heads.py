"""Voices in both kinds of graph, against PyTorch: one per label, pooled from the frames at which nobody else speaks."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

import random_checkpoints
from wavlm_diarizer.sessions import open_session
from wavlm_export import guard, sensitivity
from wavlm_export.checkpoint import Checkpoint, load
from wavlm_export.given_activity import with_given_activity
from wavlm_export.graph.architecture import Architecture
from wavlm_export.graph.build import build_fast
from wavlm_export.graph.parts import groups
from wavlm_export.graph.products import Precision
from wavlm_export.graph.speaker import Speaker
from wavlm_export.kinds import KINDS
from wavlm_export.pooling import Context
from wavlm_export.speaker_model import with_speaker
from wavlm_export.speech import load_speech
from wavlm_export.verification import prepared
from wavlm_export.voices import Voices, answered, compare

SMALL_KINDS = [kind for kind in random_checkpoints.SPEAKERS if kind != "wavlm-base-plus"]
GRAPHS = tuple(KINDS)
ALL = [("fast", kind) for kind in SMALL_KINDS] + [("portable", kind) for kind in ("wavlm-small", "unispeech-sat", "wav2vec2")]


@cache
def pair(kind: str, **changes: Any) -> Checkpoint:
    """A random frame classifier and a speaker model on its backbone."""
    with TemporaryDirectory() as folder:
        classifier, speaker = random_checkpoints.save_pair(Path(folder), kind, speaker=dict(changes))
        return with_speaker(load(classifier), speaker)


@cache
def sessions(kind: str, graph: str, **changes: Any) -> tuple[Any, Any]:
    """The fp32 graph of a pair, as it is and with a given activity."""
    made = KINDS[graph].fp32(pair(kind, **changes))
    return open_session(made.SerializeToString()), open_session(with_given_activity(made).SerializeToString())


def signal(checkpoint: Checkpoint, length: int, rows: int = 1) -> np.ndarray:
    speech = load_speech("check")[0][1]
    return prepared(checkpoint, np.stack([np.resize(speech[8_000 * row :], length) for row in range(1, rows + 1)]))


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))


def tdnn_frames(model: Any, values: np.ndarray) -> np.ndarray:
    """What transformers' own modules give before the pooling: ``[batch, frames, width]``."""
    with torch.inference_mode():
        states = model.base_model(torch.from_numpy(values), output_hidden_states=True).hidden_states
        if model.config.use_weighted_layer_sum:
            mixed = (torch.stack(states, dim=1) * torch.softmax(model.layer_weights, dim=-1).view(-1, 1, 1)).sum(dim=1)
        else:
            mixed = states[-1]
        frames = model.projector(mixed)
        for layer in model.tdnn:
            frames = layer(frames)
        return frames.numpy()


@pytest.mark.parametrize(("graph", "kind"), ALL)
def test_a_label_that_is_on_everywhere_has_the_embedding_of_the_whole_recording(graph: str, kind: str) -> None:
    """What the given activity does here, the classifier's own bias does in the next test."""
    checkpoint, (_, given) = pair(kind), sessions(kind, graph)
    labels = len(checkpoint.labels)
    for length in (5_200, 48_001):
        values = signal(checkpoint, length)
        frames = 1 + (length - 400) // 320
        forced = np.full((1, frames, labels), -1.0, np.float32)
        forced[..., labels - 1] = 1.0
        _, voices = answered(given, values, forced)
        with torch.inference_mode():
            expected = checkpoint.speaker.model(torch.from_numpy(values)).embeddings[0].numpy()
        assert cosine(voices.embeddings[0, -1], expected) >= 0.99999
        np.testing.assert_allclose(voices.embeddings[0, -1], expected, atol=1e-4 * np.abs(expected).max())
        assert voices.frames[0, -1] == frames - 14
        assert not voices.embeddings[0, :-1].any()


def test_a_classifier_with_one_label_on_everywhere_gives_the_x_vector_models_own_embedding(tmp_path: Path) -> None:
    classifier, speaker = random_checkpoints.save_pair(tmp_path, "wavlm-small")
    checkpoint = load(classifier)
    with torch.no_grad():
        checkpoint.model.classifier.bias.copy_(torch.tensor([-1e3, 1e3, -1e3]))
    checkpoint = with_speaker(checkpoint, speaker)
    session = open_session(KINDS["fast"].fp32(checkpoint).SerializeToString())
    for length in (5_200, 80_000):
        values = signal(checkpoint, length)
        _, voices = answered(session, values)
        with torch.inference_mode():
            expected = checkpoint.speaker.model(torch.from_numpy(values)).embeddings[0].numpy()
        assert cosine(voices.embeddings[0, 1], expected) >= 0.99999
        assert voices.frames.tolist() == [[0, (length - 400) // 320 + 1 - 14, 0]]


@pytest.mark.parametrize(("graph", "kind"), ALL)
def test_any_labels_pool_pytorchs_own_frames(graph: str, kind: str) -> None:
    checkpoint, (own, given) = pair(kind), sessions(kind, graph)
    model: Any = checkpoint.speaker.model
    rng = np.random.default_rng(5)
    values = signal(checkpoint, 64_017, rows=2)
    logits, _ = answered(own, values)
    frames = tdnn_frames(model, values)
    weight, bias = (value.detach().double().numpy() for value in model.feature_extractor.parameters())
    for activity in (logits, rng.standard_normal(logits.shape).astype(np.float32)):
        _, voices = answered(given, values, activity)
        for row, label in np.ndindex(voices.frames.shape):
            on = activity[row] > 0
            alone = on[:, label] & (on.sum(axis=1) == 1)
            chosen = frames[row][alone[7 : len(alone) - 7]].astype(np.float64)
            assert voices.frames[row, label] == len(chosen)
            if len(chosen) < 2:
                assert not voices.embeddings[row, label].any()
                continue
            expected = weight @ np.concatenate([chosen.mean(axis=0), chosen.std(axis=0, ddof=1)]) + bias
            assert cosine(voices.embeddings[row, label], expected) >= 0.99999
            assert np.abs(voices.embeddings[row, label] - expected).max() <= 1e-4 * np.abs(expected).max()
    np.testing.assert_array_equal(answered(own, values)[1].embeddings, answered(given, values, logits)[1].embeddings)


@pytest.mark.parametrize("graph", GRAPHS)
def test_too_few_frames_are_counted_and_give_zeros(graph: str) -> None:
    checkpoint, (_, given) = pair("wavlm-small"), sessions("wavlm-small", graph)
    # 1 and 14 encoder frames are fewer than one output of the TDNN needs; 15 make one, 16 two.
    for length, counted in ((400, 0), (4_879, 0), (4_880, 1), (5_199, 1), (5_200, 2)):
        frames = 1 + (length - 400) // 320
        forced = np.concatenate([np.ones((1, frames, 1)), -np.ones((1, frames, 2))], axis=2).astype(np.float32)
        _, voices = answered(given, signal(checkpoint, length), forced)
        assert voices.frames.tolist() == [[counted, 0, 0]]
        assert voices.frames.dtype == np.int64
        assert np.isfinite(voices.embeddings).all()
        assert voices.embeddings[0, 0].any() == (counted == 2)


@pytest.mark.parametrize(
    ("graph", "kernels", "dilations", "offset"),
    [
        ("fast", (3, 2, 1), (2, 1, 1), 2),
        ("fast", (1, 4, 3), (1, 3, 2), 6),
        ("fast", (1, 1, 1), (1, 1, 1), 0),
        ("portable", (1, 4, 3), (1, 3, 2), 6),
    ],
)
def test_another_tdnn_is_pooled_in_its_own_middle(graph: str, kernels: Any, dilations: Any, offset: int) -> None:
    changes = {"tdnn_kernel": kernels, "tdnn_dilation": dilations, "tdnn_dim": (32, 48, 40), "use_weighted_layer_sum": False}
    checkpoint, (own, given) = pair("wavlm-small", **changes), sessions("wavlm-small", graph, **changes)
    beyond = sum((taps - 1) * step for taps, step in zip(kernels, dilations, strict=True))
    assert checkpoint.speaker.context == Context(beyond)
    assert checkpoint.speaker.context.offset == offset == beyond // 2
    for length in (400, 16_017):
        values = signal(checkpoint, length)
        logits, voices = answered(own, values)
        activity = np.random.default_rng(1).standard_normal(logits.shape).astype(np.float32)
        expected = checkpoint.speaker.embeddings(values, logits, activity)
        apart = compare(zip(expected, (voices, answered(given, values, activity)[1]), strict=True))
        assert (apart.lowest_cosine, apart.max_relative_difference) == (pytest.approx(1, abs=1e-6), pytest.approx(0, abs=1e-3))


def test_frames_at_which_two_speak_or_nobody_does_belong_to_no_voice() -> None:
    activity = np.array([[1, -1], [1, 1], [-1, -1], [-1, 2], [0, 1], [3, 0]], np.float32)
    assert Context(0).alone(activity).tolist() == [
        [True, False],
        [False, False],
        [False, False],
        [False, True],
        [False, True],
        [True, False],
    ]
    # Frames 2 and 3 of six are the middles of the two outputs that cover five frames each.
    assert Context(4).alone(activity).tolist() == [[False, False], [False, True]]
    assert Context(6).alone(activity).shape == (0, 2)


def test_voices_of_other_frames_are_as_far_apart_as_can_be() -> None:
    voices = Voices(np.array([[[3.0, 4.0], [0.0, 0.0]]]), np.array([[50, 1]]))
    assert compare([(voices, voices)]).lowest_cosine == pytest.approx(1)
    assert compare([(voices, voices)]).compared == 1
    assert compare([(voices, voices)], least=51).compared == 0
    assert compare([(voices, replace(voices, frames=voices.frames + 1))]).lowest_cosine == -1
    assert compare([(voices, replace(voices, embeddings=voices.embeddings + np.array([[[0], [1e-9]]])))]).lowest_cosine == -1
    assert compare([(voices, replace(voices, embeddings=voices.embeddings * np.nan))]).lowest_cosine == -1
    turned = compare([(voices, replace(voices, embeddings=np.array([[[4.0, 3.0], [0.0, 0.0]]])))])
    assert (turned.lowest_cosine, turned.max_relative_difference) == (pytest.approx(0.96), pytest.approx(np.sqrt(2) / 5))


def int8_parts(checkpoint: Checkpoint) -> frozenset[str]:
    found = groups(Architecture.of(checkpoint.config)) | Speaker.of(checkpoint.speaker).groups()
    return frozenset(part for group in found.values() for part in group.parts)


def test_the_speaker_models_products_are_int8_and_a_windows_voices_are_its_own() -> None:
    checkpoint = pair("wavlm-small")
    parts = int8_parts(checkpoint)
    assert {"speaker projector", *(f"speaker tdnn {layer}" for layer in range(1, 6))} < parts
    without = build_fast(replace(checkpoint, speaker=None), Precision(int8=parts))
    whole = build_fast(checkpoint, Precision(int8=parts))

    def products(model: Any) -> int:
        (scan,) = (node for node in model.graph.node if node.op_type == "Scan")
        body = next(item.g for item in scan.attribute if item.name == "body")
        return sum(node.op_type == "MatMulIntegerToFloat" for node in body.node)

    assert products(whole) == products(without) + 6
    session, given = open_session(whole.SerializeToString()), open_session(with_given_activity(whole).SerializeToString())
    values = np.stack([0.01 * signal(checkpoint, 24_000)[0], signal(checkpoint, 24_000)[0], np.zeros(24_000, np.float32)])
    logits, together = answered(session, values)
    _, shifted = answered(given, values, -logits)
    for row, window in enumerate(values):
        _, alone = answered(session, window[None])
        np.testing.assert_array_equal(together.embeddings[row], alone.embeddings[0])
        np.testing.assert_array_equal(together.frames[row], alone.frames[0])
        _, alone = answered(given, window[None], -logits[row : row + 1])
        np.testing.assert_array_equal(shifted.embeddings[row], alone.embeddings[0])


def test_the_second_head_leaves_the_logits_as_they_are() -> None:
    checkpoint = pair("wavlm-small")
    values = signal(checkpoint, 30_000)
    for precision in (Precision(), Precision(int8=int8_parts(checkpoint))):
        both, one = (
            open_session(build_fast(each, precision).SerializeToString()) for each in (checkpoint, replace(checkpoint, speaker=None))
        )
        np.testing.assert_array_equal(*(session.run(["logits"], {"input_values": values})[0] for session in (both, one)))


def measured(relative_rms: float, cosine: float, compared: int = 9) -> guard.Measured:
    apart = compare([])
    voices = replace(apart, lowest_cosine=cosine, compared=compared)
    return guard.Measured(relative_rms, 1.0, 0.0, 100.0, (999, 999), (999, 999), voices)


def test_the_guard_hears_voices_that_changed_and_says_when_it_heard_none() -> None:
    limits = guard.Limits()
    assert measured(0.01, 0.991).verdict(limits) == "passed"
    assert measured(0.01, 0.989).verdict(limits) == "failed"
    assert measured(0.01, 0.989).verdict(limits.loosened({"embedding_cosine": 0.98})) == "passed"
    assert measured(0.01, 1.0, compared=0).verdict(limits) == "not enough evidence"
    assert measured(0.01, 0.989).report(limits, "fp32")["embeddings"]["lowest_cosine"] == 0.989


def test_what_spoils_voices_stays_in_fp32_where_voices_miss_the_guard() -> None:
    work = {"backbone": 10, "speaker tdnn 1": 10}
    alone = {"backbone": measured(0.05, 0.999), "speaker tdnn 1": measured(0.0, 0.98)}
    limits = guard.Limits()
    assert sensitivity._spared([], alone, work, [measured(0.05, 0.979)], limits) == ["speaker tdnn 1"]
    assert sensitivity._spared([], alone, work, [measured(0.07, 0.999)], limits) == ["backbone"]


@pytest.mark.full
def test_a_full_size_pair_knows_the_voices_that_pytorch_knows_in_int8_too(tmp_path: Path) -> None:
    full = {"tdnn_dim": (512, 512, 512, 512, 1500), "xvector_output_dim": 512}
    classifier, speaker = random_checkpoints.save_pair(tmp_path, "wavlm-base-plus", speaker=full)
    checkpoint = with_speaker(load(classifier), speaker)
    values = signal(checkpoint, 80_000)
    activity = np.random.default_rng(3).standard_normal((1, 249, 2)).astype(np.float32)
    reference = checkpoint.speaker.embeddings(values, activity)
    for parts, limit in (((), 0.99999), (int8_parts(checkpoint), 0.99)):
        given = open_session(with_given_activity(build_fast(checkpoint, Precision(int8=parts))).SerializeToString())
        assert compare([(reference[0], answered(given, values, activity)[1])]).lowest_cosine >= limit
