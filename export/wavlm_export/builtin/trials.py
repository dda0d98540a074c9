"""Voices in, how well they are told apart out, as equal error rates: of segments by themselves, and within whole recordings.

Each segment is one person alone for two to four seconds, under conditions of its own, so that a room or a telephone is no help. Within a
recording the pairs are those that clustering has to decide on. A voice head may gain by the one measure and lose by the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wavlm_diarizer.speakers import ACTIVE
from wavlm_diarizer.timebase import TimeBase
from wavlm_diarizer.tuning import spoken
from wavlm_export.builtin.conditions import CONDITIONS, worsened
from wavlm_export.builtin.config import HOP
from wavlm_export.builtin.voices import Cast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from wavlm_diarizer.diarization import Diarization
    from wavlm_diarizer.voice_join import WindowAnswer
    from wavlm_export.builtin.voices import Voice

SEGMENTS = 24
"""Of each voice; every other one clean."""
LEAST, MOST = 100, 200
"""Frames of a segment."""
LEAST_SOLO, LEAST_SHARE = 50, 0.8
"""Frames of its own that a local speaker needs to be compared with others, and how many of them must be one person's."""
LEAST_PAIRS = 20
"""Pairs of one person, and of two, that a recording needs: a rate of fewer is hardly one."""


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
    """Of the cosines of all pairs, less the mean of all: where as many pairs of one person are missed as pairs of two are taken for one."""
    return _of_pairs(embeddings - embeddings.mean(axis=0), people)


def equal_error_rate_within(answers: Sequence[tuple[int, WindowAnswer]], reference: Diarization) -> float | None:
    """The same of a recording's local speakers, without taking off a mean, as they are clustered; ``None`` if there are few pairs.

    ``answers``: first frame and answer of each window in order of time. Windows that share audio with an earlier one that counts do not
    count, and neither do local speakers who are hardly alone or not clearly one person.
    """
    if not reference.speakers:
        return None
    frames = max((first + len(answer.probabilities) for first, answer in answers), default=0)
    speaking = spoken(reference, frames, TimeBase())
    embeddings, people, end = [], [], 0
    for first, answer in answers:
        if first < end or answer.embeddings is None:
            continue
        end = first + len(answer.probabilities)
        active = answer.probabilities > ACTIVE
        solo = active & (active.sum(axis=1, keepdims=True) == 1)
        shares = solo.T.astype(np.int64) @ speaking[first:end]
        for column in np.flatnonzero(solo.sum(axis=0) >= LEAST_SOLO):
            who = int(shares[column].argmax())
            if shares[column, who] >= LEAST_SHARE * solo[:, column].sum() and answer.embeddings[column].any():
                embeddings.append(answer.embeddings[column])
                people.append(who)
    same = sum(count * (count - 1) // 2 for count in map(people.count, set(people)))
    if min(same, len(people) * (len(people) - 1) // 2 - same) < LEAST_PAIRS:
        return None
    return _of_pairs(np.stack(embeddings), np.array(people))


def _of_pairs(vectors: NDArray[np.floating], people: NDArray[np.int64]) -> float:
    unit = vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-9)
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
