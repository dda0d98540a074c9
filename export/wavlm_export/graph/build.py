"""A checkpoint in, its fast graph out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wavlm_export.graph.architecture import Architecture
from wavlm_export.graph.conv_stack import conv_stack
from wavlm_export.graph.encoder import hidden_states, projection
from wavlm_export.graph.head import head
from wavlm_export.graph.nodes import FLOAT, Nodes
from wavlm_export.graph.position import relative_bias
from wavlm_export.graph.products import Precision
from wavlm_export.graph.segments import SegmentSize, count_frames, plan
from wavlm_export.graph.weights import Weights

if TYPE_CHECKING:
    import onnx

    from wavlm_export.checkpoint import Checkpoint

FP32_SEGMENTS = SegmentSize(frames=64, together=1)
"""0.7 % of the rows are computed twice."""


def fast_graph(checkpoint: Checkpoint) -> onnx.ModelProto:
    """The fp32 graph of a checkpoint. Raises :class:`CheckpointError` if its architecture is not supported."""
    return build(Weights.of(checkpoint.model), Architecture.of(checkpoint.config), str(checkpoint.model.base_model_prefix), Precision())


def build(weights: Weights, architecture: Architecture, encoder_name: str, precision: Precision) -> onnx.ModelProto:
    """``input_values`` ``[batch_size, sequence_length]`` to ``logits`` ``[batch_size, frames, labels]``, both float32.

    ``encoder_name``: what the checkpoint calls the model under the head, such as ``wavlm``.
    """
    encoder = weights.at(encoder_name)
    nodes = Nodes()
    samples = nodes.length("input_values", 1)
    frames = count_frames(nodes, samples, architecture)
    segments = plan(nodes, samples, frames, architecture, FP32_SEGMENTS)
    bias = relative_bias(nodes, frames, encoder.at("encoder.layers.0.attention"), architecture) if architecture.buckets else None

    features = conv_stack(nodes, "input_values", segments, encoder.at("feature_extractor"), architecture, precision)
    projected = projection(nodes, features, encoder.at("feature_projection"), architecture, precision)
    states = hidden_states(nodes, projected, bias, encoder.at("encoder"), architecture, precision)
    nodes.op("Identity", head(nodes, states, weights, architecture), name="logits")
    labels = len(weights["classifier.weight"])
    return nodes.model(
        [("input_values", FLOAT, ("batch_size", "sequence_length"))],
        [("logits", FLOAT, ("batch_size", "frames", labels))],
    )
