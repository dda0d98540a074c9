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
BEFORE, EARLY, POOLED = 0.2, 0.3, 0.5
"""What the frames before the rectifier, those of the first block, and the pooled ones count for, beside the frames behind the rectifier."""
OTHERS = 4000
"""Takes from whose places a place is told apart."""
NOBODY_ELSE = 0.5
"""A take whose place has at least this cosine with the wanted one may be of the same person: it is not told apart from it."""
APART_SCALE = 20.0
"""Of the cosines, where places are told apart; as that of single frames in :mod:`losses`."""


class FrameLoss(torch.nn.Module):
    """How far a student's frames are from its teacher's, each number by how much it differs from take to take."""

    spread: torch.Tensor
    rectified: torch.Tensor
    early_mean: torch.Tensor
    early_spread: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor
    middle: torch.Tensor
    others: torch.Tensor

    def __init__(
        self, takes: Takes, last: tuple[NDArray[np.float32], NDArray[np.float32]], *, place: float = 1.0, apart: float = 0.0
    ) -> None:
        """``last``: the teacher's last layer, :attr:`frame_teacher.FrameTeacher.last`.

        ``place``: what counts where that layer puts the pooled frames; ``apart``: and that this is told apart from other takes' places.
        """
        super().__init__()
        self._place, self._apart = place, apart
        some = [takes[number] for number in _spread(len(takes), MEASURED)]
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
        # Of takes, read one by one: all of them are gigabytes.
        places = [pooled_frames(takes[number].late) @ weight.T + bias for number in _spread(len(takes), OTHERS)] if apart else []
        measured["others"] = np.stack(places) - measured["middle"] if apart else np.zeros((0, len(bias)))
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
        loss = loss + self._place * (1 - functional.cosine_similarity(place, wanted_place, dim=1).mean())
        return loss + self._apart * apart_loss(place, wanted_place, self.others) if self._apart else loss


def apart_loss(places: torch.Tensor, wanted: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """How unsure it is that places ``[n, width]`` are the wanted ones and not of other people: a cross-entropy.

    ``others`` ``[m, width]``: of these, those that are much like the wanted place do not count. With many negatives and one positive, as
    of van den Oord et al. 2018 (1807.03748).
    """
    own, target, rest = (functional.normalize(one, dim=1) for one in (places, wanted, others))
    maybe_the_same = target @ rest.T >= NOBODY_ELSE
    against = (APART_SCALE * own @ rest.T).masked_fill(maybe_the_same, -torch.inf)
    logits = torch.cat((APART_SCALE * (own * target).sum(dim=1, keepdim=True), against), dim=1)
    return -torch.log_softmax(logits, dim=1)[:, 0].mean()


def _spread(count: int, most: int) -> list[int]:
    """At most so many numbers from 0 to ``count``, spread over them."""
    return [int(number) for number in np.unique(np.linspace(0, count - 1, most).astype(int))]
