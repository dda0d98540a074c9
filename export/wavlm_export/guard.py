"""A quantized graph and its fp32 reference in, a verdict on speech out: whether the labels that users see stay the same.

The limits are on what matters for labels: the shape of the logits over time, and the frames that are not on the threshold anyway; and,
where the graph knows voices, on how alike those of the same frames are.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from wavlm_diarizer import agreement
from wavlm_diarizer.errors import OptionError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from wavlm_export.voices import VoicesApart

LEAST_SECONDS = 60
LEAST_FRAMES = 200
"""For each label, as many frames on and as many off, and so many seconds in all, or nothing can be said about labels."""
LEAST_VOICE_FRAMES = 50
"""Voices pooled from fewer frames are not compared: of one second alone little can be said."""


@dataclass(frozen=True)
class Limits(agreement.Limits):
    """How far a quantized graph may be from its fp32 reference."""

    embedding_cosine: float = 0.99
    """Of each voice that both pooled from the same frames."""

    def loosened(self, changes: Mapping[str, float]) -> Limits:
        """These limits with others in place of some. Raises :class:`OptionError` for a name that is none."""
        unknown = sorted(set(changes) - set(asdict(self)))
        if unknown:
            raise OptionError(f"There is no limit named {', '.join(unknown)}; there are {', '.join(asdict(self))}.")
        return replace(self, **changes)


@dataclass(frozen=True)
class Measured:
    """What was measured on speech."""

    relative_rms: float
    labels_equal: float
    mean_probability_difference: float
    seconds: float
    frames_on: tuple[int, ...]
    """For each label, the frames that fp32 has on."""
    frames_off: tuple[int, ...]
    voices: VoicesApart | None = None
    """How far the voices are apart, where the graph knows any."""

    @property
    def enough_evidence(self) -> bool:
        """Whether there was enough speech, on and off, to judge labels by."""
        return self.seconds >= LEAST_SECONDS and min(*self.frames_on, *self.frames_off) >= LEAST_FRAMES

    @property
    def voice_error(self) -> float:
        """The angle of the voice that is furthest from its reference, 0 without voices: what adds up like noise, by its squares."""
        return 0.0 if self.voices is None else chord(self.voices.lowest_cosine)

    def verdict(self, limits: Limits) -> str:
        """``passed``, ``not enough evidence`` (about labels or voices; all else passed), or ``failed``."""
        shape = self.relative_rms <= limits.relative_rms and self.mean_probability_difference <= limits.mean_probability_difference
        known = self.voices is None or self.voices.lowest_cosine >= limits.embedding_cosine
        if not shape or not known or (self.enough_evidence and self.labels_equal < limits.labels_equal):
            return "failed"
        heard = self.voices is None or self.voices.compared > 0
        return "passed" if self.enough_evidence and heard else "not enough evidence"

    def report(self, limits: Limits, reference: str) -> dict[str, Any]:
        """Everything for the file."""
        loosened = {name: value for name, value in asdict(limits).items() if value != getattr(Limits(), name)}
        return {
            "reference": reference,
            "relative_rms": self.relative_rms,
            "labels_equal": self.labels_equal,
            "mean_probability_difference": self.mean_probability_difference,
            "seconds": self.seconds,
            "frames_on": list(self.frames_on),
            "frames_off": list(self.frames_off),
            **({} if self.voices is None else {"embeddings": asdict(self.voices) | {"least_frames": LEAST_VOICE_FRAMES}}),
            "limits": asdict(limits),
            **({"loosened_by_the_user": sorted(loosened)} if loosened else {}),
            "verdict": self.verdict(limits),
        }


def chord(cosine: float) -> float:
    """How far two directions of that cosine are apart on the unit sphere."""
    return math.sqrt(max(2 - 2 * cosine, 0.0))


def measure(
    reference: Iterable[NDArray[np.float32]],
    answers: Iterable[NDArray[np.float32]],
    frames_per_second: float,
    voices: VoicesApart | None = None,
) -> Measured:
    """Compare a quantized graph's logits ``[frames, labels]`` of some windows with the reference's of the same."""
    expected, answers = list(reference), list(answers)
    if any(one.shape != other.shape for one, other in zip(expected, answers, strict=True)):
        raise VerificationError("The quantized graph answers with another shape than fp32.")
    right = np.concatenate(expected)
    apart = agreement.compare(right, np.concatenate(answers))
    on = (right > 0).sum(axis=0)
    return Measured(
        **asdict(apart),
        seconds=len(right) / frames_per_second,
        frames_on=tuple(int(count) for count in on),
        frames_off=tuple(int(len(right) - count) for count in on),
        voices=voices,
    )
