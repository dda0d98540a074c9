"""An architecture and a window's length in, the matrix products that the model cannot do without out: what any program has to compute.

Everything else (norms, activations, softmax, moving numbers about) comes on top; so the products alone are a floor for the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wavlm_export.graph.architecture import Architecture


@dataclass(frozen=True)
class Product:
    """``batch`` products ``[rows, inner] x [inner, columns]``, done ``count`` times in one window."""

    name: str
    rows: int
    inner: int
    columns: int
    count: int = 1
    batch: int = 1
    weights: bool = True
    """The right factor is constant, so it can be rounded beforehand."""

    @property
    def operations(self) -> int:
        """Multiplications and additions, in all."""
        return 2 * self.rows * self.inner * self.columns * self.batch * self.count


def products(architecture: Architecture, samples: int) -> list[Product]:
    """All products of a window with so many samples, in the order in which they run; those of a few columns are left out."""
    found = []
    rows, inputs = samples, 1
    for layer, (kernel, stride, channels) in enumerate(
        zip(architecture.kernels, architecture.strides, architecture.channels, strict=True), start=1
    ):
        rows = (rows - kernel) // stride + 1
        found.append(Product(f"convolution {layer}", rows, kernel * inputs, channels))
        inputs = channels
    hidden, inner, layers, heads = architecture.hidden, architecture.inner, architecture.layers, architecture.heads
    groups, size = architecture.position_groups, architecture.head_size
    found += [
        Product("projection", rows, inputs, hidden),
        Product("positional convolution", rows, architecture.position_taps * hidden // groups, hidden // groups, count=groups),
        Product("query, key, value", rows, hidden, 3 * hidden, count=layers),
        Product("query x key", rows, size, rows, count=layers, batch=heads, weights=False),
        Product("attention x value", rows, rows, size, count=layers, batch=heads, weights=False),
        Product("attention output", rows, hidden, hidden, count=layers),
        Product("feed forward in", rows, hidden, inner, count=layers),
        Product("feed forward out", rows, inner, hidden, count=layers),
    ]
    return found
