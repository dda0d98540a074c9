"""int8 in the fast graph: what is rounded, with which scales, and that outliers do not spoil it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest

pytest.importorskip("torch")

import torch

import random_checkpoints
from wavlm_diarizer.errors import CheckpointError
from wavlm_diarizer.sessions import open_session
from wavlm_export import guard, sensitivity
from wavlm_export.checkpoint import Checkpoint, load
from wavlm_export.exporter import Options, export
from wavlm_export.graph.architecture import Architecture
from wavlm_export.graph.build import build_fast
from wavlm_export.graph.nodes import FLOAT, Nodes
from wavlm_export.graph.parts import groups
from wavlm_export.graph.products import Precision, factor_by_row, quantized_weight
from wavlm_export.graph.quantizer import FastQuantizer
from wavlm_export.graph.segments import Taps
from wavlm_export.graph.smoothing import divisors
from wavlm_export.quantize import PortableQuantizer
from wavlm_export.reference import reference_graph
from wavlm_export.sensitivity import Listening
from wavlm_export.speech import load_speech, windows
from wavlm_export.verification import prepared

if TYPE_CHECKING:
    from collections.abc import Callable

BUILTIN = Path(__file__).parents[2] / "export" / "checkpoints" / "builtin-sd"


def all_parts(checkpoint: Checkpoint) -> frozenset[str]:
    return frozenset(part for group in groups(Architecture.of(checkpoint.config)).values() for part in group.parts)


def operators(graph: onnx.GraphProto) -> Counter[str]:
    counts = Counter(node.op_type for node in graph.node)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                counts += operators(attribute.g)
    return counts


def small(tmp_path: Path, kind: str = "wavlm-small", change: Callable[[Any], None] | None = None) -> Checkpoint:
    """A small random checkpoint, with weights changed by ``change``."""
    folder = random_checkpoints.save(tmp_path / kind, kind)
    checkpoint = load(folder)
    if change is not None:
        with torch.no_grad():
            change(checkpoint.model)
    return checkpoint


def listening(checkpoint: Checkpoint, count: int = 4) -> Listening:
    """Some windows of check speech, with the fp32 graph's answers."""
    session = open_session(build_fast(checkpoint, Precision()).SerializeToString())
    return Listening.to(checkpoint, session, windows(load_speech("check"), 80_000, 400)[:count])


def calibration(checkpoint: Checkpoint, count: int = 4) -> list[np.ndarray]:
    return [prepared(checkpoint, window[None])[0] for window in windows(load_speech("calibration"), 80_000, 400)[:count]]


def test_every_large_product_is_int8(tmp_path: Path) -> None:
    checkpoint = small(tmp_path)
    layers, position_groups = 3, 4
    counts = operators(build_fast(checkpoint, Precision(int8=all_parts(checkpoint))).graph)
    assert counts["MatMulIntegerToFloat"] == 6 + 1 + position_groups + 6 * layers
    # The positional convolution's groups, the projection, and four values a layer: q, k and v share theirs.
    assert counts["DynamicQuantizeLinear"] == position_groups + 1 + 4 * layers
    assert counts["QuantizeLinear"] == 6
    # What is left: the first convolution and its norm, a gate a layer, the head of the embeddings and of each layer.
    assert counts["MatMul"] == 1 + 3 + layers + layers + 1
    assert counts["Conv"] == counts["Gemm"] == 0


def test_parts_that_are_not_named_stay_fp32(tmp_path: Path) -> None:
    checkpoint = small(tmp_path)
    counts = operators(build_fast(checkpoint, Precision(int8={"convolution 3", "layer 2 feed forward in"})).graph)
    assert counts["MatMulIntegerToFloat"] == 2
    assert counts["MatMul"] == 6 + 3 + 1 + 4 + 7 * 3 - 1 + 3 + 1


