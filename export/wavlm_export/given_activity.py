"""A graph with voices in, the same graph pooling them over frames that the caller chooses out: what comparisons of embeddings run.

Two graphs whose logits differ a little pool a few other frames. To compare how well they know a voice, both have to pool the same ones.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from wavlm_diarizer.errors import ModelFormatError
from wavlm_diarizer.model_file import OUTPUT
from wavlm_export.graph.build import WINDOW_LOGITS

if TYPE_CHECKING:
    import onnx

ACTIVITY = "activity"
"""The further input: float32 ``[batch_size, frames, labels]``, above 0 where a label speaks; as the logits, which it replaces."""


def with_given_activity(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the model whose voices are pooled by a second input instead of by its own logits, which it still answers.

    Whatever reads the logits reads that input. Raises :class:`ModelFormatError` for a graph in which nothing does.
    """
    from onnx import TensorProto, helper

    changed = copy.deepcopy(model)
    graph = changed.graph
    graph.input.append(helper.make_tensor_value_info(ACTIVITY, TensorProto.FLOAT, ["batch_size", "frames", None]))
    readers = _redirected(graph, OUTPUT, ACTIVITY)
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type != "Scan" or attribute.name != "body":
                continue
            inside = f"window_{ACTIVITY}"
            found = _redirected(attribute.g, WINDOW_LOGITS, inside)
            if found:
                # One slice of the activity for each window.
                node.input.append(ACTIVITY)
                attribute.g.input.append(helper.make_tensor_value_info(inside, TensorProto.FLOAT, [None, None]))
                next(item for item in node.attribute if item.name == "num_scan_inputs").i += 1
                readers += found
    if not readers:
        raise ModelFormatError("The graph pools no voices by its logits: export it again.")
    return changed


def _redirected(graph: onnx.GraphProto, old: str, new: str) -> int:
    """Let the nodes of a graph read ``new`` instead of ``old``, and say how often that was."""
    count = 0
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == old:
                node.input[index] = new
                count += 1
    return count
