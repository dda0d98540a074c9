"""Answers and truth in, losses out: permutation-invariant activity, the voice at each frame, log-mel energies."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch.nn import functional

from wavlm_export.builtin.config import HOP, LABELS, RATE

PERMUTATIONS = tuple(itertools.permutations(range(LABELS)))
MELS, FFT, FIELD = 40, 512, 400
IGNORED = -100
SCALE, MARGIN = 30.0, 0.2
"""Of the margin softmax, the paper's scale and a lower margin than its 0.35: there are few voices."""
FRAME_SCALE = 20.0
"""Of the cosines by which a single frame's voice is named; it is less sure than a whole turn."""


def activity_loss(logits: torch.Tensor, activity: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """The binary cross-entropy per frame and column, with the best order of the columns in each window (Fujita et al. 2019, 1909.05952).

    ``logits`` and ``activity`` ``[batch, frames, 3]``, ``counted`` ``[batch, frames]`` the weight of each frame.
    """
    return _orders(logits, activity, counted).min(dim=1).values.mean() / LABELS


def in_order(logits: torch.Tensor, activity: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """Probabilities ``[batch, frames, 3]`` of somebody else's logits, their columns in the order that fits the activity best."""
    best = torch.tensor(PERMUTATIONS, device=logits.device)[_orders(logits, activity, counted).argmin(dim=1)]
    # An order says which speaker each output is, and here it is wanted which output each speaker is.
    return torch.gather(torch.sigmoid(logits.float()), 2, best.argsort(dim=1)[:, None, :].expand_as(logits))


def _orders(logits: torch.Tensor, activity: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """The cross-entropy ``[batch, 6]`` of each order of the columns, summed over them."""
    logits, weight = logits.float(), counted / counted.sum(dim=1, keepdim=True).clamp(min=1.0)
    weighted, silent = activity * weight[..., None], (1 - activity) * weight[..., None]
    # cost[b, i, j]: output i as speaker j
    cost = -functional.logsigmoid(logits).transpose(1, 2) @ weighted - functional.logsigmoid(-logits).transpose(1, 2) @ silent
    return torch.stack([sum((cost[:, i, j] for i, j in enumerate(order)), cost.new_zeros(len(cost))) for order in PERMUTATIONS], dim=1)


def voice_target(activity: torch.Tensor, people: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """``[batch, frames]``: the person where exactly one speaks, else -100."""
    alone = (activity.sum(dim=-1) == 1) & (counted > 0)
    return torch.where(alone, torch.gather(people, 1, activity.argmax(dim=-1)), torch.full_like(people[:, :1], IGNORED))


def voice_loss(voices: torch.Tensor, centres: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Softmax of the cosines of ``[batch, frames, width]`` with the centres, at the frames with a target; 0 if there is none."""
    known = target != IGNORED
    cosine = functional.normalize(voices[known].float(), dim=1) @ functional.normalize(centres.float(), dim=1).T
    return functional.cross_entropy(FRAME_SCALE * cosine, target[known], reduction="sum") / known.sum().clamp(min=1)


def owner_loss(
    voices: torch.Tensor, mask: torch.Tensor, places: torch.Tensor, people: torch.Tensor, beside: torch.Tensor | None = None
) -> torch.Tensor:
    """Softmax of the cosines of each row's frames ``[n, frames, width]`` with the places ``[n, width]`` of all rows; 0 without any frame.

    A row is what one person says in one window, ``mask`` ``[n, frames]`` where that is, ``people`` ``[n]`` who it is: what the same one
    says in other windows is no wrong answer. ``beside`` ``[n, n]``: how many logits more each place has to be behind for each row.
    """
    on = mask > 0
    own = torch.arange(len(places), device=places.device)
    again = (people[:, None] == people) & (own[:, None] != own)
    cosine = functional.normalize(voices.float(), dim=2) @ functional.normalize(places.float(), dim=1).T
    logits = FRAME_SCALE * cosine if beside is None else FRAME_SCALE * cosine + beside[:, None]
    apart = logits.masked_fill(again[:, None], -torch.inf)
    return functional.cross_entropy(apart[on], own[:, None].expand_as(mask)[on], reduction="sum") / on.sum().clamp(min=1)


def margin_loss(embeddings: torch.Tensor, centres: torch.Tensor, people: torch.Tensor) -> torch.Tensor:
    """Additive margin softmax (Wang et al. 2018, 1801.05599) of ``[n, width]`` against centres ``[people, width]``; 0 for ``n = 0``."""
    if not len(people):
        return embeddings.sum() * 0.0
    cosine = functional.normalize(embeddings.float(), dim=1) @ functional.normalize(centres.float(), dim=1).T
    return functional.cross_entropy(SCALE * (cosine - MARGIN * functional.one_hot(people, len(centres))), people)


def place_loss(embeddings: torch.Tensor, centres: torch.Tensor, people: torch.Tensor) -> torch.Tensor:
    """How far embeddings ``[n, width]`` point away from their own person's centre: 1 less the cosine; 0 for ``n = 0``."""
    return heard_loss(embeddings, centres[people])


def heard_loss(embeddings: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """The same for a place ``[n, width]`` of each embedding's own, or zeros where there is none; 0 without any."""
    known = places.square().sum(dim=1) > 0
    if not known.any():
        return embeddings.sum() * 0.0
    cosine: torch.Tensor = functional.cosine_similarity(embeddings[known].float(), places[known].float(), dim=1)
    return (1 - cosine).mean()


class LogMel(torch.nn.Module):
    """Samples ``[batch, n]`` in, log-mel energies ``[batch, frames, 40]`` out, less their mean over the window, divided by 3."""

    window: torch.Tensor
    filters: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        hertz = np.linspace(0, RATE / 2, FFT // 2 + 1)
        mel_edges = np.linspace(2595 * np.log10(1 + 60 / 700), 2595 * np.log10(1 + 7800 / 700), MELS + 2)
        edges = 700 * (10 ** (mel_edges / 2595) - 1)
        low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
        filters = np.clip(np.minimum((hertz - low) / (middle - low), (high - hertz) / (high - middle)), 0, None).T
        self.register_buffer("window", torch.hann_window(FIELD), persistent=False)
        self.register_buffer("filters", torch.from_numpy(filters.astype(np.float32)), persistent=False)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """The energies, in float32."""
        frames = samples.float().unfold(1, FIELD, HOP) * self.window
        power = torch.fft.rfft(frames, FFT).abs().square() @ self.filters
        energies = (power + 1e-7).log()
        centred: torch.Tensor = (energies - energies.mean(dim=1, keepdim=True)) / 3.0
        return centred


def mel_loss(predicted: torch.Tensor, energies: torch.Tensor) -> torch.Tensor:
    """Mean square over ``[batch, frames, 40]``."""
    return (predicted.float() - energies[:, : predicted.shape[1]]).square().mean()
