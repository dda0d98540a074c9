"""An architecture in, the groups of its products that are quantized or left in fp32 together out."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wavlm_export.graph.position import PART as POSITION

if TYPE_CHECKING:
    from wavlm_export.graph.architecture import Architecture


@dataclass(frozen=True)
class Group:
    """Products that are of one kind."""

    parts: tuple[str, ...]
    """Their names in a :class:`wavlm_export.graph.products.Precision`."""
    weights: int
    """Of one of the products."""
    work: int
    """Multiplications for one frame, in all of them."""

    def under(self, prefix: str) -> Group:
        """The same products, their names after ``prefix``: those of a second model in the graph."""
        return replace(self, parts=tuple(prefix + part for part in self.parts))


def groups(architecture: Architecture) -> dict[str, Group]:
    """All products of a model with constant weights that are large in full-size models, in the order in which they run."""
    found: dict[str, Group] = {}
    for layer in range(1, len(architecture.kernels)):
        weights = architecture.kernels[layer] * architecture.channels[layer - 1] * architecture.channels[layer]
        name = f"convolution {layer + 1}"
        found[name] = Group((name,), weights, weights * math.prod(architecture.strides[layer + 1 :]))
    hidden, inner, layers = architecture.hidden, architecture.inner, architecture.layers
    projected = architecture.channels[-1] * hidden
    found["projection"] = Group(("projection",), projected, projected)
    position = architecture.position_taps * hidden * hidden // architecture.position_groups
    found[POSITION] = Group((POSITION,), position // architecture.position_groups, position)
    for name, weights, times in (
        ("attention inputs", hidden * hidden, 3),
        ("attention output", hidden * hidden, 1),
        ("feed forward in", hidden * inner, 1),
        ("feed forward out", hidden * inner, 1),
    ):
        found[name] = Group(tuple(f"layer {layer} {name}" for layer in range(1, layers + 1)), weights, weights * times * layers)
    return found
