"""A Hugging Face config in, what the graph builder needs to know of the architecture out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from wavlm_diarizer.errors import CheckpointError

NORM_EPSILON = 1e-5
"""PyTorch's default, which the norms of the conv stack keep whatever the config says."""


@dataclass(frozen=True)
class Architecture:
    """The numbers that make one wav2vec2-like encoder differ from another."""

    kernels: tuple[int, ...]
    strides: tuple[int, ...]
    channels: tuple[int, ...]
    """Of each convolution's output."""
    group_norm: bool
    """One GroupNorm over time after the first convolution; else a LayerNorm over channels after each."""
    hidden: int
    inner: int
    """The feed forward's width."""
    layers: int
    heads: int
    norm_first: bool
    """The norms stand before attention and feed forward instead of after the residual sums (``do_stable_layer_norm``)."""
    epsilon: float
    """Of the encoder's norms."""
    position_taps: int
    position_groups: int
    buckets: int
    """Of the relative position bias; 0: the architecture has none."""
    max_distance: int
    """In frames: all that is further away shares one bucket on either side."""
    weighted_sum: bool
    """The head sees a weighted sum of the embeddings and all layers; else the last layer."""

    @classmethod
    def of(cls, config: Any) -> Architecture:
        """Read a transformers config. Raises :class:`CheckpointError` for features that the builder cannot write."""
        for name in ("hidden_act", "feat_extract_activation"):
            if getattr(config, name) != "gelu":
                raise CheckpointError(f"The fast graph supports gelu only, not {name}={getattr(config, name)!r}: use --graph portable.")
        for name in ("conv_pos_batch_norm", "add_adapter", "adapter_attn_dim"):
            if getattr(config, name, None):
                raise CheckpointError(f"The fast graph does not support {name}: use --graph portable.")
        if config.feat_extract_norm not in {"group", "layer"}:
            raise CheckpointError(f"The fast graph does not support feat_extract_norm={config.feat_extract_norm!r}: use --graph portable.")
        wavlm = config.model_type == "wavlm"
        return cls(
            kernels=tuple(config.conv_kernel),
            strides=tuple(config.conv_stride),
            channels=tuple(config.conv_dim),
            group_norm=config.feat_extract_norm == "group",
            hidden=config.hidden_size,
            inner=config.intermediate_size,
            layers=config.num_hidden_layers,
            heads=config.num_attention_heads,
            norm_first=bool(config.do_stable_layer_norm),
            epsilon=float(config.layer_norm_eps),
            position_taps=config.num_conv_pos_embeddings,
            position_groups=config.num_conv_pos_embedding_groups,
            buckets=config.num_buckets if wavlm else 0,
            max_distance=config.max_bucket_distance if wavlm else 0,
            weighted_sum=bool(config.use_weighted_layer_sum),
        )

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return math.prod(self.strides)

    @property
    def receptive_field(self) -> int:
        """Samples that one frame sees."""
        return rows_for(1, self.kernels, self.strides)

    @property
    def filled_taps(self) -> int:
        """The first convolution's taps, filled up to a whole number of strides."""
        return -(-self.kernels[0] // self.strides[0]) * self.strides[0]

    @property
    def head_size(self) -> int:
        """Channels of one attention head."""
        return self.hidden // self.heads


def rows_for(outputs: int, kernels: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """How many rows a chain of convolutions without padding reads for so many outputs."""
    rows = outputs
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        rows = (rows - 1) * stride + kernel
    return rows
