"""Training of the transformer and the activity head alone, on convolutions and with a voice head that stay as they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from transformers import WavLMForAudioFrameClassification

from wavlm_diarizer.diarizer import Diarizer
from wavlm_diarizer.errors import OptionError
from wavlm_export.builtin import losses, training
from wavlm_export.builtin.config import LABELS
from wavlm_export.builtin.model import activity_weights, mixed_states

if TYPE_CHECKING:
    from collections.abc import Callable

    from wavlm_export.builtin.config import Recipe
    from wavlm_export.builtin.model import Student


CONFUSED = 0.1
"""A teacher that hears somebody else, in this share of the frames in which one person speaks, confuses the people of a window."""


class ActivityLearner(torch.nn.Module):
    """A student of which only what comes after the state before the first layer is to learn."""

    def __init__(self, student: Student, *, places: bool = False) -> None:
        """``places``: it is to say where each frame's voice is, too."""
        super().__init__()
        self.student, self._places = student, places
        student.requires_grad_(requires_grad=False)
        for weight in activity_weights(student) + (list(student.voices.parameters()) if places else []):
            weight.requires_grad = True

    def forward(self, samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """For ``[batch, n]`` logits ``[batch, frames, 3]``, with places those ``[batch, frames, width]``, and what the voice head pools."""
        _, states = self.student.states(samples)
        logits = self.student.sd.classifier(mixed_states(torch.stack(states, dim=1), self.student.sd.layer_weights))
        if not self._places:
            return logits, None, None
        with torch.no_grad():
            frames = self.student.pooled_frames(states[0])
        return logits, self.student.voices(states[-2]), frames


class ActivityTrainer(training.Trainer):
    """A trainer of activity by the truth and by what other checkpoints say, and of whose voice a frame is by what the voice head says."""

    learns_places = False

    def __init__(self, recipe: Recipe, rank: int = 0) -> None:
        """Raises :class:`OptionError` for a teacher that is not there or has another number of labels."""
        super().__init__(recipe, rank)
        # Each takes samples [batch, n] and gives logits [batch, frames, 3].
        self.taught_by = [_teacher(name, self.device) for name in self.settings.activity_teachers]

    def whole(self) -> torch.nn.Module:
        """The student without its helper heads, but for that of the voices if frames are named."""
        return ActivityLearner(self.student, places=self.settings.places_weight > 0)

    def parts(self, batch: training.Batch) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
        """The loss of a batch of :class:`conversations.Conversation`."""
        samples, activity, counted, people = batch[:4]
        with torch.autocast(self.device.type, torch.bfloat16):
            logits, voices, pooled = self.answer(samples)
            with torch.inference_mode():
                said = [teacher(samples) for teacher in self.taught_by]
        frames = logits.shape[1]
        activity, counted = activity[:, :frames], counted[:, :frames]
        weighted = counted * (1 + self.settings.overlap_weight * (activity.sum(dim=-1) > 1))
        target = taught(activity, counted, [one[:, :frames] for one in said], self.settings.taught) if said else activity
        parts = {"activity": losses.activity_loss(logits, target, weighted)}
        if voices is not None and pooled is not None:
            parts["places"] = self._places_loss(voices, pooled, losses.voice_target(activity, people, counted), people)
        return parts, {"activity": 1.0, "places": self.settings.places_weight}

    def _places_loss(self, voices: torch.Tensor, pooled: torch.Tensor, target: torch.Tensor, people: torch.Tensor) -> torch.Tensor:
        """Names the voice of every frame of whoever is alone for a second, by where the voice head puts all that this person says alone."""
        window, column, mask = training.alone(pooled, target, people)
        with torch.no_grad():
            places = self.student.embeddings(pooled[window], mask)
        edge = (voices.shape[1] - pooled.shape[1]) // 2
        own = torch.arange(len(window), device=window.device)
        beside = ((window[:, None] == window) & (own[:, None] != own)) * self.settings.places_margin
        return losses.owner_loss(voices[window, edge : edge + pooled.shape[1]], mask, places, people[window, column], beside)


def taught(activity: torch.Tensor, counted: torch.Tensor, said: list[torch.Tensor], share: float) -> torch.Tensor:
    """The truth ``[batch, frames, 3]`` with so large a share of what teachers say, of whose logits ``said`` is.

    Teachers know better where speech begins and ends. Who speaks is known: in a window in which one of them confuses people it does not
    count, and where none is left, only the truth does.
    """
    sole = (activity.sum(dim=-1) == 1) & (counted > 0)
    heard, trusted = torch.zeros_like(activity), torch.zeros_like(activity[:, :1, :1])
    for one in said:
        likely = losses.in_order(one, activity, counted)
        own, other = (likely * activity).sum(dim=-1), (likely * (1 - activity)).amax(dim=-1)
        confused = (sole & (other > own)).sum(dim=1) / sole.sum(dim=1).clamp(min=1)
        trust = (confused < CONFUSED).to(activity.dtype)[:, None, None]
        heard, trusted = heard + trust * likely, trusted + trust
    return torch.where(trusted > 0, (1 - share) * activity + share * heard / trusted.clamp(min=1), activity)


def _teacher(name: str, device: torch.device) -> Callable[[torch.Tensor], torch.Tensor]:
    """What a checkpoint, or a model file, says about windows ``[batch, n]``: logits ``[batch, frames, 3]``.

    Raises :class:`OptionError` for one that is not there or tells another number of speakers apart.
    """
    if Path(name).is_file():
        file = Diarizer(name, threads=torch.get_num_threads())
        _need_labels(name, len(file.settings.labels))
        return lambda samples: torch.from_numpy(np.stack([file.logits(one) for one in samples.cpu().numpy()])).to(device)
    if not Path(name).is_dir():
        raise OptionError(f"There is no checkpoint {name} to learn activity from.")
    teacher = WavLMForAudioFrameClassification.from_pretrained(Path(name)).eval().requires_grad_(requires_grad=False).to(device)
    _need_labels(name, teacher.config.num_labels)
    return lambda samples: teacher(samples).logits


def _need_labels(name: str, labels: int) -> None:
    if labels != LABELS:
        raise OptionError(f"{name} tells {labels} speakers apart, not {LABELS}: it cannot teach activity.")
