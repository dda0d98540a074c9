"""A recording in, the same under worse conditions out: noisy, far away, over a telephone; each time alike for the same name."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

from wavlm_diarizer.errors import OptionError
from wavlm_export.builtin.noise import noise
from wavlm_export.builtin.rooms import companded, convolve, room, telephone

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

NOISE_BELOW_DB = (5.0, 15.0)
"""How far the noise lies below the recording."""


def _noisy(samples: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    level = np.sqrt(np.mean(samples * samples)) * 10 ** (-random.uniform(*NOISE_BELOW_DB) / 20)
    return samples + np.float32(level) * noise(len(samples), None, (), random)


def _reverberant(samples: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    return convolve(samples, room(random, far=True))


def _telephone(samples: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    return companded(telephone(samples), random)


CONDITIONS: dict[str, tuple[Callable[[NDArray[np.float32], np.random.Generator], NDArray[np.float32]], ...]] = {
    "noisy": (_noisy,),
    "reverberant": (_reverberant,),
    "noisy_reverberant": (_reverberant, _noisy),
    "telephone": (_telephone,),
}


def worsened(samples: NDArray[np.float32], condition: str, name: str) -> NDArray[np.float32]:
    """Samples ``[n]`` at 16 kHz under one of :data:`CONDITIONS`, drawn from the recording's name; an unknown one raises ``OptionError``."""
    if condition not in CONDITIONS:
        raise OptionError(f"There is no condition {condition}; there are {', '.join(CONDITIONS)}.")
    random = np.random.default_rng([zlib.crc32(name.encode()), zlib.crc32(condition.encode())])
    for step in CONDITIONS[condition]:
        samples = step(samples, random)
    top = float(np.max(np.abs(samples), initial=0.0))
    quieter: NDArray[np.float32] = (samples / max(1.0, top)).astype(np.float32)
    return quieter
