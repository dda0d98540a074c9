"""A model file in, the states of its backbone out: what a checkpoint would make of the same samples, in half the time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper

from wavlm_diarizer.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable

SHARES = "x_vector/share"
"""What the nodes are called in which a voice head weighs the states, in their order (:mod:`wavlm_export.graph.x_vector`)."""
STATES = "states"


def states_of(path: str | Path) -> Callable[[torch.Tensor], torch.Tensor]:
    """What makes states ``[batch, states, frames, hidden]``, the one before the first layer first, of samples ``[batch, n]``.

    Raises :class:`OptionError` for a file that is not there, or whose voice head does not weigh states.
    """
    if not Path(path).is_file():
        raise OptionError(f"There is no model file {path} to hear states from.")
    model = onnx.load(path)
    scan = next((node for node in model.graph.node if node.op_type == "Scan"), None)
    body = next(iter(one.g for one in scan.attribute if one.name == "body"), None) if scan else None
    weighed = [node.input[0] for node in body.node if node.name.startswith(SHARES)] if body else []
    if scan is None or body is None or len(weighed) < 2:
        raise OptionError(f"The voice head of {path} does not weigh the states of a backbone: they cannot be heard from it.")
    body.node.append(helper.make_node("Concat", weighed, [STATES], axis=0))
    _answer_with(body, [helper.make_tensor_value_info(STATES, TensorProto.FLOAT, [len(weighed), "frames", None])])
    del scan.output[1:]
    (samples,) = (one.name for one in model.graph.input)
    shape = ["batch_size", len(weighed), "frames", None]
    _answer_with(model.graph, [helper.make_tensor_value_info(scan.output[0], TensorProto.FLOAT, shape)])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def states(batch: torch.Tensor) -> torch.Tensor:
        (found,) = session.run(None, {samples: batch.cpu().numpy().astype(np.float32)})
        return torch.from_numpy(found).to(batch.device)

    return states


def _answer_with(graph: onnx.GraphProto, outputs: list[onnx.ValueInfoProto]) -> None:
    """Give a graph other outputs, and leave out the nodes that these do not need."""
    del graph.output[:]
    graph.output.extend(outputs)
    needed, kept = {one.name for one in outputs}, []
    for node in reversed(graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= _read(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))


def _read(node: onnx.NodeProto) -> set[str]:
    """All names that a node, or a graph within it, reads."""
    inner = (one for attribute in node.attribute if attribute.HasField("g") for one in attribute.g.node)
    return set(node.input).union(*(_read(one) for one in inner))
