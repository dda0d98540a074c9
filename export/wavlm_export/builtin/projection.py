"""A trained pair in, the same pair out whose voice head knows what to ignore: its last layer is followed by a linear projection.

The embeddings of one person differ from window to window: other words, another room, noise, who else talks. Linear discriminant analysis
finds the directions in which they differ little compared with how far people lie apart, and weighs those; the others are left out, so the
embeddings become shorter too (for its place in speaker recognition see Dehak et al. 2011, "Front-end factor analysis for speaker
verification"). Being linear, it costs nothing: it is multiplied into the head's last layer, or takes its place. A head whose frames are
those of a teacher may have the teacher's last layer instead, which heard thousands of people; of ours it learns where they lie on average.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from transformers import WavLMForAudioFrameClassification, WavLMForXVector

from wavlm_diarizer.errors import OptionError
from wavlm_export.builtin import losses, model, training
from wavlm_export.builtin.frame_teacher import FrameTeacher

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from wavlm_export.builtin.config import Projection, Recipe

SEED = 991
"""Of the conversations, which are none of those of the training."""
ALONE_SECONDS, ALONE_SPEAKERS = 4.0, (0.0, 1.0)
"""Beside the recipe's conversations there are shorter windows of one person each, so that every voice is heard."""
UNUSED = ("classifier.", "objective.")
"""Parts of the class that are behind the embedding."""


def project(recipe: Recipe, checkpoint: str | None, output: str | Path, report: Callable[[str], None]) -> Path:
    """Write the pair of ``checkpoint`` (its ``sd`` folder; default: the run's own) with a projected voice head as ``output/sd`` and ``sv``.

    The projection is learned on conversations of the packed voices that are not held out. The path of ``output/sd``. Raises
    :class:`OptionError` if there is no voice head, if it is projected already (unless what it pools is projected), if too few people
    were heard, or if the teacher's last layer does not fit what is pooled.
    """
    source = training.trained(recipe, checkpoint)
    beside = model.needed_voice_folder(source)
    head = WavLMForXVector.from_pretrained(beside)
    settings = recipe.projection
    pooled = settings.pooled or settings.taught
    if not pooled and head.config.xvector_output_dim != recipe.model.embedding:
        raise OptionError(
            f"The voices of {beside} have {head.config.xvector_output_dim} numbers, not model.embedding = {recipe.model.embedding}: "
            "a head is projected once, after its training."
        )
    last = _fitting(head, FrameTeacher(recipe.data.voice_teacher).last) if settings.taught else None
    torch.set_num_threads(recipe.training.threads)
    student = model.Student(model.like(recipe.model, source), 2)
    model.start_from(student, source)
    voices, people = heard(recipe, student.eval(), student.statistics if pooled else student.embeddings)
    report(f"{len(people)} voices of {len(np.unique(people))} people")
    if last is not None:
        narrow = with_last_layer(head, last, -voices.mean(axis=0) @ last.T)
    elif settings.pooled:
        narrow = with_last_layer(head, *of_pooled(voices, people, settings))
    else:
        scale = float(np.linalg.norm(voices, axis=1).mean())
        unit = voices / (np.linalg.norm(voices, axis=1, keepdims=True) + 1e-9)
        narrow = projected(head, discriminants(unit, people, settings.width, settings.shrinkage) / scale, scale * unit.mean(axis=0))
    model.save_pair(WavLMForAudioFrameClassification.from_pretrained(source), narrow, output)
    report(f"voices of {narrow.config.xvector_output_dim} numbers: {Path(output) / 'sd'}")
    return Path(output) / "sd"