@pytest.mark.parametrize("kind", ["wavlm-small", "wavlm-large-style", "wav2vec2-large-style", "hubert"])
def test_a_window_has_the_same_answer_alone_and_beside_a_louder_one(tmp_path: Path, kind: str) -> None:
    checkpoint = small(tmp_path, kind)
    session = open_session(build_fast(checkpoint, Precision(int8=all_parts(checkpoint))).SerializeToString())
    quiet = 0.01 * load_speech("check")[0][1][:24_000]
    batch = np.stack([quiet, np.clip(80 * quiet, -1, 1), 0 * quiet]).astype(np.float32)
    together = session.run(None, {"input_values": batch})[0]
    for row, samples in enumerate(batch):
        np.testing.assert_array_equal(together[row], session.run(None, {"input_values": samples[None]})[0][0])


@pytest.mark.parametrize("length", [400, 719, 720, 6_401, 20_481])
def test_any_length_is_answered_nearly_as_fp32_does(tmp_path: Path, length: int) -> None:
    checkpoint = small(tmp_path)
    samples = np.resize(load_speech("check")[0][1][8_000:], length)[None].astype(np.float32)
    fp32, int8 = (
        open_session(build_fast(checkpoint, Precision(int8=parts)).SerializeToString()).run(None, {"input_values": samples})[0]
        for parts in ((), all_parts(checkpoint))
    )
    assert int8.shape == fp32.shape
    assert np.abs(int8 - fp32).max() < 0.25 * max(1.0, fp32.std())


def test_silence_gives_numbers(tmp_path: Path) -> None:
    checkpoint = small(tmp_path)
    session = open_session(build_fast(checkpoint, Precision(int8=all_parts(checkpoint))).SerializeToString())
    assert np.isfinite(session.run(None, {"input_values": np.zeros((1, 16_000), np.float32)})[0]).all()


