"""An ONNX graph and its settings in, one file's bytes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

    from wavlm_diarizer.settings import ModelSettings

PRODUCER = "wavlm-diarizer"


def with_settings(graph: onnx.ModelProto, settings: ModelSettings) -> bytes:
    """The graph with the settings as its metadata, serialized the same way every time."""
    from onnx import helper

    from wavlm_diarizer import __version__

    graph.producer_name, graph.producer_version = PRODUCER, __version__
    helper.set_model_props(graph, dict(sorted(settings.to_metadata().items())))
    data: bytes = graph.SerializeToString(deterministic=True)
    return data
