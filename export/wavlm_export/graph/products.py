"""A value and constant weights in, their matrix product out: the one place that decides in which arithmetic it is computed.

int8 is u8 x s8, the only pair that is fast on x86 CPUs: weights are signed with a scale per output channel, values are unsigned with a
scale found at run time, for a whole window or for each row of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from wavlm_export.graph.nodes import ints

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from numpy.typing import NDArray

    from wavlm_export.graph.nodes import Nodes
    from wavlm_export.graph.segments import Taps

GELU_ZERO = 80
"""The unsigned byte that stands for zero in the conv stack, whose values are those of Gelu: never below -0.17, so loud rows need most of
the bytes above zero, and quiet ones, which are almost symmetric, some below."""
SMALLEST = 1e-12
"""A scale for rows of nothing but zeros."""


@dataclass(frozen=True)
class Precision:
    """Which parts of the model compute their products in int8, and how."""

    int8: Collection[str] = frozenset()
    smoothing: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """For parts whose values have channels far larger than the others: what each channel ``[inputs]`` is divided by before it is rounded;
    the weights are multiplied by it."""
    watched: dict[str, str] | None = None
    """Filled, while a graph is written, with a value for each part: its channels' largest magnitudes."""

    def under(self, prefix: str) -> Precision:
        """That of the parts whose names begin with ``prefix``, without it; what is watched is collected anew."""
        return Precision(
            int8=frozenset(part.removeprefix(prefix) for part in self.int8 if part.startswith(prefix)),
            smoothing={part.removeprefix(prefix): value for part, value in self.smoothing.items() if part.startswith(prefix)},
            watched=None if self.watched is None else {},
        )


@dataclass(frozen=True)
class Factor:
    """The left factor ``[..., inputs]`` of one or several products: float32, or unsigned bytes with what they stand for."""

    nodes: Nodes
    value: str
    scale: str | None = None
    """Of all bytes, one number; ``None``: the value is float32."""
    zero: str | None = None
    """The byte that stands for zero."""
    divisor: NDArray[np.float32] | None = None
    """By which the value's channels were divided."""
    scales: str | None = None
    """Scales that differ along the value's first axes, instead of ``scale``: applied to the product."""

    def moved(self, move: Callable[[str], str]) -> Factor:
        """The factor with its elements moved, repeated or left out."""
        return replace(self, value=move(self.value))

    def times(self, weight: NDArray[np.float32], bias: NDArray[np.float32] | None, name: str) -> str:
        """The product with ``weight`` ``[inputs, outputs]``, plus ``bias`` ``[outputs]``."""
        if self.divisor is not None:
            weight = weight * self.divisor[:, None]
        if self.scale is None:
            product = self.nodes.op("MatMul", self.value, weight, name=name)
            return product if bias is None else self.nodes.op("Add", product, bias)
        quantized, scales = quantized_weight(weight)
        if self.scales is None:
            return self.nodes.op("MatMulIntegerToFloat", self.value, quantized, self.scale, scales, self.zero, None, bias, name=name)
        product = self.nodes.op("MatMulIntegerToFloat", self.value, quantized, self.scale, scales, self.zero, name=name)
        scaled = self.nodes.op("Mul", product, self.scales)
        return scaled if bias is None else self.nodes.op("Add", scaled, bias)


def factor(nodes: Nodes, value: str, part: str, precision: Precision) -> Factor:
    """Prepare a value for products with constant weights, in the arithmetic of ``part``; in int8 with one scale for all of it."""
    if precision.watched is not None:
        magnitude = nodes.op("ReduceMax", nodes.op("Abs", value), ints(0, 1), keepdims=0)
        seen = precision.watched.get(part)
        precision.watched[part] = nodes.op("Max", seen, magnitude) if seen else magnitude
    if part not in precision.int8:
        return Factor(nodes, value)
    divisor = precision.smoothing.get(part)
    if divisor is not None:
        value = nodes.op("Mul", value, (1 / divisor).astype(np.float32), name="smoothed")
    quantized, scale, zero = nodes.ops("DynamicQuantizeLinear", value, outputs=3)
    return Factor(nodes, quantized, scale, zero, divisor)


def factor_by_row(nodes: Nodes, value: str, channels: int, taps: Taps, part: str, precision: Precision) -> Factor:
    """The rows under a convolution's taps, ``[batch, outputs, taps * channels]``, of Gelu's values ``[batch, rows, channels]``.

    In int8 (one window at a time) each row has a scale of its own: the norm after the conv stack brings quiet frames up to the level of
    loud ones, so they must not be rounded as coarsely.
    """
    rows = taps.gathered(nodes, value, channels)
    if part not in precision.int8:
        return Factor(nodes, rows)
    highest = taps.gathered(nodes, nodes.op("ReduceMax", value, ints(-1), keepdims=1), 1)
    lowest = taps.gathered(nodes, nodes.op("ReduceMin", value, ints(-1), keepdims=1), 1)
    above = nodes.op("Mul", nodes.op("ReduceMax", highest, ints(-1), keepdims=1), np.float32(1 / (255 - GELU_ZERO)))
    below = nodes.op("Mul", nodes.op("ReduceMin", lowest, ints(-1), keepdims=1), np.float32(-1 / GELU_ZERO))
    scales = nodes.op("Max", above, below, np.float32(SMALLEST))
    flat = nodes.op("Reshape", scales, ints(-1))
    zeros = nodes.op("Expand", np.array([GELU_ZERO], np.uint8), nodes.op("Shape", flat))
    quantized = nodes.op("QuantizeLinear", rows, flat, zeros, axis=1)
    return Factor(nodes, quantized, nodes.constant(np.float32(1)), nodes.constant(np.uint8(GELU_ZERO)), scales=scales)


def quantized_weight(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Signed bytes ``[inputs, outputs]`` and the scale of each output."""
    scales = (np.abs(weight).max(axis=0) / 127).astype(np.float32)
    scales[scales == 0] = 1.0
    return np.clip(np.rint(weight / scales), -127, 127).astype(np.int8), scales
