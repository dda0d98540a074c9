"""Which operators do the work in each graph that an export writes: a graph that quietly computes something in another way fails here."""

from __future__ import annotations

import math
from collections import Counter
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import onnxruntime
import pytest

pytest.importorskip("torch")

import random_checkpoints
from wavlm_export.checkpoint import load
from wavlm_export.kinds import KINDS
from wavlm_export.quantize import LEAST_WEIGHTS
from wavlm_export.speaker_model import with_speaker
from wavlm_export.speech import load_speech

LAYERS, POSITION_GROUPS, FURTHER_CONVOLUTIONS = 3, 4, 6
"""Of the small checkpoints."""
PRODUCTS = LAYERS * 6 + 1
"""Products with large constant weights in the encoder: query, key, value, output and two of feed forward a layer, and the projection."""
WORKING = {
    *("MatMul", "Gemm", "Conv", "FusedMatMul", "MatMulNBits", "ConvInteger"),
    *("MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "DynamicQuantizeLinear", "QuantizeLinear", "DequantizeLinear"),
    *("MultiHeadAttention", "Softmax", "LayerNormalization", "InstanceNormalization", "Gelu", "Erf", "Scan", "Loop", "If"),
}
"""Operators that cost time, or that tell in which arithmetic others compute."""
WRITTEN = {
    # The first convolution and its norm's three statistics, then all further ones; the positional convolution; the gate and seven heads.
    ("wavlm-small", "fast", "fp32"): {
        "MatMul": 1 + 3 + FURTHER_CONVOLUTIONS + POSITION_GROUPS + PRODUCTS + LAYERS + LAYERS + 1,
        "MultiHeadAttention": LAYERS,
        "LayerNormalization": 2 * LAYERS + 2,
        "Gelu": 7 + 1 + LAYERS,
        "Scan": 1,
    },
    # Query, key and value share one rounded input; convolutions round every row by itself.
    ("wavlm-small", "fast", "int8"): {
        "MatMulIntegerToFloat": FURTHER_CONVOLUTIONS + POSITION_GROUPS + PRODUCTS,
        "DynamicQuantizeLinear": POSITION_GROUPS + 4 * LAYERS + 1,
        "QuantizeLinear": FURTHER_CONVOLUTIONS,
        "MatMul": 1 + 3 + LAYERS + LAYERS + 1,
        "MultiHeadAttention": LAYERS,
        "LayerNormalization": 2 * LAYERS + 2,
        "Gelu": 7 + 1 + LAYERS,
        "Scan": 2,
    },
    # As torch writes it: two products of activations a layer beside the six with weights (one as Gemm) and the gate; one classifier.
    ("wavlm-small", "portable", "fp32"): {
        "MatMul": PRODUCTS - LAYERS + 3 * LAYERS + 1,
        "Gemm": LAYERS,
        "Conv": 7 + 1,
        "InstanceNormalization": 1,
        "Softmax": LAYERS,
        "LayerNormalization": 2 * LAYERS + 2,
        "Erf": 7 + 1 + LAYERS,
    },
    ("wavlm-small", "portable", "int8"): {
        "MatMulInteger": PRODUCTS,
        "DynamicQuantizeLinear": 4 * LAYERS + 1,
        "MatMul": 3 * LAYERS + 1,
        "Conv": 7 + 1,
        "InstanceNormalization": 1,
        "Softmax": LAYERS,
        "LayerNormalization": 2 * LAYERS + 2,
        "Erf": 7 + 1 + LAYERS,
    },
}
# The other norm style: a LayerNorm after every convolution instead of one GroupNorm, so no statistics.
for (_, _kind, _precision), _counts in list(WRITTEN.items()):
    _other = {name: count for name, count in _counts.items() if name != "InstanceNormalization"}
    WRITTEN["wavlm-large-style", _kind, _precision] = _other | {
        "LayerNormalization": _counts["LayerNormalization"] + 7,
        "MatMul": _counts["MatMul"] - (3 if _kind == "fast" else 0),
    }
VOICES = {
    # A projection and five layers over time; the pooled mean, the deviation, and what makes an embedding of them.
    ("fast", "fp32"): {"MatMul": 6 + 3},
    ("fast", "int8"): {"MatMulIntegerToFloat": 6, "DynamicQuantizeLinear": 6, "MatMul": 3},
    ("portable", "fp32"): {"MatMul": 1 + 3, "Conv": 5},
    ("portable", "int8"): {"MatMul": 1 + 3, "Conv": 5},
}
"""What a speaker model adds to the graph of its classifier."""


@cache
def graph(checkpoint_kind: str, kind: str, precision: str, *, voices: bool = False) -> onnx.ModelProto:
    """The graph of a small checkpoint with random weights, nothing left in fp32 on purpose."""
    with TemporaryDirectory() as folder:
        if voices:
            classifier, speaker = random_checkpoints.save_pair(Path(folder), checkpoint_kind)
            checkpoint = with_speaker(load(classifier), speaker)
        else:
            checkpoint = load(random_checkpoints.save(Path(folder) / "checkpoint", checkpoint_kind))
    fp32 = KINDS[kind].fp32(checkpoint)
    if precision == "fp32":
        return fp32
    return KINDS[kind].quantizer(checkpoint, fp32, [load_speech("calibration")[0][1][:16_000]]).graph(())


def nodes(body: onnx.GraphProto) -> list[onnx.NodeProto]:
    """All operators of a graph and of the bodies of its loops."""
    found = list(body.node)
    for node in body.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                found += nodes(attribute.g)
    return found


def working(body: onnx.GraphProto) -> Counter[str]:
    return Counter(node.op_type for node in nodes(body) if node.op_type in WORKING)


def test_every_kind_and_precision_is_counted() -> None:
    assert {(kind, precision) for _, kind, precision in WRITTEN} == {(kind, precision) for kind in KINDS for precision in ("fp32", "int8")}


@pytest.mark.parametrize(("checkpoint_kind", "kind", "precision"), WRITTEN)
def test_a_graph_has_the_operators_that_the_model_needs_and_no_more(checkpoint_kind: str, kind: str, precision: str) -> None:
    assert working(graph(checkpoint_kind, kind, precision).graph) == WRITTEN[checkpoint_kind, kind, precision]


@pytest.mark.parametrize(("kind", "precision"), VOICES)
def test_voices_add_the_operators_that_their_model_needs_and_no_second_backbone(kind: str, precision: str) -> None:
    expected = Counter(WRITTEN["wavlm-small", kind, precision]) + Counter(VOICES[kind, precision])
    assert working(graph("wavlm-small", kind, precision, voices=True).graph) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_no_large_product_of_an_int8_graph_is_computed_in_fp32(kind: str) -> None:
    model = graph("wavlm-small", kind, "int8")
    weights = {tensor.name: math.prod(tensor.dims) for tensor in model.graph.initializer}
    left = [
        node.name
        for node in nodes(model.graph)
        if node.op_type in {"MatMul", "Gemm"} and weights.get(node.input[1], 0) >= LEAST_WEIGHTS and "convolution_1/" not in node.name
    ]
    assert left == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_int8_in_the_file_is_int8_when_onnxruntime_runs_it(kind: str, tmp_path: Path) -> None:
    """Graphs are rewritten when onnxruntime opens them; a fusion that fails would leave integers to be scaled by operators of their own."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "run.onnx")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    model = graph("wavlm-small", kind, "int8")
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    run = working(onnx.load(tmp_path / "run.onnx").graph)
    written = working(model.graph)
    assert run["DynamicQuantizeMatMul"] + run["MatMulIntegerToFloat"] == written["MatMulInteger"] + written["MatMulIntegerToFloat"]
    assert run["MatMulInteger"] == run["DequantizeLinear"] == 0
    assert run["MatMul"] + run["FusedMatMul"] == written["MatMul"]
