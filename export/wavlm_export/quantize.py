"""An fp32 graph in, the same graph with int8 matrix products out: onnxruntime's dynamic quantization.

Weights are signed, with a scale for every output channel; activations are unsigned, with a scale for every product, found at run time.
u8 x s8 is the only pair that is fast on x86 CPUs.
"""

from __future__ import annotations

import math
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import numpy as np
    import onnx
    from numpy.typing import NDArray

    from wavlm_export.checkpoint import Checkpoint

GROUPS = {
    "projection": re.compile(r"feature_projection"),
    "attention output": re.compile(r"/attention/(out_proj|Gemm)"),
    "attention inputs": re.compile(r"/attention/"),
    "feed forward in": re.compile(r"/feed_forward/intermediate_dense"),
    "feed forward out": re.compile(r"/feed_forward/output_dense"),
}
"""Matrix products that are quantized or left alone together, by the first pattern that fits the name that torch gives their nodes.

A speaker model's projector and TDNN stay fp32 here: torch writes them as convolutions, and they are a thirtieth of a full-size model's.
"""
LEAST_WEIGHTS = 4_000
"""Smaller products (the gate of the position bias, the classifier) gain nothing and stay fp32."""


def quantizable(graph: onnx.ModelProto) -> dict[str, list[str]]:
    """The products with a large constant weight, by group, under the names that onnxruntime's quantizer gives them."""
    weights = {tensor.name: math.prod(tensor.dims) for tensor in graph.graph.initializer}
    found: dict[str, list[str]] = {}
    for node in graph.graph.node:
        if node.op_type not in {"MatMul", "Gemm"} or weights.get(node.input[1], 0) < LEAST_WEIGHTS:
            continue
        group = next((name for name, pattern in GROUPS.items() if pattern.search(node.name)), None)
        if group is None:
            continue
        # The quantizer first turns each Gemm into a MatMul of this name and an Add.
        found.setdefault(group, []).append(node.name if node.op_type == "MatMul" else f"{node.name}_MatMul")
    return found


def int8_graph(graph: onnx.ModelProto, keep: Collection[str] = ()) -> onnx.ModelProto:
    """The graph with the products of all groups but those in ``keep`` quantized."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    from wavlm_export.quiet import quiet

    nodes = [node for name, members in quantizable(graph).items() if name not in keep for node in members]
    with tempfile.TemporaryDirectory() as folder, quiet():
        source, target = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        onnx.save(graph, source)
        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=["MatMul"],
            nodes_to_quantize=nodes,
            per_channel=True,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )
        quantized = onnx.load(target)
    quantized.ir_version = graph.ir_version
    return quantized


class PortableQuantizer:
    """Makes int8 graphs in the portable form, with onnxruntime's own quantizer. Scales are found for a whole batch together."""

    batch_independent = False

    def __init__(self, _: Checkpoint, graph: onnx.ModelProto, __: Sequence[NDArray[np.float32]]) -> None:
        self._graph = graph
        weights = {tensor.name: math.prod(tensor.dims) for tensor in graph.graph.initializer}
        sizes = {node.name: weights.get(node.input[1], 0) for node in graph.graph.node if len(node.input) > 1}
        # Every one of these products is computed once for each frame, so its work is the number of its weights.
        self._groups = {
            group: sum(sizes[node.removesuffix("_MatMul")] if node not in sizes else sizes[node] for node in nodes)
            for group, nodes in quantizable(graph).items()
        }

    @property
    def groups(self) -> dict[str, int]:
        """The groups of products, and the multiplications for one frame in each."""
        return self._groups

    @property
    def notes(self) -> dict[str, object]:
        """Nothing."""
        return {}

    def graph(self, keep: Collection[str]) -> onnx.ModelProto:
        """The graph with all groups in int8 but those in ``keep``."""
        return int8_graph(self._graph, keep)
