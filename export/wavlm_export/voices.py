"""The voices that two models hear in the same frames of the same speech in, how far they are apart out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wavlm_diarizer.model_file import EMBEDDING_FRAMES, EMBEDDINGS, OUTPUT
from wavlm_export.given_activity import ACTIVITY
from wavlm_export.pooling import LEAST_FRAMES

if TYPE_CHECKING:
    from collections.abc import Iterable

    import onnxruntime
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Voices:
    """One embedding for each label of each window."""

    embeddings: NDArray[np.floating[Any]]
    """``[batch, labels, size]``."""
    frames: NDArray[np.int64]
    """``[batch, labels]``: of how many frames each was pooled."""


@dataclass(frozen=True)
class VoicesApart:
    """How far embeddings are from their reference."""

    lowest_cosine: float
    mean_cosine: float
    max_relative_difference: float
    """Length of the difference over that of the reference."""
    compared: int
    """How many embeddings were compared; none: all figures are those of equal ones."""


def answered(
    session: onnxruntime.InferenceSession, input_values: NDArray[np.float32], activity: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.float32], Voices]:
    """The logits ``[batch, frames, labels]`` and voices that a graph answers with; ``activity`` is for one that is given it."""
    feed = {"input_values": input_values} | ({} if activity is None else {ACTIVITY: activity})
    logits, embeddings, frames = session.run([OUTPUT, EMBEDDINGS, EMBEDDING_FRAMES], feed)
    return logits, Voices(embeddings, frames)


def compare(pairs: Iterable[tuple[Voices, Voices]], least: int = LEAST_FRAMES) -> VoicesApart:
    """Compare voices with their references, given as pairs ``(reference, answer)``, where ``least`` frames were pooled.

    Voices of other frames than the reference's, or that are not zeros where too few frames were pooled, are as far apart as can be.
    """
    cosines, differences = [np.ones(0)], [np.zeros(0)]
    for reference, answer in pairs:
        expected, given = (one.embeddings.astype(np.float64) for one in (reference, answer))
        same = expected.shape == given.shape and np.array_equal(reference.frames, answer.frames)
        if not same or given[answer.frames < LEAST_FRAMES].any():
            return VoicesApart(lowest_cosine=-1.0, mean_cosine=-1.0, max_relative_difference=np.inf, compared=reference.frames.size)
        enough = reference.frames >= least
        right, other = expected[enough], given[enough]
        lengths = np.maximum(np.linalg.norm(right, axis=-1), 1e-12)
        products = (right * other).sum(axis=-1) / np.maximum(lengths * np.linalg.norm(other, axis=-1), 1e-12)
        cosines.append(np.nan_to_num(products, nan=-1.0))
        differences.append(np.nan_to_num(np.linalg.norm(right - other, axis=-1) / lengths, nan=np.inf))
    cosine, difference = np.concatenate(cosines), np.concatenate(differences)
    return VoicesApart(
        lowest_cosine=float(cosine.min(initial=1.0)),
        mean_cosine=float(cosine.mean()) if len(cosine) else 1.0,
        max_relative_difference=float(difference.max(initial=0.0)),
        compared=len(cosine),
    )
