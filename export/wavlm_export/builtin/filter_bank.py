"""A number of bands in, the first weights of a convolution stack out that is a filter bank.

WavLM's first convolutions see ten samples at a time, and a narrow one has too few channels to tell neighbouring frequencies apart from
that. The filter bank is still a stack of WavLM's own layers, with other kernels and strides: band filters of 25 ms every 10 ms (SincNet,
Ravanelli and Bengio 2018, begins with band filters too), their loudness on a curve that is steep for soft and flat for loud sounds, two
steps to a frame. These are only the weights to begin with, all of them learn. With 80 bands that is a quarter of the arithmetic of the
stack that :class:`config.Model` has by default, the statistics of the norm included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from wavlm_diarizer.errors import OptionError
from wavlm_export.builtin.config import RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wavlm_export.builtin.config import Model
    from wavlm_export.builtin.model import Student

KERNELS, STRIDES = (400, 1, 2), (160, 1, 2)
PHASES = 3
"""Of each filter: the sum of as many rectified ones, evenly apart, hardly depends on where in a period the window begins."""
LOWEST, HIGHEST, WIDEST = 70.0, 7700.0, 170.0
"""Hz of the first and the last band's middle, and the most from one to the next: a longer step would need a shorter filter than 10 ms."""
SHORTEST = 200
"""Samples of the shortest filter."""
GAIN = 16.0
"""Of the normalised bands, so that all but near-silence lies in the straight part of the activation."""
KNEES = ((0.0, 1.0), (2.0, -0.7), (16.0, -0.22))
"""Where, after that gain, the curve of loudness bends, and by how much its slope changes there."""


def wanted(sizes: Model) -> bool:
    """Whether a recipe's convolutions have the kernels and strides of a filter bank."""
    return tuple(sizes.conv_kernel) == KERNELS and tuple(sizes.conv_stride) == STRIDES


def frequencies(count: int) -> NDArray[np.float64]:
    """The middles of the bands in Hz: evenly apart in mel, until that would be more than :data:`WIDEST`."""

    def spread(mels: float) -> NDArray[np.float64]:
        middles = [LOWEST]
        while len(middles) < count:
            mel = 2595 * np.log10(1 + middles[-1] / 700) + mels
            middles.append(min(700 * (10 ** (mel / 2595) - 1), middles[-1] + WIDEST))
        return np.array(middles)

    low, high = 1.0, 1000.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if spread(middle)[-1] > HIGHEST else (middle, high)
    return spread(low)


def filters(count: int) -> NDArray[np.float32]:
    """``[3 * count, 400]``: each band's cosine at three phases under a Hann window about as wide, without a mean."""
    middles = frequencies(count)
    time = np.arange(KERNELS[0]) - (KERNELS[0] - 1) / 2
    found = []
    for middle, step in zip(middles, np.gradient(middles), strict=True):
        # A Hann window of n samples passes 2 / n of the rate at half its height.
        length = np.clip(2 * RATE / (1.5 * step), SHORTEST, KERNELS[0])
        window = np.where(np.abs(time) < length / 2, 0.5 + 0.5 * np.cos(2 * np.pi * time / length), 0)
        window /= window.sum()
        for phase in range(PHASES):
            wave = window * np.cos(2 * np.pi * middle * time / RATE + 2 * np.pi * phase / PHASES)
            found.append(wave - window * wave.sum())
    return np.array(found, dtype=np.float32)


def begin(student: Student) -> None:
    """Make the student's convolutions a filter bank; the projection after it begins anew. Raises :class:`OptionError` for other sizes."""
    config = student.sd.config
    widths = tuple(config.conv_dim)
    count = widths[0] // PHASES
    fits = len(widths) == len(KERNELS) and widths[0] == count * PHASES and widths[1] == count * len(KNEES) and widths[2] >= 2 * count
    if not fits or tuple(config.conv_kernel) != KERNELS or tuple(config.conv_stride) != STRIDES or not config.conv_bias:
        raise OptionError(
            f"A filter bank of n bands has model.conv_kernel = {list(KERNELS)}, conv_stride = {list(STRIDES)}, conv_bias = true and "
            f"conv_dim = [{PHASES} n, {len(KNEES)} n, 2 n or more]; this recipe has other convolutions."
        )
    first, second, third = student.sd.wavlm.feature_extractor.conv_layers
    band = torch.arange(count)
    with torch.no_grad():
        first.conv.weight.copy_(torch.from_numpy(filters(count))[:, None] * 30)
        first.conv.bias.zero_()
        first.layer_norm.weight.fill_(GAIN)
        first.layer_norm.bias.zero_()
        loudness, steps = 0.002 * torch.randn_like(second.conv.weight), 0.01 * torch.randn_like(third.conv.weight)
        for number, (knee, slope) in enumerate(KNEES):
            for phase in range(PHASES):
                loudness[number * count + band, PHASES * band + phase, 0] += 2 / PHASES
            second.conv.bias[number * count + band] = -knee
            # The first half of what is handed on is the mean of a frame's two steps, the second half its second step.
            steps[band, number * count + band] += slope / 2
            steps[count + band, number * count + band, 1] += slope
        second.conv.weight.copy_(loudness)
        third.conv.weight.copy_(steps)
        third.conv.bias.zero_()
        projected = student.sd.wavlm.feature_projection
        torch.nn.init.normal_(projected.projection.weight, std=0.05)
        projected.projection.bias.zero_()
        projected.layer_norm.reset_parameters()
