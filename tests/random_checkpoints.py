"""Checkpoints of real architectures with random weights, saved as the hub has them.

Random weights as transformers initialises them give logits that hardly move; these are drawn so that every part of the graph matters.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from transformers import (
    HubertConfig,
    UniSpeechSatConfig,
    UniSpeechSatForAudioFrameClassification,
    UniSpeechSatForXVector,
    Wav2Vec2Config,
    Wav2Vec2ForAudioFrameClassification,
    Wav2Vec2ForXVector,
    WavLMConfig,
    WavLMForAudioFrameClassification,
    WavLMForXVector,
)

from wavlm_export.hubert import HubertForAudioFrameClassification

STACK = {"conv_kernel": (10, 3, 3, 3, 3, 2, 2), "conv_stride": (5, 2, 2, 2, 2, 2, 2)}
BASE_PLUS = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "conv_dim": (512,) * 7,
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
    "num_buckets": 320,
    "max_bucket_distance": 800,
    "feat_extract_norm": "group",
    "do_stable_layer_norm": False,
    "conv_bias": False,
    "use_weighted_layer_sum": True,
    "num_labels": 2,
    **STACK,
}
"""The architecture of microsoft/wavlm-base-plus-sd."""
SMALL = {
    "hidden_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 192,
    "conv_dim": (48, 48, 48, 48, 48, 64, 64),
    "num_conv_pos_embeddings": 32,
    "num_conv_pos_embedding_groups": 4,
    "feat_extract_norm": "group",
    "do_stable_layer_norm": False,
    "conv_bias": False,
    "use_weighted_layer_sum": True,
    "num_labels": 2,
    **STACK,
}
LARGE_STYLE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
"""What distinguishes WavLM large, besides its size."""

KINDS: dict[str, tuple[Any, Any, dict[str, Any], bool]] = {
    "wavlm-base-plus": (WavLMConfig, WavLMForAudioFrameClassification, BASE_PLUS, False),
    "wavlm-small": (WavLMConfig, WavLMForAudioFrameClassification, SMALL | {"num_labels": 3}, False),
    "wavlm-large-style": (WavLMConfig, WavLMForAudioFrameClassification, SMALL | LARGE_STYLE | {"num_labels": 4}, True),
    "unispeech-sat": (UniSpeechSatConfig, UniSpeechSatForAudioFrameClassification, SMALL, False),
    "wav2vec2": (Wav2Vec2Config, Wav2Vec2ForAudioFrameClassification, SMALL | {"use_weighted_layer_sum": False, "num_labels": 1}, True),
    "wav2vec2-large-style": (Wav2Vec2Config, Wav2Vec2ForAudioFrameClassification, SMALL | LARGE_STYLE, True),
    "hubert": (HubertConfig, HubertForAudioFrameClassification, SMALL, True),
}
"""Config class, model class, settings, do_normalize."""
SPEAKERS: dict[str, Any] = {
    "wavlm-base-plus": WavLMForXVector,
    "wavlm-small": WavLMForXVector,
    "wavlm-large-style": WavLMForXVector,
    "unispeech-sat": UniSpeechSatForXVector,
    "wav2vec2": Wav2Vec2ForXVector,
    "wav2vec2-large-style": Wav2Vec2ForXVector,
}
"""The speaker model's class; transformers has none for HuBERT."""
TDNN = {"tdnn_dim": (64, 64, 64, 64, 96), "xvector_output_dim": 48, "num_labels": 2}
DROPOUTS = dict.fromkeys(
    ("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout", "final_dropout", "layerdrop"), 0.0
)


def make(kind: str, seed: int = 0, **changes: Any) -> Any:
    """A model of one kind with weights that depend on ``seed`` only."""
    config_class, model_class, settings, _ = KINDS[kind]
    config = config_class(**(settings | changes), **DROPOUTS, mask_time_prob=0.0)
    torch.manual_seed(seed)
    model = model_class(config).eval()
    _draw(model, seed + 1)
    return model


def _draw(model: Any, seed: int) -> None:
    """Draw all weights of a model."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            draw = torch.randn(weight.shape, generator=generator)
            weight.copy_(_scaled(name, weight, draw))
        norm = model.base_model.encoder.pos_conv_embed.conv.parametrizations.weight
        norm.original0.copy_(norm.original1.norm(dim=(0, 1), keepdim=True))


def _scaled(name: str, weight: torch.Tensor, draw: torch.Tensor) -> torch.Tensor:
    """``draw`` with the mean and deviation that keep signals of this parameter's kind alive through the network."""
    if "conv_layers" in name and name.endswith("conv.weight"):
        return draw * math.sqrt(2.0 / (weight.shape[1] * weight.shape[2]))
    if name.endswith("layer_norm.weight"):
        return 1.0 + 0.2 * draw
    if "gru_rel_pos_const" in name:
        return 1.0 + 0.5 * draw
    if "rel_attn_embed" in name:
        return 0.5 * draw
    if name.endswith("layer_weights"):
        return draw
    if "pos_conv" in name and weight.dim() == 3:
        return draw / math.sqrt(weight.shape[1] * weight.shape[2])
    if weight.dim() == 2:
        return draw * (1.4 if "q_proj" in name or "k_proj" in name else 1.0) / math.sqrt(weight.shape[1])
    return (0.1 if "layer_norm" in name else 0.05) * draw


def save(folder: Path, kind: str, seed: int = 0, *, safe: bool = True, **changes: Any) -> Path:
    """Save a checkpoint with its two JSON files; ``safe=False``: as ``pytorch_model.bin``."""
    make(kind, seed, **changes).save_pretrained(folder, safe_serialization=safe)
    return _with_preprocessor(folder, do_normalize=KINDS[kind][3])


def make_speaker(kind: str, backbone: Any = None, seed: int = 0, **changes: Any) -> Any:
    """An x-vector model of one kind, on the backbone of a model of :func:`make` if one is given."""
    settings = {name: value for name, value in KINDS[kind][2].items() if name != "num_labels"}
    config = KINDS[kind][0](**(settings | TDNN | changes), **DROPOUTS, mask_time_prob=0.0)
    torch.manual_seed(seed)
    model = SPEAKERS[kind](config).eval()
    _draw(model, seed + 2)
    if backbone is not None:
        model.base_model.load_state_dict(backbone.base_model.state_dict())
    return model


def save_pair(folder: Path, kind: str, seed: int = 0, *, speaker: dict[str, Any] | None = None, **changes: Any) -> tuple[Path, Path]:
    """Save a frame classifier and a speaker model on the same backbone, as ``sd`` and ``sv``."""
    classifier = make(kind, seed, **changes)
    classifier.save_pretrained(folder / "sd")
    shared = {name: value for name, value in changes.items() if name not in {"num_labels", "use_weighted_layer_sum"}}
    make_speaker(kind, classifier, seed, **(shared | (speaker or {}))).save_pretrained(folder / "sv")
    return tuple(_with_preprocessor(folder / name, do_normalize=KINDS[kind][3]) for name in ("sd", "sv"))  # type: ignore[return-value]


def _with_preprocessor(folder: Path, *, do_normalize: bool) -> Path:
    """The folder, with its second JSON file."""
    preprocessor = {
        "do_normalize": do_normalize,
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        "feature_size": 1,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": True,
        "sampling_rate": 16_000,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return folder
