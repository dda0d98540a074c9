"""The ONNX graph under construction: operators and constants in, a model out.

Values are names (``str``). Constants of equal content are stored once, always in the main graph: a body of a loop reads them from there,
and onnxruntime rearranges them for its matrix products just the same.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import onnx
    from numpy.typing import NDArray

    Shape = Sequence[str | int | None]
    Typed = tuple[str, int, Shape]
    """A value, its element type and its shape."""

FLOAT = TensorProto.FLOAT
OPSET = 18
"""The lowest that has all that is used here (ReduceMax with axes as an input)."""
IR_VERSION = 9
MICROSOFT = "com.microsoft"
MICROSOFT_OPERATORS = frozenset({"DynamicQuantizeMatMul", "Gelu", "MatMulIntegerToFloat", "MultiHeadAttention"})
"""https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md"""


def ints(*values: int) -> NDArray[np.int64]:
    """A vector of 64-bit integers, as shapes, axes and indices are given."""
    return np.array(values, dtype=np.int64)


class Shared:
    """What the bodies of loops share with the graph around them: constants, and the names that are taken."""

    def __init__(self) -> None:
        self.constants: dict[tuple[str, tuple[int, ...], bytes], onnx.TensorProto] = {}
        self.names: dict[str, int] = {}

    def unique(self, name: str) -> str:
        """``name``, with a number if it is taken."""
        self.names[name] = self.names.get(name, -1) + 1
        return f"{name}_{self.names[name]}" if self.names[name] else name


class Nodes:
    """Operators in the order in which they run, with the constants that they use."""

    def __init__(self, shared: Shared | None = None, scope: tuple[str, ...] = ()) -> None:
        self.written: list[onnx.NodeProto] = []
        self._shared = shared or Shared()
        self._scope = scope

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Names of what is written inside begin with ``name/``."""
        outer = self._scope
        self._scope = (*outer, name)
        try:
            yield
        finally:
            self._scope = outer

    def constant(self, value: Any) -> str:
        """A constant array of any type."""
        array = np.ascontiguousarray(value).reshape(np.shape(value))
        key = (array.dtype.str, array.shape, hashlib.sha256(array.tobytes()).digest())
        constants = self._shared.constants
        if key not in constants:
            constants[key] = numpy_helper.from_array(array, self._unique("constant"))
        return str(constants[key].name)

    def op(self, operator: str, *inputs: Any, name: str = "", **attributes: Any) -> str:
        """An operator with one output. Inputs are names, arrays (which become constants) or ``None`` for one left out."""
        return self.ops(operator, *inputs, outputs=1, name=name, **attributes)[0]

    def ops(self, operator: str, *inputs: Any, outputs: int, name: str = "", **attributes: Any) -> tuple[str, ...]:
        """An operator with several outputs."""
        node = self._unique(name or operator)
        results = (node,) if outputs == 1 else tuple(f"{node}:{index}" for index in range(outputs))
        values = ["" if value is None else value if isinstance(value, str) else self.constant(value) for value in inputs]
        domain = MICROSOFT if operator in MICROSOFT_OPERATORS else ""
        self.written.append(helper.make_node(operator, values, results, name=node, domain=domain, **attributes))
        return results

    def answer(self, value: str, name: str) -> None:
        """Give a value the name of one of the graph's outputs, which nothing else may have."""
        if self._shared.unique(name) != name:
            raise ValueError(f"another value is called {name}")
        self.written.append(helper.make_node("Identity", [value], [name], name=name))

    def length(self, value: str, axis: int) -> str:
        """The length of one axis, as a vector of one integer."""
        return self.op("Shape", value, start=axis, end=axis + 1)

    def ceil_div(self, dividend: str, divisor: Any) -> str:
        """Positive integers divided, rounded up."""
        return self.op("Div", self.op("Add", dividend, self.op("Sub", divisor, ints(1))), divisor)

    def range(self, stop: str) -> str:
        """``0 .. stop - 1``; ``stop`` is a vector of one integer."""
        return self.op("Range", np.int64(0), self.op("Squeeze", stop), np.int64(1))

    def for_each(self, inputs: Sequence[tuple[str, str, int, Shape]], body: Nodes, outputs: Sequence[Typed], name: str) -> tuple[str, ...]:
        """Run ``body`` once for each index of the first axis of all ``inputs``, and stack what it gives.

        ``inputs``: the name of a slice in the body, the value here that it is of, and the slice's type and shape. ``outputs``: values of
        the body with their types and shapes.
        """
        graph = helper.make_graph(
            body.written,
            self._unique("body"),
            [helper.make_tensor_value_info(name_inside, kind, shape) for name_inside, _, kind, shape in inputs],
            [helper.make_tensor_value_info(value, kind, shape) for value, kind, shape in outputs],
        )
        values = [value for _, value, _, _ in inputs]
        return self.ops("Scan", *values, outputs=len(outputs), name=name, body=graph, num_scan_inputs=len(inputs))

    def body(self) -> Nodes:
        """Empty nodes for the body of a loop of this graph. It may use all that was written here before the loop."""
        return Nodes(self._shared, self._scope)

    def model(self, inputs: Sequence[Typed], outputs: Sequence[Typed]) -> onnx.ModelProto:
        """The finished model."""
        graph = helper.make_graph(
            self.written,
            "wavlm-diarizer",
            [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in inputs],
            [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in outputs],
            list(self._shared.constants.values()),
        )
        domains = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
        return helper.make_model(graph, opset_imports=domains, ir_version=IR_VERSION)

    def _unique(self, name: str) -> str:
        """``name`` under the present scope, with a number if it is taken."""
        return self._shared.unique("/".join((*self._scope, name)))
