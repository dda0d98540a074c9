"""A value and constant weights in, their matrix product out: the one place that decides in which arithmetic it is computed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy as np
    from numpy.typing import NDArray

    from wavlm_export.graph.nodes import Nodes


@dataclass(frozen=True)
class Precision:
    """Which parts of the model compute their products in int8."""

    int8: Collection[str] = field(default_factory=frozenset)


class Factor:
    """The left factor ``[..., inputs]`` of one or several products."""

    def __init__(self, nodes: Nodes, value: str) -> None:
        self._nodes = nodes
        self._value = value

    def times(self, weight: NDArray[np.float32], bias: NDArray[np.float32] | None, name: str) -> str:
        """The product with ``weight`` ``[inputs, outputs]``, plus ``bias`` ``[outputs]``."""
        product = self._nodes.op("MatMul", self._value, weight, name=name)
        return product if bias is None else self._nodes.op("Add", product, bias)


def factor(nodes: Nodes, value: str, part: str, precision: Precision) -> Factor:
    """Prepare a value for products with constant weights, in the arithmetic of ``part``."""
    _ = part, precision
    return Factor(nodes, value)
