"""A HuBERT frame classifier: transformers 4.57 has HuBERT for other tasks, but not for this one.

The structure is that of ``Wav2Vec2ForAudioFrameClassification``: a weighted sum of all hidden states (or the last one), then one linear
layer.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import HubertModel, HubertPreTrainedModel
from transformers.modeling_outputs import TokenClassifierOutput


class HubertForAudioFrameClassification(HubertPreTrainedModel):
    """HuBERT with one logit per label and frame: ``[batch, samples]`` to ``[batch, frames, labels]``."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.hubert = HubertModel(config)
        # The embeddings before the first layer, and what every layer gives.
        if config.use_weighted_layer_sum:
            states = config.num_hidden_layers + 1
            self.layer_weights = torch.nn.Parameter(torch.ones(states) / states)
        self.classifier = torch.nn.Linear(config.hidden_size, config.num_labels)
        self.num_labels = config.num_labels
        self.post_init()

    def forward(self, input_values: torch.Tensor) -> TokenClassifierOutput:
        """Classify every frame."""
        outputs = self.hubert(input_values, output_hidden_states=self.config.use_weighted_layer_sum, return_dict=True)
        if self.config.use_weighted_layer_sum:
            weights = torch.nn.functional.softmax(self.layer_weights, dim=-1)
            hidden = (torch.stack(outputs.hidden_states, dim=1) * weights.view(-1, 1, 1)).sum(dim=1)
        else:
            hidden = outputs.last_hidden_state
        return TokenClassifierOutput(logits=self.classifier(hidden))
