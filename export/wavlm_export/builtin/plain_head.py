"""A backbone in, the same backbone out with a voice head that has learned nothing but its last layer.

A voice head that is trained knows the voices that it heard by heart; how the states of the backbone are spread while somebody talks says
as much of a voice that was never heard. So this head hands the mean of the states on as it is, one channel by one, to the pooling of an
x-vector head; and the last layer is that of :mod:`projection`, which no gradient made: the linear discriminants of the pooled means and
deviations. It has a sixth of a trained head's weights, and no run to wait for.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from wavlm_export.builtin import model, projection, training

if TYPE_CHECKING:
    from collections.abc import Callable

    from wavlm_export.builtin.config import Recipe

SEED = 613
"""Of the conversations that the spread of the states is measured on."""
BATCHES = 8
"""So many of those."""
ABOVE = 4.0
"""Deviations by which a channel's mean lies above zero: so far down it is handed on unchanged by a TDNN's rectifier."""
LEFT_OUT = -30.0
"""The logarithm of the weight of a state that does not count."""


def plain(recipe: Recipe, checkpoint: str | None, output: str | Path, report: Callable[[str], None]) -> Path:
    """Write the backbone and the activity head of ``checkpoint`` (an ``sd`` folder; default: the run's own) with such a head.

    They become ``output/sd``, whose path is returned, and ``output/sv``. The discriminants are learned on conversations of the packed
    voices that are not held out, as many as a projection's. Raises :class:`OptionError` as :func:`projection.discriminants` does.
    """
    source = training.trained(recipe, checkpoint)
    sizes = replace(recipe.model, tdnn=(recipe.model.hidden,), tdnn_kernel=(1,), tdnn_dilation=(1,), embedding=recipe.projection.width)
    torch.set_num_threads(recipe.training.threads)
    student = model.Student(sizes, 2)
    model.start_from(student, source, voice=False)
    student.eval()
    _hand_on(recipe, student)
    statistics, people = projection.heard(recipe, student, student.statistics)
    report(f"{len(people)} voices of {len(np.unique(people))} people")
    weight, bias = projection.of_pooled(statistics, people, recipe.projection)
    last = student.sv.feature_extractor
    with torch.no_grad():
        last.weight.copy_(torch.from_numpy(weight))
        last.bias.copy_(torch.from_numpy(bias))
        # Two runs write the same file.
        for name, value in student.sv.named_parameters():
            if name.startswith(projection.UNUSED):
                value.zero_()
    model.save(student, output)
    report(f"voices of {recipe.projection.width} numbers: {Path(output) / 'sd'}")
    return Path(output) / "sd"


def _hand_on(recipe: Recipe, student: model.Student) -> None:
    """Make the layers of the voice head hand on the mean of all states but the last, each channel at the same scale.

    The last state is left out, as it says who of a window's people talks, and no longer with which voice.
    """
    head = student.sv
    with torch.no_grad():
        head.layer_weights.zero_()
        head.layer_weights[-1] = LEFT_OUT
        for layer in (head.projector, head.tdnn[0].kernel):
            torch.nn.init.eye_(layer.weight)
            layer.bias.zero_()
    with torch.no_grad():
        states = [student.mixed(samples).flatten(0, 1) for samples, *_ in training.simulated(recipe, recipe.simulation, SEED, BATCHES)]
        deviation, mean = torch.std_mean(torch.cat(states), dim=0)
        scale = 1 / deviation.clamp(min=1e-4)
        head.projector.weight.copy_(torch.diag(scale))
        head.projector.bias.copy_(ABOVE - mean * scale)
