"""A checkpoint in, its fast graph out: the backbone, the frame classifier on it, and the speaker model's head where there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx import TensorProto

from wavlm_diarizer.model_file import EMBEDDING_FRAMES, EMBEDDINGS, OUTPUT
from wavlm_export.graph.architecture import Architecture
from wavlm_export.graph.backbone import Backbone
from wavlm_export.graph.head import head
from wavlm_export.graph.nodes import FLOAT, Nodes, ints
from wavlm_export.graph.products import Precision
from wavlm_export.graph.segments import count_frames
from wavlm_export.graph.speaker import Speaker, Voices
from wavlm_export.graph.weights import Weights

if TYPE_CHECKING:
    import onnx

    from wavlm_export.checkpoint import Checkpoint

WINDOW_LOGITS = "window_logits"
"""The logits of one window, in the body of the loop over windows."""


def fast_graph(checkpoint: Checkpoint) -> onnx.ModelProto:
    """The fp32 graph of a checkpoint. Raises :class:`CheckpointError` if its architecture is not supported."""
    return build_fast(checkpoint, Precision())


def build_fast(checkpoint: Checkpoint, precision: Precision) -> onnx.ModelProto:
    """The graph of a checkpoint in any precision. Raises :class:`CheckpointError` if its architecture is not supported."""
    speaker = None if checkpoint.speaker is None else Speaker.of(checkpoint.speaker)
    name = str(checkpoint.model.base_model_prefix)
    return build(Weights.of(checkpoint.model), Architecture.of(checkpoint.config), name, precision, speaker)


def build(
    weights: Weights, architecture: Architecture, encoder_name: str, precision: Precision, speaker: Speaker | None = None
) -> onnx.ModelProto:
    """``input_values`` ``[batch_size, sequence_length]`` to ``logits`` ``[batch_size, frames, labels]``, both float32.

    With a ``speaker`` model also ``embeddings`` ``[batch_size, labels, size]``, float32, and ``embedding_frames`` ``[batch_size, labels]``,
    64-bit integers. ``encoder_name``: what the checkpoint calls the model under the head, such as ``wavlm``.
    """
    nodes = Nodes()
    samples = nodes.length("input_values", 1)
    frames = count_frames(nodes, samples, architecture)
    backbone = Backbone.planned(nodes, samples, frames, weights.at(encoder_name), architecture, precision)
    voices = None if speaker is None else Voices.planned(nodes, samples, frames, speaker, precision)

    labels = len(weights["classifier.weight"])
    outputs: list[tuple[str, int, tuple[str | int, ...]]] = [(OUTPUT, FLOAT, ("frames", labels))]
    if speaker is not None:
        outputs += [(EMBEDDINGS, FLOAT, (labels, speaker.head.size)), (EMBEDDING_FRAMES, TensorProto.INT64, (labels,))]
    if precision.int8:
        # One window at a time, so that its scales are its own, whatever else is in the batch.
        one = nodes.body()
        window = one.op("Unsqueeze", "window", ints(0))
        states = list(backbone.states(one, window, precision))
        values = [one.op("Squeeze", head(one, states, weights, architecture), ints(0), name=WINDOW_LOGITS)]
        if voices is not None:
            logits = one.op("Unsqueeze", values[0], ints(0))
            values += [one.op("Squeeze", value, ints(0)) for value in voices.pooled(one, window, states, logits, precision)]
        given = [(value, kind, shape) for value, (_, kind, shape) in zip(values, outputs, strict=True)]
        answers = nodes.for_each([("window", "input_values", FLOAT, (None,))], one, given, name="windows")
        for (name, _, _), value in zip(outputs, answers, strict=True):
            nodes.answer(value, name)
    else:
        states = list(backbone.states(nodes, "input_values", precision))
        nodes.answer(head(nodes, states, weights, architecture), OUTPUT)
        if voices is not None:
            embeddings, counts = voices.pooled(nodes, "input_values", states, OUTPUT, precision)
            nodes.answer(embeddings, EMBEDDINGS)
            nodes.answer(counts, EMBEDDING_FRAMES)
    watched = [(value, FLOAT, (None,)) for value in (precision.watched or {}).values()]
    batches = [(name, kind, ("batch_size", *shape)) for name, kind, shape in outputs]
    return nodes.model([("input_values", FLOAT, ("batch_size", "sequence_length"))], [*batches, *watched])