def heard(
    recipe: Recipe, student: model.Student, embed: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """What ``embed`` makes of everybody who is alone for a second in a simulated window ``[n, width]``, and who each of them is ``[n]``.

    ``embed``: :meth:`model.Student.embeddings` or :meth:`model.Student.statistics`.
    """
    settings, batch = recipe.projection, recipe.training.batch
    found: list[tuple[NDArray[np.float32], NDArray[np.int64]]] = []
    alone = replace(recipe.simulation, seconds=ALONE_SECONDS, speakers=ALONE_SPEAKERS)
    for simulation, windows in ((alone, settings.alone), (recipe.simulation, settings.conversations)):
        for samples, activity, counted, people, _ in training.simulated(recipe, simulation, SEED, windows // batch):
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
                answer = student(samples)
            frames = answer.activity.shape[1]
            target = losses.voice_target(activity[:, :frames], people, counted[:, :frames])
            window, column, mask = training.alone(answer.frames, target, people)
            with torch.inference_mode():
                embeddings = embed(answer.frames[window].float(), mask)
            found.append((embeddings.numpy(), people[window, column].numpy()))
    if not found:
        raise OptionError("No window was heard: raise projection.alone and projection.conversations to at least training.batch.")
    return np.concatenate([one for one, _ in found]).astype(np.float64), np.concatenate([who for _, who in found])


def discriminants(embeddings: NDArray[np.float64], people: NDArray[np.int64], width: int, shrinkage: float) -> NDArray[np.float64]:
    """The ``[dim, width]`` directions that tell people apart best, each with a variance of 1 within people.

    ``embeddings`` ``[n, dim]``. ``shrinkage``: the share of the variance within people that is taken for the same in all directions,
    because there are few windows of each. Raises :class:`OptionError` if not more than ``width`` people were heard twice.
    """
    names, person = np.unique(people, return_inverse=True)
    windows = np.bincount(person)
    if np.sum(windows > 1) <= width or width > embeddings.shape[1]:
        raise OptionError(
            f"A projection to {width} numbers needs embeddings of at least {width}, and more than {width} people who were heard twice; "
            f"here {np.sum(windows > 1)} were, with embeddings of {embeddings.shape[1]}: lower projection.width."
        )
    means = np.stack([embeddings[person == one].mean(axis=0) for one in range(len(names))])
    apart = embeddings - means[person]
    within = apart.T @ apart / (len(embeddings) - len(names))
    # What the means of few windows differ by chance is not how far people lie apart.
    between = np.cov(means.T) - within * np.mean(1 / windows)
    dim = len(within)
    whitening = np.linalg.cholesky(np.linalg.inv((1 - shrinkage) * within + shrinkage * np.trace(within) / dim * np.eye(dim)))
    _, vectors = np.linalg.eigh(whitening.T @ between @ whitening)
    directions: NDArray[np.float64] = whitening @ vectors[:, ::-1][:, :width]
    return directions


def of_pooled(
    statistics: NDArray[np.float64], people: NDArray[np.int64], settings: Projection
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weight ``[width, dim]`` and bias ``[width]`` of the last layer that makes discriminants of what is pooled ``[n, dim]``."""
    middle, spread = statistics.mean(axis=0), statistics.std(axis=0) + 1e-6
    weight = discriminants((statistics - middle) / spread, people, settings.width, settings.shrinkage) / spread[:, None]
    return weight.T, -middle @ weight


def _fitting(head: WavLMForXVector, last: tuple[NDArray[np.float32], NDArray[np.float32]]) -> NDArray[np.float64]:
    """The weight ``[width, dim]`` of the teacher's ``last`` layer, if it is for as many numbers as the head pools."""
    needed, pooled = last[0].shape[1], 2 * head.config.tdnn_dim[-1]
    if needed != pooled:
        raise OptionError(
            f"projection.taught needs a head that pools what its teacher does, {needed} numbers, not {pooled}: "
            "its last tdnn width is to be half of that."
        )
    return last[0].astype(np.float64)


def projected(head: WavLMForXVector, projection: NDArray[np.float64], centre: NDArray[np.float64]) -> WavLMForXVector:
    """The head whose embeddings are ``(embedding - centre) @ projection``."""
    last = head.feature_extractor
    weight, bias = (value.detach().double().numpy() for value in (last.weight, last.bias))
    return with_last_layer(head, projection.T @ weight, projection.T @ (bias - centre))


def with_last_layer(head: WavLMForXVector, weight: NDArray[np.float64], bias: NDArray[np.float64]) -> WavLMForXVector:
    """The head with another last layer; its classifier, which nobody uses, is a new one."""
    config = deepcopy(head.config)
    config.xvector_output_dim = len(bias)
    narrow = WavLMForXVector(config)
    kept = {name: value for name, value in head.state_dict().items() if not name.startswith(("feature_extractor.", *UNUSED))}
    narrow.load_state_dict(kept, strict=False)
    with torch.no_grad():
        narrow.feature_extractor.weight.copy_(torch.from_numpy(weight))
        narrow.feature_extractor.bias.copy_(torch.from_numpy(bias))
        # Two runs write the same file.
        for name, value in narrow.named_parameters():
            if name.startswith(UNUSED):
                value.zero_()
    return narrow
