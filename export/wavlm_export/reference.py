"""A checkpoint in, the reference graph out: optimum's ONNX export.

The graph takes ``input_values`` ``[batch_size, sequence_length]`` and answers with ``logits`` ``[batch_size, frames, labels]``, for any
batch and any number of samples; with a speaker model also with ``embeddings`` and ``embedding_frames`` of each label.
"""

from __future__ import annotations

import copy
import tempfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavlm_diarizer.model_file import EMBEDDING_FRAMES, EMBEDDINGS
from wavlm_export.families import FAMILIES
from wavlm_export.quiet import quiet

if TYPE_CHECKING:
    import onnx
    import torch

    from wavlm_export.checkpoint import Checkpoint

OPSET = 18
"""optimum's recommendation for this export."""
IR_VERSION = 9
"""The newest that the oldest supported runtimes read; nothing in these graphs needs a newer one."""
TASK = "audio-frame-classification"


def reference_graph(checkpoint: Checkpoint) -> onnx.ModelProto:
    """The fp32 graph of a checkpoint as optimum exports it."""
    import onnx
    from optimum.exporters.onnx.convert import export_pytorch

    from wavlm_export.two_heads import TwoHeads

    model = copy.deepcopy(checkpoint.model) if checkpoint.speaker is None else TwoHeads(checkpoint, checkpoint.speaker)
    fold_weight_norm(model)
    described = getattr(import_module("optimum.exporters.onnx.model_configs"), FAMILIES[checkpoint.config.model_type].onnx_config)
    description = described(checkpoint.config, task=TASK)
    if checkpoint.speaker is not None:
        description = _with_voices(described)(checkpoint.config, task=TASK)
    with tempfile.TemporaryDirectory() as folder, quiet():
        path = Path(folder) / "model.onnx"
        export_pytorch(model, description, OPSET, path)
        graph = onnx.load(path)
    graph.ir_version = min(graph.ir_version, IR_VERSION)
    del graph.metadata_props[:]
    return graph


def _with_voices(described: Any) -> Any:
    """Optimum's description of a frame classifier, with the outputs of a speaker model besides."""

    class WithVoices(described):  # type: ignore[misc]
        @property
        def outputs(self) -> dict[str, dict[int, str]]:
            return {**super().outputs, EMBEDDINGS: {0: "batch_size"}, EMBEDDING_FRAMES: {0: "batch_size"}}

    return WithVoices


def fold_weight_norm(model: torch.nn.Module) -> None:
    """Replace every weight-normed convolution by a plain one with the weight that the norm computes, in both of PyTorch's spellings.

    The raw export would compute the positional convolution's weight anew at every run, and hide it from quantization. The convolution is
    replaced rather than changed: removing a parametrization changes a class that copies of the model share.
    """
    import torch

    for parent in list(model.modules()):
        for name, module in list(parent.named_children()):
            normed = torch.nn.utils.parametrize.is_parametrized(module, "weight") or hasattr(module, "weight_g")
            if isinstance(module, torch.nn.Conv1d) and normed:
                setattr(parent, name, _plain(module))


def _plain(module: torch.nn.Conv1d) -> torch.nn.Conv1d:
    """A convolution like ``module``, with its present weight as an ordinary one."""
    import torch

    old: Any = module
    # What PyTorch's old spelling itself calls; the new one computes the weight when it is asked for.
    weight = torch._weight_norm(old.weight_v, old.weight_g, 2) if hasattr(old, "weight_g") else old.weight  # noqa: SLF001
    plain = torch.nn.Conv1d(
        module.in_channels,
        module.out_channels,
        module.kernel_size[0],
        stride=module.stride[0],
        padding=module.padding[0],
        dilation=module.dilation[0],
        groups=module.groups,
        bias=module.bias is not None,
    )
    with torch.no_grad():
        plain.weight.copy_(weight)
        if plain.bias is not None and module.bias is not None:
            plain.bias.copy_(module.bias)
    return plain