def test_quiet_rows_keep_their_detail_beside_loud_ones() -> None:
    """Rows a thousand times quieter are rounded a thousand times more finely."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal((1, 7, 32)).astype(np.float32)
    values[:, :4] *= 1e-3
    weight = rng.standard_normal((96, 5)).astype(np.float32)
    nodes = Nodes()
    rows = factor_by_row(nodes, "x", 32, Taps(3, nodes.constant(np.array([0, 1, 2, 1, 2, 3, 4, 5, 6]))), "c", Precision(int8={"c"}))
    nodes.op("Identity", rows.times(weight, None, "product"), name="y")
    session = open_session(nodes.model([("x", FLOAT, (None, None, 32))], [("y", FLOAT, None)]).SerializeToString())
    answer = session.run(None, {"x": values})[0][0]
    quantized, scales = quantized_weight(weight)
    for row, start in enumerate((0, 1, 4)):
        exact = values[0, start : start + 3].reshape(-1) @ (quantized * scales)
        assert np.abs(answer[row] - exact).max() < 0.03 * np.abs(exact).max()


def test_weights_have_a_scale_for_each_output() -> None:
    weight = np.array([[1.0, 100.0, 0.0], [-0.5, 25.0, 0.0]], dtype=np.float32)
    quantized, scales = quantized_weight(weight)
    np.testing.assert_array_equal(quantized, [[127, 127, 0], [-64, 32, 0]])
    np.testing.assert_allclose(quantized * scales, weight, atol=0.5)


def test_only_channels_that_stand_out_are_divided() -> None:
    rng = np.random.default_rng(0)
    seen = 1 + 0.1 * rng.random(100).astype(np.float32)
    weights = np.ones(100, dtype=np.float32)
    assert divisors({"part": seen}, {"part": weights}) == {}
    seen[[3, 40]] *= 50
    (divisor,) = divisors({"part": seen}, {"part": weights}).values()
    assert set(np.flatnonzero(divisor > 1)) >= {3, 40}
    assert np.count_nonzero(divisor > 1.2) == 2
    assert 5 < divisor[3] < 10


def spoil(model: Any) -> None:
    """Outlier channels in front of the projection and of the attention outputs, undone by the weights that follow: the same function."""
    base = model.base_model
    channels = torch.tensor([3, 17, 40, 51])
    projection = base.feature_projection
    projection.layer_norm.weight[channels] *= 30
    projection.layer_norm.bias[channels] *= 30
    projection.projection.weight[:, channels] /= 30
    for layer in base.encoder.layers:
        layer.attention.v_proj.weight[channels] *= 30
        layer.attention.v_proj.bias[channels] *= 30
        layer.attention.out_proj.weight[:, channels] /= 30


@pytest.mark.parametrize("kind", ["wavlm-small", pytest.param("wavlm-base-plus", marks=pytest.mark.full)])
def test_outlier_channels_spoil_plain_dynamic_int8_but_not_ours(tmp_path: Path, kind: str) -> None:
    checkpoint = small(tmp_path, kind, change=spoil)
    heard = listening(checkpoint)
    plain = PortableQuantizer(checkpoint, reference_graph(checkpoint), [])
    ours = FastQuantizer(checkpoint, build_fast(checkpoint, Precision()), calibration(checkpoint))
    limit = guard.Limits().relative_rms
    assert heard.measured(plain.graph(())).relative_rms > limit
    layers = range(1, checkpoint.config.num_hidden_layers + 1)
    assert set(ours.notes["smoothed_parts"]) >= {"projection", *(f"layer {layer} attention output" for layer in layers)}
    chosen, report = sensitivity.quantized(ours, heard, heard, guard.Limits(), lambda _: None)
    assert heard.measured(chosen).relative_rms == report["relative_rms"] <= limit
    assert report["share_of_the_work_in_int8"] > 0.5


def test_speech_that_turns_quiet_and_loud_holds_the_guard(tmp_path: Path) -> None:
    """Seconds at full level beside seconds a hundred times quieter, whose frames the norm after the conv stack brings up again."""
    checkpoint = small(tmp_path)
    session = open_session(build_fast(checkpoint, Precision()).SerializeToString())
    changed = [
        (window * np.where(np.arange(len(window)) // 16_000 % 2, 1.0, 0.01)).astype(np.float32)
        for window in windows(load_speech("check"), 80_000, 400)[:6]
    ]
    heard = Listening.to(checkpoint, session, changed)
    ours = FastQuantizer(checkpoint, build_fast(checkpoint, Precision()), calibration(checkpoint))
    _, report = sensitivity.quantized(ours, heard, heard, guard.Limits(), lambda _: None)
    assert report["relative_rms"] <= guard.Limits().relative_rms
    assert report["share_of_the_work_in_int8"] > 0.5


def test_what_costs_much_accuracy_and_little_work_stays_fp32_first() -> None:
    work = {"a": 10, "b": 10, "c": 1}
    alone = {"a": 0.05, "b": 0.03, "c": 0.03}
    assert sensitivity._next([], alone, work, 0.07, 0.06) == ["c", "a"]
    assert sensitivity._next([], alone, work, 0.065, 0.06) == ["c"]
    assert sensitivity._next(["c"], alone, work, 0.05, 0.06) == ["a"]
    assert sensitivity._next([], alone, work, 1.0, 0.01) == ["c", "a"]


def test_the_shipped_models_checkpoint_holds_the_guard_with_everything_in_int8(tmp_path: Path) -> None:
    options = Options(window_seconds=8.0, overlap_seconds=4.0, single_pass_seconds=8.0)
    report = export(BUILTIN, tmp_path / "model.onnx", options=options)["int8"]["int8"]
    assert report["verdict"] != "failed"
    assert report["left_in_fp32"] == []
    assert report["relative_rms"] <= 0.06
    assert report["labels_equal"] >= 0.995


def test_what_the_fast_graph_does_not_support_is_exported_portably(tmp_path: Path) -> None:
    source = random_checkpoints.save(tmp_path / "relu", "wav2vec2", hidden_act="relu")
    said: list[str] = []
    export(source, tmp_path / "model.onnx", precision="fp32", progress=said.append)
    assert any("hidden_act" in line for line in said)
    assert onnx.load(tmp_path / "model.onnx").metadata_props
    with pytest.raises(CheckpointError, match="--graph portable"):
        export(source, tmp_path / "other.onnx", precision="fp32", options=Options(graph="fast"))
