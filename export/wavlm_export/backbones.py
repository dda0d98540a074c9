"""A frame classifier and a speaker model in, whether they are heads on the same backbone out: field by field, tensor by tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from wavlm_export.graph.weights import Weights

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from wavlm_export.checkpoint import Checkpoint
    from wavlm_export.speaker_model import SpeakerModel

FIELDS = (
    "model_type",
    "conv_dim",
    "conv_kernel",
    "conv_stride",
    "conv_bias",
    "feat_extract_norm",
    "feat_extract_activation",
    "feat_proj_layer_norm",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "layer_norm_eps",
    "do_stable_layer_norm",
    "num_conv_pos_embeddings",
    "num_conv_pos_embedding_groups",
    "conv_pos_batch_norm",
    "num_buckets",
    "max_bucket_distance",
    "add_adapter",
    "adapter_attn_dim",
)
"""All that a config says about what the backbone computes; the rest is of heads and of training."""
TRAINING_ONLY = "masked_spec_embed"
"""It stands in for masked frames while a model is trained, and is there only if the config masks any."""
NORMED = ("parametrizations.weight.original0", "parametrizations.weight.original1", "weight_g", "weight_v")
"""How PyTorch calls what it computes a weight-normed convolution's weight from, in either spelling."""
FOLDED_TOLERANCE = 1e-6
"""Of the largest weight: equal weights from unequal lengths and directions differ by rounding."""


def difference(checkpoint: Checkpoint, speaker: SpeakerModel) -> str | None:
    """What tells the two backbones apart, as half a sentence; ``None`` if nothing does and one pass serves both heads."""
    if checkpoint.do_normalize != speaker.do_normalize:
        return f"do_normalize is {checkpoint.do_normalize} and {speaker.do_normalize}"
    for name in FIELDS:
        own, other = (_value(one.config, name) for one in (checkpoint, speaker))
        if own != other:
            return f"{name} is {own} and {other}"
    first, second = _tensors(checkpoint.model), _tensors(speaker.model)
    only = sorted(first.keys() ^ second.keys())
    if only:
        return f"only one of them has {only[0]}"
    apart = {name: by for name in first if (by := _apart(name, first[name], second[name])) > 0}
    if not apart:
        return None
    name = next(iter(apart))
    others = f" (and {len(apart) - 1} more of {len(first)} tensors)" if len(apart) > 1 else f" (it alone of {len(first)} tensors)"
    return f"{name} differs by up to {apart[name]:.2g}{others}"


def _value(config: Any, name: str) -> Any:
    """A field of a config, comparable; what a family does not have is ``None``."""
    value = getattr(config, name, None)
    return list(value) if isinstance(value, tuple | list) else value


def _tensors(model: torch.nn.Module) -> dict[str, NDArray[np.float32]]:
    """The backbone's tensors, with its weight norm folded."""
    backbone: Any = model.base_model
    weights = Weights.of(backbone)
    names = [name for name in backbone.state_dict() if name != TRAINING_ONLY]
    found = {name: weights[name] for name in names if not name.endswith(NORMED)}
    for convolution in {name.removesuffix(ending).rstrip(".") for name in names for ending in NORMED if name.endswith(ending)}:
        found[f"{convolution}.weight"] = weights.normed_convolution(convolution)
    return dict(sorted(found.items()))


def _apart(name: str, first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """The largest difference of two tensors, 0 if they are equal to the bit; of a folded convolution, up to rounding."""
    if first.shape != second.shape:
        return np.inf
    if np.array_equal(first, second):
        return 0.0
    by = float(np.nan_to_num(np.abs(first - second), nan=np.inf).max())
    rounding = name.endswith("pos_conv_embed.conv.weight") and by <= FOLDED_TOLERANCE * float(np.abs(first).max())
    return 0.0 if rounding else by
