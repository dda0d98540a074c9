"""A quantizer and speech in, the int8 graph that holds the guard out, with as little left in fp32 as that takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from wavlm_diarizer.errors import VerificationError
from wavlm_diarizer.sessions import open_session
from wavlm_export import guard
from wavlm_export.given_activity import with_given_activity
from wavlm_export.verification import RATE, prepared, run
from wavlm_export.voices import answered, compare

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    import onnx
    import onnxruntime
    from numpy.typing import NDArray

    from wavlm_export.checkpoint import Checkpoint
    from wavlm_export.kinds import Quantizer
    from wavlm_export.voices import Voices, VoicesApart

MARGIN = 0.95
"""Groups are left in fp32 until the limit is expected to be held by so much: other speech is never quite the same."""
WEIGHED = 6
"""Windows of speech on which the parts are weighed one by one. That only puts them in an order, which takes less than a verdict does."""


@dataclass(frozen=True)
class Listening:
    """Speech with a reference's answers: those of fp32, or of PyTorch."""

    checkpoint: Checkpoint
    windows: Sequence[NDArray[np.float32]]
    """Normalised as the checkpoint wants them, ``[1, n]``: a window is run as the runtime runs it, alone."""
    logits: Sequence[NDArray[np.float32]]
    """``[1, frames, labels]`` of each window."""
    voices: Sequence[Voices]
    """Of each window, if the checkpoint comes with a speaker model; else empty."""

    @classmethod
    def to(cls, checkpoint: Checkpoint, session: onnxruntime.InferenceSession, windows: Sequence[NDArray[np.float32]]) -> Listening:
        """Let the fp32 graph of ``session`` answer windows ``[n]``."""
        values = [prepared(checkpoint, window[None]) for window in windows]
        if checkpoint.speaker is None:
            return cls(checkpoint, values, [run(session, window) for window in values], [])
        answers = [answered(session, window) for window in values]
        return cls(checkpoint, values, [logits for logits, _ in answers], [voices for _, voices in answers])

    @classmethod
    def to_pytorch(cls, checkpoint: Checkpoint, windows: Sequence[NDArray[np.float32]]) -> Listening:
        """Let PyTorch answer windows ``[n]``."""
        values = [prepared(checkpoint, window[None]) for window in windows]
        logits = [checkpoint.logits(window) for window in values]
        speaker = checkpoint.speaker
        voices = [] if speaker is None else [speaker.embeddings(*pair)[0] for pair in zip(values, logits, strict=True)]
        return cls(checkpoint, values, logits, voices)

    def some(self, count: int) -> Listening:
        """At most ``count`` of the windows, from all over the speech."""
        step = -(-len(self.windows) // count)
        return replace(self, windows=self.windows[::step], logits=self.logits[::step], voices=self.voices[::step])

    def measured(self, graph: onnx.ModelProto) -> guard.Measured:
        """How far a quantized graph is from the reference on this speech."""
        asked = graph if self.checkpoint.speaker is None else with_given_activity(graph)
        return self.compared(open_session(asked.SerializeToString()))

    def compared(self, session: onnxruntime.InferenceSession) -> guard.Measured:
        """The same of an opened graph; with a speaker model, of one that is given the activity.

        Voices are pooled over the frames of the reference's labels, so that both hear the same.
        """
        voices: VoicesApart | None = None
        if self.checkpoint.speaker is None:
            logits = [run(session, window) for window in self.windows]
        else:
            answers = [answered(session, *pair) for pair in zip(self.windows, self.logits, strict=True)]
            logits = [one for one, _ in answers]
            voices = compare(zip(self.voices, (one for _, one in answers), strict=True), guard.LEAST_VOICE_FRAMES)
        reference, answer = ([window[0] for window in one] for one in (self.logits, logits))
        return guard.measure(reference, answer, RATE / self.checkpoint.hop, voices)


def quantized(
    quantizer: Quantizer, tuning: Listening, checking: Listening, limits: guard.Limits, progress: Callable[[str], None]
) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """The graph and its report.

    As long as the limits are missed on calibration (``tuning``) or check speech, more groups are left alone. Which ones is decided on
    calibration speech only: those whose products cost the most accuracy there for the work that int8 saves. The verdict is that of the
    check speech. Raises :class:`VerificationError` if the limits are missed with one group in int8.
    """
    keep: list[str] = []
    alone: dict[str, guard.Measured] = {}
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
            report["relative_rms_of_each_part_alone"] = {group: one.relative_rms for group, one in alone.items()}
            if measured.voices is not None:
                report["lowest_cosine_of_each_part_alone"] = {group: one.voices.lowest_cosine for group, one in alone.items() if one.voices}
            report["share_of_the_work_of_each_part"] = {group: amount / sum(work.values()) for group, amount in work.items()}
        if on_calibration.verdict(limits) != "failed" and report["verdict"] != "failed":
            return graph, report
        if len(keep) == len(work) - 1:
            raise VerificationError(
                f"The int8 graph of {tuning.checkpoint.source} misses the guard on speech (relative RMS {measured.relative_rms:.3f}, limit "
                f"{limits.relative_rms:g}; labels equal {measured.labels_equal:.2%}, limit {limits.labels_equal:.2%}; mean probability "
                f"difference {measured.mean_probability_difference:.3f}, limit {limits.mean_probability_difference:g}"
                + (f"; cosine of voices {measured.voices.lowest_cosine:.3f}, limit {limits.embedding_cosine:g}" if measured.voices else "")
                + "): export fp32, or pass looser limits."
            )
        if not alone:
            progress("the guard is missed: measuring what each part costs")
            few = tuning.some(WEIGHED)
            for group in work:
                alone[group] = few.measured(quantizer.graph([other for other in work if other != group]))
        keep += _spared(keep, alone, work, [on_calibration, measured], limits)


def _spared(
    keep: Sequence[str],
    alone: Mapping[str, guard.Measured],
    work: Mapping[str, int],
    now: Sequence[guard.Measured],
    limits: guard.Limits,
) -> list[str]:
    """The groups to leave in fp32 next, by what misses its limit most: the logits, or the voices."""
    most = guard.chord(limits.embedding_cosine)
    logits = max(one.relative_rms for one in now)
    voices = max(one.voice_error for one in now)
    if voices > most and voices * limits.relative_rms > logits * most:
        return _next(keep, {group: one.voice_error for group, one in alone.items()}, work, voices, MARGIN * most)
    return _next(keep, {group: one.relative_rms for group, one in alone.items()}, work, logits, MARGIN * limits.relative_rms)


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
