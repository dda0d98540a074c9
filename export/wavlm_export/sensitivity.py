"""A quantizer and speech in, the int8 graph that holds the guard out, with as little left in fp32 as that takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wavlm_diarizer.errors import VerificationError
from wavlm_diarizer.sessions import open_session
from wavlm_export import guard
from wavlm_export.verification import RATE, prepared, run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    import onnx
    import onnxruntime
    from numpy.typing import NDArray

    from wavlm_export.checkpoint import Checkpoint
    from wavlm_export.kinds import Quantizer

MARGIN = 0.95
"""Groups are left in fp32 until the limit is expected to be held by so much: other speech is never quite the same."""
WEIGHED = 6
"""Windows of speech on which the parts are weighed one by one. That only puts them in an order, which takes less than a verdict does."""


@dataclass(frozen=True)
class Listening:
    """Speech with fp32's answers."""

    checkpoint: Checkpoint
    windows: Sequence[NDArray[np.float32]]
    reference: Sequence[NDArray[np.float32]]

    @classmethod
    def to(cls, checkpoint: Checkpoint, session: onnxruntime.InferenceSession, windows: Sequence[NDArray[np.float32]]) -> Listening:
        """Let the fp32 graph of ``session`` answer windows ``[n]``."""
        answer = _answer(session, checkpoint)
        return cls(checkpoint, windows, [answer(window) for window in windows])

    def some(self, count: int) -> Listening:
        """At most ``count`` of the windows, from all over the speech."""
        chosen = range(0, len(self.windows), -(-len(self.windows) // count))
        return Listening(self.checkpoint, [self.windows[index] for index in chosen], [self.reference[index] for index in chosen])

    def measured(self, graph: onnx.ModelProto) -> guard.Measured:
        """How far a quantized graph is from fp32 on this speech."""
        candidate = _answer(open_session(graph.SerializeToString()), self.checkpoint)
        return guard.measure(self.reference, candidate, self.windows, RATE / self.checkpoint.hop)


def quantized(
    quantizer: Quantizer, tuning: Listening, checking: Listening, limits: guard.Limits, progress: Callable[[str], None]
) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """The graph and its report.

    As long as the limits are missed on calibration (``tuning``) or check speech, more groups are left alone. Which ones is decided on
    calibration speech only: those whose products cost the most accuracy there for the work that int8 saves. The verdict is that of the
    check speech. Raises :class:`VerificationError` if the limits are missed with one group in int8.
    """
    keep: list[str] = []
    alone: dict[str, float] = {}
    work = quantizer.groups
    while True:
        progress("quantizing" + (f", with {', '.join(keep)} in fp32" if keep else ""))
        graph = quantizer.graph(keep)
        on_calibration, measured = tuning.measured(graph), checking.measured(graph)
        report = measured.report(limits, "our fp32 graph, on the check speech") | {
            "left_in_fp32": list(keep),
            "calibration": {"relative_rms": on_calibration.relative_rms, "labels_equal": on_calibration.labels_equal},
            "share_of_the_work_in_int8": 1 - sum(work[group] for group in keep) / sum(work.values()),
            **quantizer.notes,
        }
        if alone:
            report["relative_rms_of_each_part_alone"] = alone
            report["share_of_the_work_of_each_part"] = {group: amount / sum(work.values()) for group, amount in work.items()}
        if on_calibration.verdict(limits) != "failed" and report["verdict"] != "failed":
            return graph, report
        if len(keep) == len(work) - 1:
            raise VerificationError(
                f"The int8 graph of {tuning.checkpoint.source} misses the guard on speech (relative RMS {measured.relative_rms:.3f}, limit "
                f"{limits.relative_rms:g}; labels equal {measured.labels_equal:.2%}, limit {limits.labels_equal:.2%}; mean probability "
                f"difference {measured.mean_probability_difference:.3f}, limit {limits.mean_probability_difference:g}): "
                "export fp32, or pass looser limits."
            )
        if not alone:
            progress("the guard is missed: measuring what each part costs")
            few = tuning.some(WEIGHED)
            for group in work:
                alone[group] = few.measured(quantizer.graph([other for other in work if other != group])).relative_rms
        worst = max(on_calibration.relative_rms, measured.relative_rms)
        keep += _next(keep, alone, work, worst, MARGIN * limits.relative_rms)


def _next(keep: Sequence[str], alone: Mapping[str, float], work: Mapping[str, int], now: float, wanted: float) -> list[str]:
    """The groups to leave in fp32 next: at least one, and as many as are expected to bring the error to what is wanted.

    Errors of groups add up like independent noise, by their squares.
    """
    left = sorted((group for group in work if group not in keep), key=lambda group: alone[group] ** 2 / work[group])
    error = now**2
    chosen: list[str] = []
    while len(left) > 1 and (not chosen or error > wanted**2):
        chosen.append(left.pop())
        error -= alone[chosen[-1]] ** 2
    return chosen


def _answer(session: onnxruntime.InferenceSession, checkpoint: Checkpoint) -> guard.Answer:
    """One window at a time, normalised as the checkpoint wants it: as the runtime runs it."""

    def answer(window: NDArray[np.float32]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = run(session, prepared(checkpoint, window[None]))[0]
        return logits

    return answer
