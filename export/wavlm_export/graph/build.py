"""A checkpoint in, its fast graph out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wavlm_export.graph.architecture import Architecture
from wavlm_export.graph.conv_stack import conv_stack
from wavlm_export.graph.encoder import hidden_states, projection
from wavlm_export.graph.head import head
from wavlm_export.graph.nodes import FLOAT, Nodes, ints
from wavlm_export.graph.position import relative_bias
from wavlm_export.graph.products import Precision
from wavlm_export.graph.segments import count_frames, plan
from wavlm_export.graph.weights import Weights

if TYPE_CHECKING:
    import onnx

    from wavlm_export.checkpoint import Checkpoint

SEGMENT_FRAMES = {"fp32": 64, "int8": 16}
"""Of the conv stack's segments. Shorter ones fit the caches, which int8 needs more; longer ones compute fewer rows twice (0.4, 1.5 %)."""


def fast_graph(checkpoint: Checkpoint) -> onnx.ModelProto:
    """The fp32 graph of a checkpoint. Raises :class:`CheckpointError` if its architecture is not supported."""
    return build_fast(checkpoint, Precision())


def build_fast(checkpoint: Checkpoint, precision: Precision) -> onnx.ModelProto:
    """The graph of a checkpoint in any precision. Raises :class:`CheckpointError` if its architecture is not supported."""
    return build(Weights.of(checkpoint.model), Architecture.of(checkpoint.config), str(checkpoint.model.base_model_prefix), precision)


def build(weights: Weights, architecture: Architecture, encoder_name: str, precision: Precision) -> onnx.ModelProto:
    """``input_values`` ``[batch_size, sequence_length]`` to ``logits`` ``[batch_size, frames, labels]``, both float32.

    ``encoder_name``: what the checkpoint calls the model under the head, such as ``wavlm``.
    """
    encoder = weights.at(encoder_name)
    nodes = Nodes()
    samples = nodes.length("input_values", 1)
    frames = count_frames(nodes, samples, architecture)
    segments = plan(nodes, samples, frames, architecture, SEGMENT_FRAMES["int8" if precision.int8 else "fp32"])
    bias = relative_bias(nodes, frames, encoder.at("encoder.layers.0.attention"), architecture) if architecture.buckets else None

    def answer(nodes: Nodes, windows: str) -> str:
        features = conv_stack(nodes, windows, segments, encoder.at("feature_extractor"), architecture, precision)
        projected = projection(nodes, features, encoder.at("feature_projection"), architecture, precision)
        states = hidden_states(nodes, projected, bias, encoder.at("encoder"), architecture, precision)
        return head(nodes, states, weights, architecture)

    labels = len(weights["classifier.weight"])
    if precision.int8:
        # One window at a time, so that its scales are its own, whatever else is in the batch.
        one = nodes.body()
        logits = one.op("Squeeze", answer(one, one.op("Unsqueeze", "window", ints(0))), ints(0), name="window_logits")
        nodes.for_each([("window", "input_values", FLOAT, (None,))], one, [(logits, FLOAT, (None, labels))], name="logits")
    else:
        nodes.op("Identity", answer(nodes, "input_values"), name="logits")
    return nodes.model(
        [("input_values", FLOAT, ("batch_size", "sequence_length"))],
        [
            ("logits", FLOAT, ("batch_size", "frames", labels)),
            *((value, FLOAT, (None,)) for value in (precision.watched or {}).values()),
        ],
    )
