"""A hub id or a local Hugging Face folder in, a loaded x-vector model and all that is known about it out.

With its embeddings a frame classifier's local speakers become the same people in the whole recording.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from wavlm_diarizer.errors import CheckpointError
from wavlm_diarizer.windows import normalise
from wavlm_export.backbones import difference
from wavlm_export.checkpoint import CONFIG, PREPROCESSOR, digest, license_of, load_model, locate, normalisation, read_json, weight_files
from wavlm_export.families import FAMILIES, speaker_model
from wavlm_export.pooling import LEAST_FRAMES, Context, pooled
from wavlm_export.voices import Voices

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch
    from numpy.typing import NDArray

    from wavlm_export.checkpoint import Checkpoint

UNUSED = re.compile(r"(^|\.)masked_spec_embed$|^objective\.|^classifier\.")
"""Weights that only training uses, and the classifier of training's people, which stands behind the embeddings."""


@dataclass(frozen=True)
class SpeakerModel:
    """An x-vector model in PyTorch, and what an exported file records about it."""

    model: torch.nn.Module
    """In evaluation mode, float32, with eager attention."""
    config: Any
    """Its ``PretrainedConfig``."""
    source: str
    """Hub id, or the folder's name."""
    weights_sha256: str
    do_normalize: bool
    license: str
    apart: str = ""
    """What tells its backbone from the frame classifier's; empty: they are one, and one pass serves both heads."""
    normalises: bool = False
    """It wants the samples normalised, and the frame classifier, which decides what the graph gets, does not."""

    @property
    def shared(self) -> bool:
        """Whether one pass of the backbone serves both heads."""
        return not self.apart

    @property
    def context(self) -> Context:
        """How the frames of its TDNN lie over the encoder's."""
        return Context.of(self.config)

    @property
    def size(self) -> int:
        """Numbers in an embedding."""
        return int(self.config.xvector_output_dim)

    def frames(self, input_values: NDArray[np.float32]) -> NDArray[np.float32]:
        """The output of PyTorch's TDNN ``[batch, tdnn_frames, width]`` for what the graph gets, ``[batch, samples]``.

        There has to be one frame at least: transformers raises for less.
        """
        import torch

        if self.normalises:
            input_values = np.stack([normalise(window) for window in input_values])
        model: Any = self.model
        seen: list[torch.Tensor] = []
        hook = model.tdnn[-1].register_forward_hook(lambda _module, _inputs, output: seen.append(output))
        try:
            with torch.inference_mode(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that one frame has no deviation
                model(torch.from_numpy(input_values))
        finally:
            hook.remove()
        frames: NDArray[np.float32] = seen[0].float().numpy()
        return frames

    def embeddings(self, input_values: NDArray[np.float32], *activities: NDArray[np.float32]) -> list[Voices]:
        """What the graph has to answer: PyTorch's frames, pooled by NumPy.

        ``activities``: logits ``[batch, frames, labels]`` that say who speaks, in one or several ways.
        """
        long_enough = activities[0].shape[1] > self.context.beyond
        frames = list(self.frames(input_values)) if long_enough else []
        return [self._pooled(frames, activity) for activity in activities]

    def _pooled(self, frames: list[NDArray[np.float32]], activity: NDArray[np.float32]) -> Voices:
        """Embeddings from the TDNN's frames of each window; without any, zeros."""
        batch, _, labels = activity.shape
        embeddings = np.zeros((batch, labels, self.size))
        counts = np.zeros((batch, labels), np.int64)
        layer: Any = self.model.feature_extractor
        weight, bias = (value.detach().double().numpy() for value in (layer.weight, layer.bias))
        for row, own in enumerate(frames):
            statistics, counts[row] = pooled(own, self.context.alone(activity[row]))
            enough = counts[row] >= LEAST_FRAMES
            embeddings[row, enough] = statistics[enough] @ weight.T + bias
        return Voices(embeddings, counts)


def with_speaker(checkpoint: Checkpoint, source: str | Path, *, revision: str | None = None, two_passes: bool = False) -> Checkpoint:
    """The checkpoint with a speaker model beside it.

    Raises :class:`CheckpointError` for anything that is not a complete x-vector model for 16 kHz speech, and if its backbone is another
    than the frame classifier's, unless ``two_passes`` allows that.
    """
    speaker = _load(source, revision)
    apart = difference(checkpoint, speaker)
    if apart is None:
        return replace(checkpoint, speaker=speaker)
    if not two_passes:
        raise CheckpointError(
            f"{checkpoint.source} and {speaker.source} do not share a backbone: {apart}; pass --two-passes to run both backbones on every "
            "window, which takes twice the time."
        )
    _check_two_passes(checkpoint, speaker)
    normalises = speaker.do_normalize and not checkpoint.do_normalize
    return replace(checkpoint, speaker=replace(speaker, apart=apart, normalises=normalises))


def _load(source: str | Path, revision: str | None) -> SpeakerModel:
    """Load an x-vector model."""
    folder, name, _ = locate(source, revision)
    config_json = read_json(folder / CONFIG, name)
    do_normalize = normalisation(read_json(folder / PREPROCESSOR, name), name)
    weights = weight_files(folder, name)
    model, config = load_model(folder, _class(config_json, name), name, UNUSED)
    if not len(config.tdnn_dim) == len(config.tdnn_kernel) == len(config.tdnn_dilation):
        raise CheckpointError(f"The {CONFIG} of {name} has TDNN dimensions, kernels and dilations of different number.")
    return SpeakerModel(
        model=model,
        config=config,
        source=name,
        weights_sha256=digest(weights),
        do_normalize=do_normalize,
        license=license_of(name, folder),
    )


def _class(config: Mapping[str, Any], name: str) -> Any:
    """Transformers' class for the config, if it is an x-vector model of a family that has one."""
    named = config.get("architectures")
    architecture = str(named[0]) if isinstance(named, list) and named else ""
    family = FAMILIES.get(str(config.get("model_type")))
    if family is None or not architecture or family.speaker_architecture != architecture:
        known = ", ".join(family.speaker_architecture for family in FAMILIES.values() if family.speaker_architecture)
        raise CheckpointError(f"{name} is a {architecture or 'model of an unnamed class'}; speaker models are {known}.")
    if config.get("add_adapter"):
        raise CheckpointError(f"{name} has an adapter between encoder and TDNN (add_adapter), which is not supported.")
    return speaker_model(family)


def _check_two_passes(checkpoint: Checkpoint, speaker: SpeakerModel) -> None:
    """Raise :class:`CheckpointError` for two backbones whose frames or samples do not fit together."""
    for field in ("conv_kernel", "conv_stride"):
        own, other = list(getattr(checkpoint.config, field)), list(getattr(speaker.config, field))
        if own != other:
            raise CheckpointError(
                f"The frames of {speaker.source} are not those of {checkpoint.source}: its {field} is {other}, not {own}; take another "
                "speaker model."
            )
    if checkpoint.do_normalize and not speaker.do_normalize:
        raise CheckpointError(
            f"{checkpoint.source} wants its samples normalised and {speaker.source} wants them as they are, which one graph cannot have: "
            "take another speaker model."
        )
