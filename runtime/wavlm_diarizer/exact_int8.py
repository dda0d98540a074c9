"""An int8 model in, the same model with its byte weights where onnxruntime can make exact products of them out.

On x86 CPUs without VNNI the fast product of unsigned and signed bytes adds pairs in 16 bits and saturates. onnxruntime can avoid that
(``session.x64quantprecision``) by turning signed weights into unsigned ones, but only for weights that stand in the same graph as their
product; the fast graph has its products in the bodies of loops and its weights outside, where they take a third of the memory. So on
such CPUs, and only there, the weights are moved into the bodies before the model is opened.
"""

from __future__ import annotations

from typing import Any

from wavlm_diarizer.onnx_messages import message_class

INT8 = 3
"""Signed bytes, as ONNX numbers element types."""
MESSAGES = {
    "Model": {"graph": (7, "Graph", False)},
    "Graph": {"node": (1, "Node", True), "initializer": (5, "Tensor", True)},
    "Node": {"input": (1, "string", True), "attribute": (5, "Attribute", True)},
    "Attribute": {"g": (6, "Graph", False)},
    "Tensor": {"data_type": (2, "int32", False), "name": (8, "string", False)},
}
"""The fields of ONNX's messages that matter here, see :mod:`wavlm_diarizer.onnx_messages`."""


def with_weights_in_bodies(model: bytes) -> bytes | None:
    """The model with every signed-byte weight of the main graph moved into the loop bodies that use it; ``None`` if there is none."""
    from google.protobuf.message import DecodeError

    message = message_class("exact_int8", MESSAGES, "Model")()
    try:
        message.ParseFromString(model)
    except DecodeError:
        return None  # onnxruntime, which is asked next, says what is wrong with it
    outside = {tensor.name: tensor for tensor in message.graph.initializer if tensor.data_type == INT8}
    kept = {name for node in message.graph.node for name in node.input}
    moved: set[str] = set()
    for body in _bodies(message.graph):
        used = {name for node in body.node for name in node.input if name in outside}
        body.initializer.extend(outside[name] for name in sorted(used))
        moved |= used
    if not moved:
        return None
    for index in reversed(range(len(message.graph.initializer))):
        name = message.graph.initializer[index].name
        if name in moved and name not in kept:
            del message.graph.initializer[index]
    changed: bytes = message.SerializeToString()
    return changed


def _bodies(graph: Any) -> list[Any]:
    """All graphs inside a graph's nodes, however deep."""
    inner = [attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")]
    return [*inner, *(body for one in inner for body in _bodies(one))]
