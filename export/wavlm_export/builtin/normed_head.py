"""The layers of an x-vector head with batch norm while they learn, without which they learn frames slowly; folded away in checkpoints.

transformers' head has no batch norm. A layer of one with its mean and deviation fixed is the same as a layer without (Ioffe and Szegedy
2015, 1502.03167), so a head that learned with it becomes one that never had it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import WavLMForXVector


class NormedHead(nn.Module):
    """Batch norm before the projector of a head, and after each of its layers but the last."""

    def __init__(self, head: WavLMForXVector) -> None:
        super().__init__()
        # In a list, so that its weights are not counted twice.
        self._head = [head]
        self.given = nn.BatchNorm1d(head.projector.in_features)
        self._norms = [nn.BatchNorm1d(layer.out_conv_dim) for layer in head.tdnn[:-1]]
        self.between = nn.ModuleList(self._norms)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """The last layer's frames before the rectifier ``[batch, frames', width]`` of ``[batch, frames, hidden]``."""
        head = self._head[0]
        frames = head.projector(self.given(states.transpose(1, 2)).transpose(1, 2)).transpose(1, 2)
        for layer, norm in zip(head.tdnn[:-1], self._norms, strict=True):
            frames = functional.relu(norm(_convolved(layer, frames)))
        return _convolved(head.tdnn[-1], frames).transpose(1, 2)

    @torch.no_grad()
    def take_over(self, states: torch.Tensor) -> None:
        """Begin as a head that learned already: with norms that undo themselves, measured on ``[batch, frames, hidden]``."""
        head, frames = self._head[0], states.transpose(1, 2).float()
        _undone(self.given, frames)
        frames = head.projector(frames.transpose(1, 2)).transpose(1, 2)
        for layer, norm in zip(head.tdnn[:-1], self._norms, strict=True):
            frames = _convolved(layer, frames)
            _undone(norm, frames)
            frames = functional.relu(frames)

    @contextmanager
    def folded(self) -> Iterator[None]:
        """While in it, the head by itself is the same as this with the norms as they have measured."""
        head = self._head[0]
        changed = [head.projector, *(layer.kernel for layer in head.tdnn[:-1])]
        kept = [(layer.weight.detach().clone(), layer.bias.detach().clone()) for layer in changed]
        with torch.no_grad():
            scale, shift = _scale(self.given)
            head.projector.bias.add_(head.projector.weight @ shift)
            head.projector.weight.mul_(scale)
            for layer, norm in zip(changed[1:], self._norms, strict=True):
                scale, shift = _scale(norm)
                layer.weight.mul_(scale[:, None])
                layer.bias.mul_(scale).add_(shift)
        try:
            yield
        finally:
            with torch.no_grad():
                for layer, (weight, bias) in zip(changed, kept, strict=True):
                    layer.weight.copy_(weight)
                    layer.bias.copy_(bias)


def _convolved(layer: Any, frames: torch.Tensor) -> torch.Tensor:
    """A TDNN layer of ``[batch, channels, frames]`` without its rectifier."""
    kernel = layer.kernel
    weight = kernel.weight.view(layer.out_conv_dim, layer.kernel_size, layer.in_conv_dim).transpose(1, 2)
    convolved: torch.Tensor = functional.conv1d(frames, weight, kernel.bias, dilation=layer.dilation)
    return convolved


def _scale(norm: nn.BatchNorm1d) -> tuple[torch.Tensor, torch.Tensor]:
    """By what a norm that has measured multiplies, and what it adds then."""
    mean, variance = _measured(norm)
    scale = norm.weight / (variance + norm.eps).sqrt()
    return scale, norm.bias - mean * scale


def _measured(norm: nn.BatchNorm1d) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance ``[channels]`` as a norm keeps them."""
    mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    return mean, variance


def _undone(norm: nn.BatchNorm1d, frames: torch.Tensor) -> None:
    """Give a norm the weights with which it changes nothing in ``[batch, channels, frames]``."""
    variance, mean = torch.var_mean(frames, dim=(0, 2), correction=0)
    for kept, value in zip(_measured(norm), (mean, variance), strict=True):
        kept.copy_(value)
    norm.weight.copy_((variance + norm.eps).sqrt())
    norm.bias.copy_(mean)
