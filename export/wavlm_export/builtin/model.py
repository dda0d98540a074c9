"""The small WavLM: activity of three local speakers and a voice embedding on one backbone, saved as transformers' own classes."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from types import MethodType
from typing import TYPE_CHECKING, Any

import torch
from transformers import WavLMConfig, WavLMForAudioFrameClassification, WavLMForXVector

from wavlm_diarizer.errors import OptionError
from wavlm_export.builtin.config import LABELS
from wavlm_export.builtin.losses import MELS

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from wavlm_export.builtin.config import Model

PREPROCESSOR = {
    "do_normalize": False,
    "feature_extractor_type": "Wav2Vec2FeatureExtractor",
    "feature_size": 1,
    "padding_side": "right",
    "padding_value": 0.0,
    "return_attention_mask": True,
    "sampling_rate": 16000,
}


@dataclass(frozen=True)
class Answer:
    """What the student says about a batch of windows."""

    activity: torch.Tensor
    """Logits ``[batch, frames, 3]``."""
    voices: torch.Tensor
    """``[batch, frames, embedding]``: where in the space of voices each frame's is."""
    mels: torch.Tensor
    """``[batch, frames, 40]``, from the convolution stack alone."""
    frames: torch.Tensor
    """``[batch, frames', tdnn]``, what the voice head pools; fewer frames by its context."""


def wavlm_config(sizes: Model) -> WavLMConfig:
    """The architecture: WavLM's kernels and strides, group norm in the first convolution, no dropout (a small model underfits)."""
    return WavLMConfig(
        hidden_size=sizes.hidden,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        intermediate_size=4 * sizes.hidden,
        conv_dim=sizes.conv_dim,
        conv_kernel=sizes.conv_kernel,
        conv_stride=sizes.conv_stride,
        conv_bias=sizes.conv_bias,
        num_conv_pos_embeddings=64,
        num_conv_pos_embedding_groups=8,
        num_buckets=128,
        max_bucket_distance=400,
        use_weighted_layer_sum=True,
        num_labels=2,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        feat_proj_dropout=0.0,
        final_dropout=0.0,
        layerdrop=0.0,
        mask_time_prob=0.0,
        apply_spec_augment=False,
        feat_extract_norm="group",
        do_stable_layer_norm=False,
        tdnn_dim=sizes.tdnn,
        tdnn_kernel=sizes.tdnn_kernel,
        tdnn_dilation=sizes.tdnn_dilation,
        xvector_output_dim=sizes.embedding,
    )


