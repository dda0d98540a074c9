"""A quantized graph and its fp32 reference in, a verdict on speech out: whether the labels that users see stay the same.

The limits are on what matters for labels: the shape of the logits over time, and the frames that are not on the threshold anyway.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from wavlm_diarizer import agreement
from wavlm_diarizer.errors import OptionError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    Answer = Callable[[NDArray[np.float32]], NDArray[np.float32]]
    """One window ``[n]`` to its logits ``[frames, labels]``."""

LEAST_SECONDS = 60
LEAST_FRAMES = 200
"""For each label, as many frames on and as many off, and so many seconds in all, or nothing can be said about labels."""


@dataclass(frozen=True)
class Limits(agreement.Limits):
    """How far a quantized graph may be from its fp32 reference."""

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

    @property
    def enough_evidence(self) -> bool:
        """Whether there was enough speech, on and off, to judge labels by."""
        return self.seconds >= LEAST_SECONDS and min(*self.frames_on, *self.frames_off) >= LEAST_FRAMES

    def verdict(self, limits: Limits) -> str:
        """``passed``, ``not enough evidence`` (about labels; all else passed), or ``failed``."""
        shape = self.relative_rms <= limits.relative_rms and self.mean_probability_difference <= limits.mean_probability_difference
        if not shape or (self.enough_evidence and self.labels_equal < limits.labels_equal):
            return "failed"
        return "passed" if self.enough_evidence else "not enough evidence"

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
            "limits": asdict(limits),
            **({"loosened_by_the_user": sorted(loosened)} if loosened else {}),
            "verdict": self.verdict(limits),
        }


def measure(
    reference: Iterable[NDArray[np.float32]], candidate: Answer, windows: Iterable[NDArray[np.float32]], frames_per_second: float
) -> Measured:
    """Compare the candidate's answers on ``windows`` with the reference's logits of the same windows."""
    expected, answers = list(reference), [candidate(window) for window in windows]
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
    )
