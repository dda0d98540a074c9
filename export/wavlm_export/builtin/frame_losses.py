"""Frames of a student and of its teacher in, how far they are apart out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from wavlm_export.builtin.conversations_of_takes import pooled_frames

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wavlm_export.builtin.model import Student
    from wavlm_export.builtin.takes import Takes

MEASURED = 600
"""Takes by which it is measured how much each number differs."""
LEAST_SPREAD = 0.05
"""So much at least: some numbers behind the rectifier are nearly always zero."""
LEAST_POOLED = 40
"""Frames of a take that have to be heard alone for what is pooled of them to count."""
BEFORE, EARLY, POOLED, PLACE = 0.2, 0.3, 0.5, 1.0
"""What the frames before the rectifier, those of the first block, the pooled ones, and where the teacher's last layer puts these count for,
beside the frames behind the rectifier."""


class FrameLoss(torch.nn.Module):
    """How far a student's frames are from its teacher's, each number by how much it differs from take to take."""

    spread: torch.Tensor
    rectified: torch.Tensor
    early_mean: torch.Tensor
    early_spread: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor
    middle: torch.Tensor

    def __init__(self, takes: Takes, last: tuple[NDArray[np.float32], NDArray[np.float32]]) -> None:
        """``last``: the teacher's last layer, :attr:`frame_teacher.FrameTeacher.last`."""
        super().__init__()
        some = [takes[int(number)] for number in np.unique(np.linspace(0, len(takes) - 1, MEASURED).astype(int))]
        late = np.concatenate([one.late for one in some]).astype(np.float32)
        early = np.concatenate([one.early for one in some]).astype(np.float32)
        pooled = np.stack([pooled_frames(one.late) for one in some])
        weight, bias = last
        measured = {
            "spread": late.std(axis=0) + 1e-6,
            "rectified": np.maximum(late, 0).std(axis=0).clip(LEAST_SPREAD),
            "early_mean": early.mean(axis=0),
            "early_spread": early.std(axis=0) + 1e-6,
            "weight": weight,
            "bias": bias,
            "middle": (pooled @ weight.T + bias).mean(axis=0),
        }
        for name, value in measured.items():
            self.register_buffer(name, torch.from_numpy(value.astype(np.float32)), persistent=False)

    def forward(  # the frames, and what is known of them
        self,
        student: Student,
        late: torch.Tensor,
        early: torch.Tensor,
        known_late: torch.Tensor,
        known_early: torch.Tensor,
        owner: torch.Tensor,
        pooled: torch.Tensor,
    ) -> torch.Tensor:
        """One number for ``late`` ``[batch, frames', 512]``, before the rectifier, and ``early`` ``[batch, frames, 256]`` of a student.

        The rest is that of :class:`conversations_of_takes.HeardConversation`. 0 where nobody speaks alone.
        """
        late, early = late.float(), early.float()
        margin = (early.shape[1] - late.shape[1]) // 2
        inner = owner[:, margin : margin + late.shape[1]]
        alone, whole = inner >= 0, owner[:, : early.shape[1]] >= 0
        if not alone.any():
            return late.sum() * 0.0 + early.sum() * 0.0
        wanted = known_late[:, margin : margin + late.shape[1]]
        rectified = functional.relu(late)
        loss = ((rectified - functional.relu(wanted)) / self.rectified)[alone].square().mean()
        loss = loss + BEFORE * ((late - wanted) / self.spread)[alone].square().mean()
        known = (known_early[:, : early.shape[1]] - self.early_mean) / self.early_spread
        loss = loss + EARLY * (early - known)[whole].square().mean()
        rows = torch.arange(pooled.shape[1], device=inner.device)
        masks = inner[:, None, :] == rows[None, :, None]
        window, row = torch.nonzero(masks.sum(dim=2) >= LEAST_POOLED, as_tuple=True)
        if not len(window):
            return loss
        found, target = student.statistics(rectified[window], masks[window, row].float()), pooled[window, row]
        loss = loss + POOLED * ((found - target) / self.rectified.repeat(2)).square().mean()
        place, wanted_place = (functional.linear(one, self.weight, self.bias) - self.middle for one in (found, target))
        return loss + PLACE * (1 - functional.cosine_similarity(place, wanted_place, dim=1).mean())
