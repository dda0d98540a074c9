"""A trained pair in, the same pair out that hears through bands: its convolutions are replaced by :mod:`filter_bank`, and the rest stays.

So that the layers above need not begin anew, the stack first learns to hand on what the old one handed on; and the last layer of the voice
head is fitted to the teacher's places of people, if there is a teacher, as those that a projection made are others.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import WavLMForAudioFrameClassification, WavLMForXVector

from wavlm_diarizer.errors import OptionError
from wavlm_export.builtin import filter_bank, model, projection, training, voice_teacher

if TYPE_CHECKING:
    from collections.abc import Callable

    from wavlm_export.builtin.config import Recipe

WINDOW_SEED = 77
"""Of the conversations that are heard, which are none of those of the training."""
RIDGE = 0.1
"""Of the fit to the teacher's places, as a share of the mean variance."""


def bands(recipe: Recipe, checkpoint: str | None, output: str | Path, report: Callable[[str], None]) -> Path:
    """Write the pair of ``checkpoint`` (its ``sd`` folder; default: what the recipe starts from) with a filter bank.

    It becomes ``output/sd``, whose path is returned, and ``output/sv``. Raises :class:`OptionError` if the recipe's convolutions are no
    filter bank, if there is no such pair, or if its layers have other sizes than the recipe's.
    """
    source = training.trained(recipe, checkpoint or recipe.training.start)
    beside = model.needed_voice_folder(source)
    torch.set_num_threads(recipe.training.threads)
    torch.manual_seed(recipe.training.seed)
    student = model.Student(recipe.model, 2)
    old = WavLMForAudioFrameClassification.from_pretrained(source)
    _take_over(student.sd, old.state_dict(), str(source))
    voices = model.widened(WavLMForXVector.from_pretrained(beside).state_dict(), student.sv.state_dict())
    _take_over(student.sv, voices, str(beside), but=projection.UNUSED)
    filter_bank.begin(student)
    _mimic(recipe, student, old, report)
    if recipe.data.voice_teacher:
        _place(recipe, student, report)
    model.save(student, output)
    report(f"{Path(output) / 'sd'}")
    return Path(output) / "sd"


def _take_over(new: torch.nn.Module, given: dict[str, torch.Tensor], name: str, but: tuple[str, ...] = ()) -> None:
    """The given weights above the convolutions, without those whose names begin with one of ``but``."""
    below, own = ("wavlm.feature_extractor.", "wavlm.feature_projection.", *but), new.state_dict()
    for key, value in own.items():
        if key.startswith(below):
            continue
        if key not in given or given[key].shape != value.shape:
            raise OptionError(f"{name} has layers of other sizes than the recipe: only its convolutions can be others.")
        own[key] = given[key]
    new.load_state_dict(own)


def _mimic(recipe: Recipe, student: model.Student, old: WavLMForAudioFrameClassification, report: Callable[[str], None]) -> None:
    """Teach the student's convolutions, and the projection after them, to hand on what the old ones handed on."""
    settings, backbone = recipe.bands, student.sd.wavlm
    for one in (backbone, old.wavlm):
        # As in model.freeze: transformers asks for gradients of the samples, which nobody uses.
        one.feature_extractor._requires_grad = False  # noqa: SLF001
    front = [*backbone.feature_extractor.parameters(), *backbone.feature_projection.parameters()]
    optimiser = torch.optim.AdamW(front, lr=settings.peak_rate, betas=(0.9, 0.98), weight_decay=0.0)
    schedule = replace(recipe.training, steps=settings.steps, peak_rate=settings.peak_rate, warmup=50, decay_from=0.5)
    variance, recent = None, []
    windows = training.simulated(recipe, recipe.simulation, WINDOW_SEED, settings.steps)
    for step, (samples, *_) in enumerate(windows):
        for group in optimiser.param_groups:
            group["lr"] = training.learning_rate(step, schedule)
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                wanted = _handed_on(old.wavlm, samples)
            found = _handed_on(backbone, samples)
        frames = min(wanted.shape[1], found.shape[1])
        now = wanted.flatten(0, 1).var(dim=0)
        variance = now if variance is None else 0.98 * variance + 0.02 * now
        loss = ((wanted[:, :frames] - found[:, :frames]).square().mean(dim=(0, 1)) / variance).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(front, recipe.training.clip)
        optimiser.step()
        recent.append(float(loss.detach()))
        if (step + 1) % recipe.training.log_every == 0:
            report(f"step {step + 1} of {settings.steps}: {np.mean(recent):.0%} of the variance is not explained")
            recent = []


def _handed_on(backbone: Any, samples: torch.Tensor) -> torch.Tensor:
    """What the layers get: ``[batch, frames, width]``."""
    handed: torch.Tensor = backbone.feature_projection(backbone.feature_extractor(samples).transpose(1, 2))[0]
    return handed.float()


def _place(recipe: Recipe, student: model.Student, report: Callable[[str], None]) -> None:
    """Fit the last layer of the voice head to the teacher's places of the people, by ridge regression."""
    cast = training.cast(recipe)
    placed, _ = voice_teacher.centres(cast, recipe.data.voice_teacher, Path(recipe.data.packed))
    centres = placed.astype(np.float64)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    if centres.shape[1] != recipe.model.embedding:
        raise OptionError(f"The voice teacher's embeddings are {centres.shape[1]} wide: set model.embedding to that.")
    statistics, people = projection.heard(recipe, student.eval(), student.statistics)
    middle, place = statistics.mean(axis=0), centres[people].mean(axis=0)
    apart = statistics - middle
    scatter = apart.T @ apart
    scatter += RIDGE * np.trace(scatter) / len(scatter) * np.eye(len(scatter))
    weight = np.linalg.solve(scatter, apart.T @ (centres[people] - place))
    last = student.sv.feature_extractor
    with torch.no_grad():
        last.weight.copy_(torch.from_numpy(weight.T))
        last.bias.copy_(torch.from_numpy(place - middle @ weight))
    found = statistics @ weight + place - middle @ weight
    cosine = np.sum(found * centres[people], axis=1) / np.linalg.norm(found, axis=1)
    report(f"{len(people)} voices, at a cosine of {cosine.mean():.2f} with their places")
