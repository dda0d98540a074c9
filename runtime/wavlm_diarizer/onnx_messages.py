"""ONNX files as messages, without the onnx package, which is not installed beside the runtime; protobuf, which onnxruntime brings, is.

In: the few fields that a stage reads or changes. Out: a protobuf class for them. All other fields of a file pass through unread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Messages = dict[str, dict[str, tuple[int, str, bool]]]
"""By message and field: the number, the type (``string``, ``int32`` or a message) and whether it is repeated.

https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""
METADATA: Messages = {
    "Model": {"metadata_props": (14, "Entry", True)},
    "Entry": {"key": (1, "string", False), "value": (2, "string", False)},
}
_classes: dict[tuple[str, str], Any] = {}


def message_class(purpose: str, messages: Messages, name: str) -> Any:
    """The protobuf class of the message ``name`` among ``messages``; made once for each ``purpose``, which is one fixed set of messages."""
    if (purpose, name) not in _classes:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

        types = descriptor_pb2.FieldDescriptorProto
        package = f"wavlm_diarizer_{purpose}"
        file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto2")
        for message, fields in messages.items():
            described = file.message_type.add(name=message)
            for field_name, (number, kind, repeated) in fields.items():
                label = types.LABEL_REPEATED if repeated else types.LABEL_OPTIONAL
                field = described.field.add(name=field_name, number=number, label=label)
                plain = {"string": types.TYPE_STRING, "int32": types.TYPE_INT32}
                field.type = plain.get(kind, types.TYPE_MESSAGE)
                if kind not in plain:
                    field.type_name = f".{package}.{kind}"
        pool = descriptor_pool.DescriptorPool()
        pool.Add(file)
        _classes[purpose, name] = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
    return _classes[purpose, name]


def with_metadata(model: bytes, changes: Mapping[str, str]) -> bytes:
    """The bytes of a model file with these ``metadata_props`` in place of those of the same keys; everything else stays as it is."""
    message = message_class("metadata", METADATA, "Model")()
    message.ParseFromString(model)
    kept = [(entry.key, entry.value) for entry in message.metadata_props if entry.key not in changes]
    del message.metadata_props[:]
    for key, value in (*kept, *sorted(changes.items())):
        message.metadata_props.add(key=key, value=value)
    changed: bytes = message.SerializeToString()
    return changed
