"""The model's matrix products alone as an engine: ``python run_floor.py THREADS CHECKPOINT fp32|int8``. See ``engine.py``.

Each shape is timed in the forms that onnxruntime has for it, whole and in pieces of about :data:`PIECE` rows, and then done in the
fastest: int8 (u8 x s8, scaled to float32, as in our graph) or fp32; products of two activations are fp32. Its answer is empty.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import engine
import numpy as np
from matrix_products import products
from onnx import TensorProto, helper, numpy_helper

from wavlm_diarizer.sessions import open_session
from wavlm_export.graph.architecture import Architecture

if TYPE_CHECKING:
    from collections.abc import Callable

    from matrix_products import Product
    from numpy.typing import NDArray

    Form = tuple[Any, dict[str, NDArray[Any]], int]
    """A session, its inputs, and how often it is run for one product."""

PIECE = 1024
"""Rows that stay in a core's cache with what they are multiplied by."""
TRIES = 3


def main(threads: int, checkpoint: Path, precision: str) -> None:
    """Answer requests for windows of any length."""
    architecture = Architecture.of(SimpleNamespace(**json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))))
    chosen: dict[int, list[Callable[[], None]]] = {}

    def load() -> engine.Engine:
        def run(window: NDArray[np.float32]) -> NDArray[np.float32]:
            if len(window) not in chosen:
                chosen[len(window)] = [fastest(one, precision, threads) for one in products(architecture, len(window))]
            for product in chosen[len(window)]:
                product()
            return np.zeros((0, 0), np.float32)

        return run

    engine.serve(load, ("onnxruntime",))


def fastest(product: Product, precision: str, threads: int) -> Callable[[], None]:
    """All repetitions of one product, in the form that is fastest here."""
    kinds = [precision] if precision == "fp32" or not product.weights else ["int8", "fp32"]
    kinds = kinds if product.weights else ["fp32"]
    cuts = {1, max(1, round(product.rows / PIECE))} if product.weights else {1}
    forms = [form(product, kind, pieces, threads) for kind in kinds for pieces in sorted(cuts)]
    session, inputs, times = min(forms, key=seconds)
    repetitions = times * product.count

    def run() -> None:
        for _ in range(repetitions):
            session.run(None, inputs)

    return run


def seconds(one: Form) -> float:
    """Of one product in this form, at best."""
    session, inputs, times = one
    best = float("inf")
    for _ in range(TRIES + 1):
        began = time.perf_counter()
        for _ in range(times):
            session.run(None, inputs)
        best = min(best, time.perf_counter() - began)
    return best


def form(product: Product, kind: str, pieces: int, threads: int) -> Form:
    """A session that computes one of so many pieces of a product's rows."""
    rng = np.random.default_rng(0)
    rows = -(-product.rows // pieces)
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    left = rng.standard_normal((product.batch, rows, product.inner)).astype(np.float32)
    right = rng.standard_normal((product.batch, product.inner, product.columns)).astype(np.float32)
    if not product.weights:
        inputs: dict[str, NDArray[Any]] = {"x": left, "w": right}
        nodes, constants = [helper.make_node("MatMul", ["x", "w"], ["y"])], []
    elif kind == "fp32":
        inputs = {"x": left[0]}
        nodes, constants = [helper.make_node("MatMul", ["x", "w"], ["y"])], [numpy_helper.from_array(right[0], "w")]
    else:
        inputs = {"x": rng.integers(0, 255, left.shape[1:]).astype(np.uint8)}
        constants = [
            numpy_helper.from_array(np.clip(40 * right[0], -127, 127).astype(np.int8), "w"),
            numpy_helper.from_array(np.float32(0.01), "a"),
            numpy_helper.from_array(np.full(product.columns, 0.01, np.float32), "b"),
            numpy_helper.from_array(np.uint8(128), "z"),
        ]
        nodes = [helper.make_node("MatMulIntegerToFloat", ["x", "w", "a", "b", "z"], ["y"], domain="com.microsoft")]
    kinds = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.uint8): TensorProto.UINT8}
    seen = [helper.make_tensor_value_info(name, kinds[value.dtype], value.shape) for name, value in inputs.items()]
    graph = helper.make_graph(nodes, "product", seen, outputs, constants)
    domains = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=domains, ir_version=9)
    return open_session(model.SerializeToString(), threads=threads), inputs, pieces


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
