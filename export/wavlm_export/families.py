"""The families of checkpoints that go through the export, in one table: a new one is a line here (and a class if transformers has none)."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Family:
    """One ``model_type`` of transformers."""

    architecture: str
    """The class that its checkpoints name."""
    module: str
    """Where that class is."""
    speaker_architecture: str
    """transformers' class of x-vector models, empty if it has none."""
    onnx_config: str
    """optimum's description of its inputs and outputs, in ``optimum.exporters.onnx.model_configs``."""


FAMILIES = {
    "wavlm": Family("WavLMForAudioFrameClassification", "transformers", "WavLMForXVector", "WavLMOnnxConfig"),
    "unispeech-sat": Family("UniSpeechSatForAudioFrameClassification", "transformers", "UniSpeechSatForXVector", "UniSpeechSATOnnxConfig"),
    "wav2vec2": Family("Wav2Vec2ForAudioFrameClassification", "transformers", "Wav2Vec2ForXVector", "Wav2Vec2OnnxConfig"),
    "hubert": Family("HubertForAudioFrameClassification", "wavlm_export.hubert", "", "HubertOnnxConfig"),
}


def frame_classifier(family: Family) -> Any:
    """The family's class of frame classifiers."""
    return getattr(import_module(family.module), family.architecture)


def speaker_model(family: Family) -> Any:
    """The family's class of x-vector models."""
    return getattr(import_module("transformers"), family.speaker_architecture)
