"""A frame classifier and a speaker model in, one PyTorch module that answers for both out: what optimum exports as the portable graph.

Pooling is written so that tracing keeps it for any number of frames: no Python number depends on it.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch

from wavlm_diarizer.model_file import EMBEDDING_FRAMES, EMBEDDINGS, OUTPUT
from wavlm_export.graph.speaker import NORMALISE_EPSILON
from wavlm_export.pooling import LEAST_FRAMES

if TYPE_CHECKING:
    from wavlm_export.checkpoint import Checkpoint
    from wavlm_export.speaker_model import SpeakerModel


class TwoHeads(torch.nn.Module):
    """``input_values`` ``[batch, samples]`` to logits, embeddings and the frames of each; copies of the models, which stay as they are."""

    def __init__(self, checkpoint: Checkpoint, speaker: SpeakerModel) -> None:
        super().__init__()
        self.config = checkpoint.config
        self.classifier = copy.deepcopy(checkpoint.model)
        whole: Any = copy.deepcopy(speaker.model)
        self.backbone = None if speaker.shared else whole.base_model
        self.normalises = speaker.normalises
        self.layer_weights = getattr(whole, "layer_weights", None)
        self.projector, self.tdnn, self.last = whole.projector, whole.tdnn, whole.feature_extractor
        self.context = speaker.context

    def forward(self, input_values: torch.Tensor) -> dict[str, torch.Tensor]:
        """Answer as the exported graph does."""
        if self.backbone is None:
            answer = self.classifier(input_values, output_hidden_states=True, return_dict=True)
            logits, states = answer.logits, answer.hidden_states
        else:
            logits = self.classifier(input_values).logits
            own = _normalised(input_values) if self.normalises else input_values
            states = self.backbone(own, output_hidden_states=True, return_dict=True).hidden_states
        embeddings, counts = self._pooled(self._frames(states), self._alone(logits))
        return {OUTPUT: logits, EMBEDDINGS: embeddings, EMBEDDING_FRAMES: counts}

    def _frames(self, states: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """The TDNN's output for every encoder frame; the last of them is repeated beyond the end: ``[batch, frames, width]``."""
        if self.layer_weights is None:
            mixed = states[-1]
        else:
            shares = torch.softmax(self.layer_weights, dim=-1)
            mixed = (torch.stack(states, dim=1) * shares.view(-1, 1, 1)).sum(dim=1)
        count = mixed.shape[1]
        values: torch.Tensor = self.projector(mixed[:, torch.arange(count + self.context.beyond).clamp(max=count - 1)])
        for layer in self.tdnn:
            values = layer(values)
        return values

    def _alone(self, logits: torch.Tensor) -> torch.Tensor:
        """1 where a label is the only one that is on at the frame that a TDNN output belongs to, else 0: ``[batch, labels, frames]``."""
        on = (logits > 0).to(logits.dtype)
        alone = torch.relu(2 * on - on.sum(dim=-1, keepdim=True))
        frame = torch.arange(logits.shape[1])
        last = logits.shape[1] - 1
        # Outputs that are made from repeated frames are not counted.
        counted = (frame + self.context.beyond <= last).to(logits.dtype)
        middle = alone[:, (frame + self.context.offset).clamp(max=last)]
        return (middle * counted[None, :, None]).transpose(1, 2)

    def _pooled(self, frames: torch.Tensor, alone: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings ``[batch, labels, size]`` of the frames under each label, and how many those are."""
        count = alone.sum(dim=-1, keepdim=True)
        mean = alone @ frames / count.clamp(min=1)
        apart = frames[:, None] - mean[:, :, None]
        squares = (alone[:, :, None] @ (apart * apart)).squeeze(2)
        deviation = (squares / (count - 1).clamp(min=1)).sqrt()
        embedding = self.last(torch.cat([mean, deviation], dim=-1))
        return torch.where(count >= LEAST_FRAMES, embedding, torch.zeros_like(embedding)), count.squeeze(-1).to(torch.int64)


def _normalised(windows: torch.Tensor) -> torch.Tensor:
    """Windows ``[batch, samples]`` of zero mean and unit variance each."""
    exact = windows.double()
    apart = exact - exact.mean(dim=1, keepdim=True)
    return (apart / (apart.square().mean(dim=1, keepdim=True) + NORMALISE_EPSILON).sqrt()).float()
