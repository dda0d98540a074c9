"""Hidden states and logits in, one voice embedding per label out: the x-vector head, pooled over the frames at which a label is alone.

The TDNN's convolutions are matrix products of gathered rows, like all others here. x-vectors: https://doi.org/10.1109/ICASSP.2018.8461375
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto

from wavlm_diarizer.model_file import EMBEDDING_FRAMES, EMBEDDINGS
from wavlm_export.graph.head import layer_shares
from wavlm_export.graph.nodes import ints
from wavlm_export.graph.parts import Group
from wavlm_export.graph.products import factor
from wavlm_export.pooling import LEAST_FRAMES, Context

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wavlm_export.graph.nodes import Nodes
    from wavlm_export.graph.products import Precision
    from wavlm_export.graph.weights import Weights

PROJECTOR = "speaker projector"


@dataclass(frozen=True)
class XVector:
    """The numbers that make one x-vector head differ from another."""

    kernels: tuple[int, ...]
    dilations: tuple[int, ...]
    widths: tuple[int, ...]
    """Of each TDNN layer's output; the projector's is that of the first."""
    hidden: int
    """Of the encoder."""
    layers: int
    size: int
    """Of an embedding."""
    weighted_sum: bool
    """The head sees a weighted sum of all hidden states; else the last one."""
    context: Context

    @classmethod
    def of(cls, config: Any) -> XVector:
        """Read a transformers config."""
        return cls(
            kernels=tuple(config.tdnn_kernel),
            dilations=tuple(config.tdnn_dilation),
            widths=tuple(config.tdnn_dim),
            hidden=config.hidden_size,
            layers=config.num_hidden_layers,
            size=config.xvector_output_dim,
            weighted_sum=bool(config.use_weighted_layer_sum),
            context=Context.of(config),
        )

    def groups(self) -> dict[str, Group]:
        """The products that may be quantized, each on its own. The last one, after the pooling, is one row per label and stays fp32."""
        sizes = {PROJECTOR: self.hidden * self.widths[0]}
        inputs = (self.widths[0], *self.widths[:-1])
        for layer, (kernel, width, output) in enumerate(zip(self.kernels, inputs, self.widths, strict=True)):
            sizes[tdnn_part(layer)] = kernel * width * output
        return {name: Group((name,), weights, weights) for name, weights in sizes.items()}


def tdnn_part(layer: int) -> str:
    """What a TDNN layer is called in a :class:`wavlm_export.graph.products.Precision`; ``layer`` counts from 0."""
    return f"speaker tdnn {layer + 1}"


def x_vector(
    nodes: Nodes, states: Sequence[str], logits: str, frames: str, weights: Weights, head: XVector, precision: Precision
) -> tuple[str, str]:
    """``embeddings`` ``[batch, labels, size]`` and ``embedding_frames`` ``[batch, labels]``.

    ``states``: the embeddings and each layer's output, ``[batch, frames, hidden]``; ``logits``: ``[batch, frames, labels]``; ``frames``:
    how many, a vector of one integer.
    """
    with nodes.scope("x_vector"):
        features = _tdnn(nodes, _mixed(nodes, states, weights, head), frames, weights, head, precision)
        alone = _alone(nodes, logits, frames, nodes.length(features, 1), head.context)
        return _pooled(nodes, features, alone, weights)


def _mixed(nodes: Nodes, states: Sequence[str], weights: Weights, head: XVector) -> str:
    """What the head sees of the encoder.

    The classifier, whose matrix is narrow, is multiplied with every state; the projector is not: adding up the states took a quarter of the
    time of multiplying each with its share (fp32, 13 states of 768 to 512 channels, 499 frames: 19 ms against 81; 7 of 192 to 192, 399
    frames: 0.5 against 2.2).
    """
    mixed = ""
    for share, state in zip(layer_shares(weights, head.layers, weighted_sum=head.weighted_sum), states, strict=True):
        if share == 1:
            return state
        if share:
            part = nodes.op("Mul", state, np.float32(share), name="share")
            mixed = nodes.op("Add", mixed, part, name="mixed") if mixed else part
    return mixed


def _tdnn(nodes: Nodes, values: str, frames: str, weights: Weights, head: XVector, precision: Precision) -> str:
    """``[batch, frames, hidden]`` to ``[batch, tdnn frames, width]``. Of too few the last is repeated until there is one output."""
    values = factor(nodes, values, PROJECTOR, precision).times(*weights.linear("projector"), "projector")
    rows = nodes.op("Max", frames, ints(head.context.beyond + 1))
    for layer, (kernel, dilation) in enumerate(zip(head.kernels, head.dilations, strict=True)):
        rows = nodes.op("Sub", rows, ints((kernel - 1) * dilation))
        seen = ""
        if kernel > 1 or layer == 0:
            taps = nodes.op("Add", nodes.op("Unsqueeze", nodes.range(rows), ints(1)), dilation * np.arange(kernel))
            last = nodes.op("Sub", frames, ints(1))
            seen = nodes.op("Reshape", nodes.op("Min", taps, last) if layer == 0 else taps, ints(-1))
        inputs = len(weights[f"tdnn.{layer}.kernel.weight"][0])

        def under_taps(rows: str, seen: str = seen, inputs: int = inputs) -> str:
            return nodes.op("Reshape", nodes.op("Gather", rows, seen, axis=1, name="taps"), ints(0, -1, inputs)) if seen else rows

        # transformers keeps the kernels as linear layers over the rows under their taps, one tap after the other.
        product = factor(nodes, values, tdnn_part(layer), precision).moved(under_taps)
        values = nodes.op("Relu", product.times(*weights.linear(f"tdnn.{layer}.kernel"), f"tdnn_{layer + 1}"))
    return values


def _alone(nodes: Nodes, logits: str, frames: str, outputs: str, context: Context) -> str:
    """1 where a label is the only one that is on at the frame that a TDNN output belongs to, else 0: ``[batch, labels, outputs]``."""
    on = nodes.op("Cast", nodes.op("Greater", logits, np.float32(0)), to=TensorProto.FLOAT)
    together = nodes.op("ReduceSum", on, ints(-1), keepdims=1)
    # Twice itself less all: 1 for one that is alone, 0 or less with others or off.
    alone = nodes.op("Relu", nodes.op("Sub", nodes.op("Add", on, on), together))
    counted = nodes.op("Max", nodes.op("Sub", frames, ints(context.beyond)), ints(0))
    middle = nodes.op("Slice", alone, ints(context.offset), nodes.op("Add", counted, ints(context.offset)), ints(1))
    # An output that is made from repeated frames is not counted.
    missing = nodes.op("Sub", outputs, counted)
    padded = nodes.op("Pad", middle, nodes.op("Concat", ints(0, 0, 0, 0), missing, ints(0), axis=0))
    return nodes.op("Transpose", padded, perm=[0, 2, 1], name="alone")


def _pooled(nodes: Nodes, features: str, alone: str, weights: Weights) -> tuple[str, str]:
    """Mean and unbiased standard deviation of each label's frames, and the layer that makes an embedding of them."""
    count = nodes.op("ReduceSum", alone, ints(-1), keepdims=1)
    mean = nodes.op("Div", nodes.op("MatMul", alone, features), nodes.op("Max", count, np.float32(1)), name="mean")
    # The squares are taken of differences from each label's own mean: those of the values themselves would cancel out.
    apart = nodes.op("Sub", nodes.op("Unsqueeze", features, ints(1)), nodes.op("Unsqueeze", mean, ints(2)))
    squares = nodes.op("MatMul", nodes.op("Unsqueeze", alone, ints(2)), nodes.op("Mul", apart, apart))
    others = nodes.op("Max", nodes.op("Sub", count, np.float32(1)), np.float32(1))
    deviation = nodes.op("Sqrt", nodes.op("Div", nodes.op("Squeeze", squares, ints(2)), others), name="deviation")
    matrix, bias = weights.linear("feature_extractor")
    product = nodes.op("MatMul", nodes.op("Concat", mean, deviation, axis=-1), matrix, name="product")
    embedding = nodes.op("Add", product, np.zeros(matrix.shape[1], np.float32) if bias is None else bias)
    enough = nodes.op("GreaterOrEqual", count, np.float32(LEAST_FRAMES))
    embeddings = nodes.op("Where", enough, embedding, np.float32(0), name=EMBEDDINGS)
    counts = nodes.op("Cast", nodes.op("Squeeze", count, ints(-1)), to=TensorProto.INT64, name=EMBEDDING_FRAMES)
    return embeddings, counts
