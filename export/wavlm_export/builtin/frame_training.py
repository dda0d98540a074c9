"""Training that asks for who speaks when and, of whoever speaks alone, for all that a voice teacher makes of every frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from wavlm_diarizer.errors import OptionError
from wavlm_export.builtin import losses, prepare, training
from wavlm_export.builtin.conversations_of_takes import ConversationsOfTakes
from wavlm_export.builtin.file_states import states_of
from wavlm_export.builtin.frame_losses import FrameLoss
from wavlm_export.builtin.frame_teacher import FrameTeacher
from wavlm_export.builtin.model import activity_weights, mixed_states
from wavlm_export.builtin.normed_head import NormedHead
from wavlm_export.builtin.takes import Takes

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from wavlm_export.builtin.config import Recipe
    from wavlm_export.builtin.model import Student

FIRST_BLOCK = 3
"""The state that learns what the teacher's first block hands on, counted from the one before the first layer; the last one of fewer."""
LEFT_OUT = -30.0
"""The logarithm of the weight of a state that the voice head does not hear."""
BOTH_TALK = 1.2
"""How many people at once a frame has to have, by likelihood, for counting as overlap."""


class FrameLearner(torch.nn.Module):
    """A student with its frames before the last rectifier, and what only this training uses."""

    def __init__(
        self, student: Student, early: int, *, only_frames: bool = False, only_voice: bool = False, first_state: bool = False
    ) -> None:
        """``early``: the width of the teacher's first block.

        ``only_frames``: nothing is asked of the transformer; ``only_voice``: the whole backbone stays as it is; ``first_state``: the voice
        head hears the state before the first layer and no other.
        """
        super().__init__()
        self.first_state = first_state
        self.student, self.only_frames, self.only_voice = student, only_frames, only_voice
        self.head = NormedHead(student.sv)
        self.early = torch.nn.Linear(student.sd.config.hidden_size, early)

    def forward(self, samples: torch.Tensor, heard: torch.Tensor | None = None) -> tuple[torch.Tensor | None, torch.Tensor, torch.Tensor]:
        """Logits ``[batch, frames, 3]``, late ``[batch, frames', 512]`` and early ``[batch, frames, 256]`` for ``[batch, n]``.

        The logits are ``None`` where only frames are learned. ``heard``: the states ``[batch, states, frames, hidden]`` that the backbone
        makes of these samples, where only the voice head learns and they are known.
        """
        if self.only_voice:
            if heard is None:
                with torch.no_grad():
                    heard = self._heard(samples)
            late = self.head(mixed_states(heard, self.student.sv.layer_weights[: heard.shape[1]]))
            return None, late, self.early(heard[:, min(FIRST_BLOCK, heard.shape[1] - 1)])
        if self.only_frames:
            state = self.student.first_state(samples)
            return None, self.head(state), self.early(state)
        activity = self.student.sd
        _, states = self.student.states(samples)
        stacked = torch.stack(states, dim=1)
        late = self.head(mixed_states(stacked, self.student.sv.layer_weights))
        early = self.early(states[min(FIRST_BLOCK, len(states) - 1)])
        return activity.classifier(mixed_states(stacked, activity.layer_weights)), late, early

    def _heard(self, samples: torch.Tensor) -> torch.Tensor:
        """The states ``[batch, states, frames, hidden]`` that the voice head hears of ``[batch, n]``."""
        if self.first_state:
            return self.student.first_state(samples)[:, None]
        return torch.stack(self.student.states(samples)[1], dim=1)


class FrameTrainer(training.Trainer):
    """A trainer of conversations of takes."""

    learns_places = False

    def __init__(self, recipe: Recipe, rank: int = 0) -> None:
        """Raises :class:`OptionError` without takes or their teacher, or if the voice head cannot make the teacher's frames."""
        self._takes, self._last = Takes(recipe.takes.folder), FrameTeacher(recipe.data.voice_teacher).last
        width, frames = len(self._last[1]), self._takes[0].late.shape[1]
        sizes = recipe.model
        if (sizes.tdnn[-1], sizes.tdnn_kernel[-1], sizes.embedding) != (frames, 1, width):
            raise OptionError(
                f"The voice teacher's frames have {frames} numbers and its embeddings {width}: set the last of model.tdnn to {frames}, "
                f"the last of model.tdnn_kernel to 1, and model.embedding to {width}."
            )
        settings = recipe.training
        self._loss = FrameLoss(self._takes, self._last, place=settings.frames_place, apart=settings.frames_apart)
        super().__init__(recipe, rank)
        self._loss.to(self.device)
        self._states = states_of(settings.heard_by) if settings.heard_by else None
        noise, labels = prepare.noises(recipe.data.noises), recipe.takes.labels_weight
        self.conversations = ConversationsOfTakes(self._takes, self.conversations.cast, recipe.simulation, settings.seed, noise, labels)

    def whole(self) -> FrameLearner:
        """The student with its teacher's last layer, which stays, and what makes the teacher's early frames of one of its states."""
        student, settings = self.student, self.settings
        last = student.sv.feature_extractor.requires_grad_(requires_grad=False)
        heard = 1 if settings.only_frames else settings.voice_states
        with torch.no_grad():
            for own, given in zip((last.weight, last.bias), self._last, strict=True):
                own.copy_(torch.from_numpy(given))
            if heard:
                student.sv.layer_weights[heard:] = LEFT_OUT
        if settings.only_frames:
            for weight in (*activity_weights(student), student.sv.layer_weights):
                weight.requires_grad = False
        self.frame_learner = FrameLearner(
            student,
            self._takes[0].early.shape[1],
            only_frames=settings.only_frames,
            only_voice=settings.only_voice,
            first_state=heard == 1,
        )
        if self.voice_taken:
            some = [one.samples.astype(np.float32) / 32768 for one in (self._takes[number] for number in range(min(len(self._takes), 32)))]
            with torch.no_grad():
                states = torch.stack(student.states(torch.from_numpy(np.stack(some)))[1], dim=1)
                self.frame_learner.head.take_over(mixed_states(states, student.sv.layer_weights))
        return self.frame_learner

    def as_written(self) -> AbstractContextManager[None]:
        """While in it, the batch norms are folded into the student's voice head."""
        return self.frame_learner.head.folded()

    def parts(self, batch: training.Batch) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
        """The losses of a batch of :class:`conversations_of_takes.HeardConversation`, and what each counts for."""
        samples, likely, early, late, owner, pooled = batch
        heard = (self._states(samples),) if self._states else ()
        with torch.autocast(self.device.type, torch.bfloat16):
            logits, found_late, found_early = self.answer(samples, *heard)
        parts = {"frames": self._loss(self.student, found_late, found_early, late, early, owner, pooled)}
        if logits is not None:
            likely = likely[:, : logits.shape[1]]
            weighted = 1 + self.settings.overlap_weight * (likely.sum(dim=2) > BOTH_TALK)
            parts["activity"] = losses.activity_loss(logits, likely, weighted)
        return parts, {"activity": 1.0, "frames": self.settings.frames_weight}

    def validate(self) -> float | None:
        """The activity loss on fixed conversations of unseen voices; None without such voices, or if only frames are learned."""
        return None if self.settings.only_frames else super().validate()