class Student(torch.nn.Module):
    """Two of transformers' models that share one backbone, and the helper heads that only training uses."""

    def __init__(self, sizes: Model, people: int, centres: torch.Tensor | None = None) -> None:
        """``centres``: places ``[people, embedding]`` of the people in the embedding space, which stay; ``None``: they are learned."""
        super().__init__()
        if centres is not None and centres.shape != (people, sizes.embedding):
            raise OptionError(f"The voice teacher's embeddings are {centres.shape[1]} wide: set model.embedding to that.")
        config = wavlm_config(sizes)
        config.num_labels = LABELS
        config.id2label = {label: f"SPEAKER_{label}" for label in range(LABELS)}
        config.label2id = {name: label for label, name in config.id2label.items()}
        self.sd = WavLMForAudioFrameClassification(config)
        # Its own objective stays unused, and so as small as it may be.
        self.sv = WavLMForXVector(wavlm_config(sizes))
        self.sv.wavlm = self.sd.wavlm
        self.voices = torch.nn.Linear(sizes.hidden, sizes.embedding)
        self.mels = torch.nn.Linear(sizes.conv_dim[-1], MELS)
        # Centres of the margin softmax, one per person: the x-vector class's own objective, kept with its scale and margin in losses.py.
        self.centres = torch.nn.Parameter(0.1 * torch.randn(people, sizes.embedding) if centres is None else centres.clone())
        self.centres.requires_grad_(centres is None)
        for layer in self.sd.wavlm.encoder.layers:
            layer.attention.forward = MethodType(_attention, layer.attention)

    def forward(self, samples: torch.Tensor) -> Answer:
        """All heads for ``[batch, n]``."""
        features, states = self.states(samples)
        stacked = torch.stack(states, dim=1)
        voice = self.pooled_frames(mixed_states(stacked, self.sv.layer_weights))
        activity = self.sd.classifier(mixed_states(stacked, self.sd.layer_weights))
        return Answer(activity, self.voices(states[-2]), self.mels(features), voice)

    def mixed(self, samples: torch.Tensor) -> torch.Tensor:
        """What the voice head is given for ``[batch, n]``: the weighted states ``[batch, frames, hidden]``."""
        return mixed_states(torch.stack(self.states(samples)[1], dim=1), self.sv.layer_weights)

    def pooled_frames(self, state: torch.Tensor) -> torch.Tensor:
        """What the voice head pools ``[batch, frames', tdnn]``, made of the states that it is given ``[batch, frames, hidden]``."""
        frames: torch.Tensor = self.sv.projector(state)
        for layer in self.sv.tdnn:
            frames = layer(frames)
        return frames

    def first_state(self, samples: torch.Tensor) -> torch.Tensor:
        """The state before the first layer ``[batch, frames, hidden]`` for ``[batch, n]``: the first of :meth:`states`."""
        encoder = self.sd.wavlm.encoder
        hidden, _ = self.sd.wavlm.feature_projection(self.sd.wavlm.feature_extractor(samples).transpose(1, 2))
        state: torch.Tensor = encoder.layer_norm(hidden + encoder.pos_conv_embed(hidden))
        return state

    def states(self, samples: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """What the convolutions hand on ``[batch, frames, channels]``, and the states of all layers ``[batch, frames, hidden]``."""
        backbone = self.sd.wavlm
        features = backbone.feature_extractor(samples).transpose(1, 2)
        hidden, _ = backbone.feature_projection(features)
        return features, backbone.encoder(hidden, output_hidden_states=True, return_dict=True).hidden_states

    def embeddings(self, frames: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Embeddings ``[n, width]`` of weighted frames ``[n, frames', tdnn]``; with equal weights those of ``WavLMForXVector``."""
        embeddings: torch.Tensor = self.sv.feature_extractor(self.statistics(frames, weight))
        return embeddings

    def statistics(self, frames: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """What the voice head pools of weighted frames: their mean and standard deviation ``[n, 2 * tdnn]``."""
        share = (weight / weight.sum(dim=1, keepdim=True).clamp(min=1e-6))[..., None]
        wide = frames.float()
        mean = (wide * share).sum(dim=1)
        variance = ((wide - mean[:, None]).square() * share).sum(dim=1)
        return torch.cat((mean, (variance + 1e-6).sqrt()), dim=1)


def start_from(student: Student, folder: str | Path, *, deeper: bool = False, voice: bool = True) -> bool:
    """Take the backbone and the activity head of a saved ``sd`` folder, and the voice head if an ``sv`` folder lies beside it.

    Whether a voice head was taken.

    Without ``voice``, or where the layers of that one are others than the student's, the student keeps its own.
    Voices of fewer numbers than the student's, as :mod:`projection` makes them, become the first of those; the rest begins as zeros.
    A folder that is not there raises :class:`OptionError`, and so does another number of layers, unless ``deeper`` allows the student to
    have more: then it begins with about what the saved ones say, and those on top of them add nothing until they have learned to.
    """
    if not Path(folder).is_dir():
        raise OptionError(f"There is no checkpoint {folder} to start from.")
    source = WavLMForAudioFrameClassification.from_pretrained(Path(folder))
    saved, own_layers = source.config.num_hidden_layers, student.sd.config.num_hidden_layers
    if saved > own_layers or (saved < own_layers and not deeper):
        raise OptionError(f"{folder} has {saved} layers and the recipe {own_layers}: set model.layers to {saved}.")
    student.sd.load_state_dict(_grown(source.state_dict(), saved, own_layers))
    beside = voice_folder(folder)
    if voice and beside is not None and _same_layers(student.sv.config, WavLMConfig.from_pretrained(beside)):
        trained = _grown(WavLMForXVector.from_pretrained(beside).state_dict(), saved, own_layers)
        own = student.sv.state_dict()
        trained = widened(trained, own)
        student.sv.load_state_dict({name: trained[name] if trained[name].shape == value.shape else value for name, value in own.items()})
        return True
    return False


def _same_layers(one: WavLMConfig, other: WavLMConfig) -> bool:
    """Whether two voice heads have the same layers, but for the last."""
    return all(list(getattr(one, name)) == list(getattr(other, name)) for name in ("tdnn_dim", "tdnn_kernel", "tdnn_dilation"))


def like(sizes: Model, folder: str | Path) -> Model:
    """The sizes of a recipe with the layers of the voice head that lies beside an ``sd`` folder, if there is one."""
    beside = voice_folder(folder)
    if beside is None:
        return sizes
    saved = WavLMConfig.from_pretrained(beside)
    return replace(sizes, tdnn=tuple(saved.tdnn_dim), tdnn_kernel=tuple(saved.tdnn_kernel), tdnn_dilation=tuple(saved.tdnn_dilation))


def widened(trained: dict[str, torch.Tensor], own: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of a voice head with fewer numbers a voice than ``own`` has as one with as many, of which the rest begins as zeros."""
    wider = dict(trained)
    for name in ("feature_extractor.weight", "feature_extractor.bias"):
        narrow, wide = trained[name], own[name]
        if len(narrow) < len(wide) and narrow.shape[1:] == wide.shape[1:]:
            wider[name] = torch.cat((narrow, wide.new_zeros(len(wide) - len(narrow), *wide.shape[1:])))
    return wider


def _grown(trained: dict[str, torch.Tensor], saved: int, layers: int) -> dict[str, torch.Tensor]:
    """Weights of ``saved`` layers as those of ``layers``, at least as many: what is on top are copies of the last that add nothing yet."""
    if layers == saved:
        return trained
    grown = dict(trained)
    top = f"wavlm.encoder.layers.{saved - 1}."
    weight, bias = (trained[f"{top}final_layer_norm.{name}"] for name in ("weight", "bias"))
    # What the last layer gives out has about this mean and spread over its channels, so that normalising it again leaves it as it is.
    mean, spread = bias.mean(), (weight.square().mean() + bias.var(correction=0)).sqrt()
    for name in [one for one in trained if one.startswith(top)]:
        rest = name.removeprefix(top)
        for layer in range(saved, layers):
            value = trained[name].clone()
            if rest.startswith(("attention.out_proj.", "feed_forward.output_dense.")):
                value = torch.zeros_like(value)
            elif "layer_norm." in rest:
                value = torch.full_like(value, float(spread if rest.endswith("weight") else mean))
            grown[f"wavlm.encoder.layers.{layer}.{rest}"] = value
    # The last state's share goes to it and to its copies.
    mixed, more = trained["layer_weights"], layers - saved
    share = (mixed[-1:] - math.log(more + 1)).expand(more + 1)
    grown["layer_weights"] = torch.cat((mixed[:-1], share))
    return grown


def voice_folder(folder: str | Path) -> Path | None:
    """The ``sv`` folder beside an ``sd`` one (``builtin-sv`` beside ``builtin-sd``); None if there is none."""
    source = Path(folder)
    beside = source.with_name(source.name.removesuffix("sd") + "sv")
    return beside if source.name.endswith("sd") and beside.is_dir() else None


def needed_voice_folder(folder: str | Path) -> Path:
    """The same, or :class:`OptionError` if there is none."""
    beside = voice_folder(folder)
    if beside is None:
        raise OptionError(f"There is no checkpoint with a voice head beside {folder}: to a folder ...sd belongs one ...sv.")
    return beside


def freeze(student: Student, convolutions: int, *, only_voice: bool = False) -> None:
    """Keep the first so many convolutions of the backbone as they are, or everything but the voice head."""
    if only_voice:
        student.requires_grad_(requires_grad=False)
        for part in (student.sv.projector, student.sv.tdnn, student.sv.feature_extractor):
            part.requires_grad_(requires_grad=True)
        student.sv.layer_weights.requires_grad_(requires_grad=True)
    extractor = student.sd.wavlm.feature_extractor
    for layer in extractor.conv_layers[:convolutions]:
        layer.requires_grad_(requires_grad=False)
    # transformers asks for gradients of the samples, which nobody uses and which would undo what frozen layers save.
    extractor._requires_grad = False  # noqa: SLF001


def activity_weights(student: Student) -> list[torch.nn.Parameter]:
    """The weights that a voice head on the first state does not need: the transformer's layers and the activity head."""
    return [*student.sd.wavlm.encoder.layers.parameters(), *student.sd.classifier.parameters(), student.sd.layer_weights]


def save(student: Student, folder: str | Path) -> None:
    """Write ``sd`` and ``sv`` as :func:`save_pair` does."""
    save_pair(student.sd, student.sv, folder)


def save_pair(sd: PreTrainedModel, sv: PreTrainedModel, folder: str | Path) -> None:
    """Write two models on one backbone as Hugging Face folders ``sd`` and ``sv`` of float32 safetensors, each aside and then renamed."""
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    for name, model in (("sd", sd), ("sv", sv)):
        aside, old = root / f"{name}.part", root / f"{name}.old"
        for leftover in (aside, old):
            shutil.rmtree(leftover, ignore_errors=True)
        model.save_pretrained(aside)
        (aside / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR, indent=2) + "\n", encoding="utf-8")
        if (root / name).exists():
            (root / name).replace(old)
        aside.replace(root / name)
        shutil.rmtree(old, ignore_errors=True)


def mixed_states(states: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The weighted sum of layers ``[batch, layers, frames, width]``."""
    return (states * torch.softmax(weights, dim=-1).to(states.dtype).view(1, -1, 1, 1)).sum(dim=1)


def _attention(  # the signature is WavLMAttention's
    self: Any,
    hidden_states: torch.Tensor,
    attention_mask: torch.Tensor | None = None,  # noqa: ARG001 - windows of a batch are equally long
    position_bias: torch.Tensor | None = None,
    output_attentions: bool = False,  # noqa: ARG001 - never asked for here
    index: int = 0,  # noqa: ARG001
) -> tuple[torch.Tensor, None, torch.Tensor]:
    """WavLM's gated relative attention in plain products, which the compiler understands (transformers calls a fused one)."""
    batch, frames, width = hidden_states.shape
    if position_bias is None:
        position_bias = self.compute_bias(frames, frames)[None]
    heads = hidden_states.view(batch, frames, self.num_heads, self.head_dim).transpose(1, 2)
    gates = torch.sigmoid(self.gru_rel_pos_linear(heads).view(batch, self.num_heads, frames, 2, 4).sum(-1))
    first, second = gates.chunk(2, dim=-1)
    gate = first * (second * self.gru_rel_pos_const - 1.0) + 2.0
    query, key, value = (
        part(hidden_states).view(batch, frames, self.num_heads, self.head_dim).transpose(1, 2)
        for part in (self.q_proj, self.k_proj, self.v_proj)
    )
    weights = torch.softmax(query * self.scaling @ key.transpose(-1, -2) + gate * position_bias, dim=-1)
    mixed = (weights.to(value.dtype) @ value).transpose(1, 2).reshape(batch, frames, width)
    return self.out_proj(mixed), None, position_bias
