"""Packed voices and an embedder in, how well it tells people apart out: the equal error rate over pairs of short segments.

Each segment is one person alone for two to four seconds, under conditions of its own, so that a room or a telephone is no help.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wavlm_export.builtin.conditions import CONDITIONS, worsened
from wavlm_export.builtin.config import HOP
from wavlm_export.builtin.voices import Cast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from wavlm_export.builtin.voices import Voice

SEGMENTS = 24
"""Of each voice; every other one clean."""
LEAST, MOST = 100, 200
"""Frames of a segment."""


def segments(voices: Sequence[Voice]) -> tuple[list[NDArray[np.float32]], NDArray[np.int64]]:
    """Segments and the number of the voice that speaks in each: the same for the same voices."""
    cast, random = Cast(voices, (1.0,)), np.random.default_rng(11)
    heard, people = [], []
    for person, voice in enumerate(voices):
        for number in range(SEGMENTS):
            samples, _ = cast.speak(person, int(random.integers(LEAST, MOST + 1)), random)
            if number % 2:
                samples = worsened(samples, str(random.choice(list(CONDITIONS))), f"{voice.name} {number}")
            heard.append(samples)
            people.append(person)
    return heard, np.array(people)


def equal_error_rate(embeddings: NDArray[np.floating], people: NDArray[np.int64]) -> float:
    """Of the cosines of all pairs: where as many pairs of one person are missed as pairs of two are taken for one."""
    unit = embeddings - embeddings.mean(axis=0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True) + 1e-9
    first, second = np.triu_indices(len(people), 1)
    cosine, same = np.sum(unit[first] * unit[second], axis=1), people[first] == people[second]
    order = np.argsort(-cosine, kind="stable")
    accepted_wrongly = np.cumsum(~same[order]) / max(1, np.sum(~same))
    missed = 1 - np.cumsum(same[order]) / max(1, np.sum(same))
    at = int(np.argmin(np.abs(accepted_wrongly - missed)))
    return float((accepted_wrongly[at] + missed[at]) / 2)


def student_embedder(folder: str | Path) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """From samples to the embedding of a saved ``sv`` folder, by transformers' own class."""
    import torch
    from transformers import WavLMForXVector

    model = WavLMForXVector.from_pretrained(folder).eval()

    def embed(samples: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            embedding: NDArray[np.float32] = model(torch.from_numpy(samples[: len(samples) // HOP * HOP])[None]).embeddings[0].numpy()
        return embedding

    return embed
