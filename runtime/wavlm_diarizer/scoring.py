"""A result and the truth in, error rates out: DER with its parts, JER and the count of speakers, computed by pyannote.metrics.

The extra ``score`` brings pyannote.metrics; nothing of it is imported before something is scored.

- DER, the diarization error rate: (missed + false alarm + confusion) / speech of the reference, each in seconds of one speaker's speech, so
  that a second in which two people speak counts twice.
- JER, the Jaccard error rate: one minus the Jaccard index of each reference speaker and the speaker mapped to them, averaged over reference
  speakers ("Second DIHARD Challenge Evaluation Plan", 2019).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from wavlm_diarizer.errors import MissingExtraError, OptionError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wavlm_diarizer.diarization import Diarization
    from wavlm_diarizer.uem import Stretch


@dataclass(frozen=True)
class Policy:
    """What is scored. DERs of different policies cannot be compared, so it is printed beside every one. Raises :class:`OptionError`."""

    collar: float = 0.0
    """Seconds around each boundary of the reference that are not scored: the **whole** width, half of it on each side, as in
    pyannote.metrics. NIST's md-eval counts one side: pyannote's 0.5 is NIST's 0.25."""
    skip_overlap: bool = False
    """Whether stretches in which two or more people speak, by the reference, are left out."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.collar) and self.collar >= 0):
            raise OptionError(f"The collar must be 0 or more seconds, not {self.collar}.")

    @property
    def nist_collar(self) -> float:
        """The same collar as NIST's md-eval counts it: seconds on each side of a boundary."""
        return self.collar / 2

    def __str__(self) -> str:
        overlap = "overlap not scored" if self.skip_overlap else "overlap scored"
        if not self.collar:
            return f"no collar, {overlap}"
        side = f"{self.nist_collar:g}"
        return f"collar {self.collar:g} s in all, {side} s on each side of a boundary (NIST calls that a collar of {side}), {overlap}"


@dataclass(frozen=True)
class Score:
    """The errors of one recording, or the sum over several."""

    name: str
    speech: float
    """Seconds of speech in the reference, each speaker's counted."""
    missed: float
    """Seconds of it that the result does not have."""
    false_alarm: float
    """Seconds of speech in the result that the reference does not have."""
    confusion: float
    """Seconds of speech that the result gives to somebody else."""
    jaccard_error: float
    """Sum of the Jaccard error rates of the reference's speakers."""
    jaccard_speakers: float
    """How many speakers that is a sum over: those of the reference, less those whom the collar leaves nothing of."""
    speakers: int
    """Speakers of the reference in what is scored."""
    found_speakers: int
    """Speakers of the result in what is scored."""
    recordings: int = 1
    right_counts: int = 0
    """Recordings with as many speakers as the reference has."""

    @property
    def der(self) -> float:
        """The diarization error rate, 0.1 for 10 %; 1 if there are errors in a reference without speech."""
        return self._rate(self.missed + self.false_alarm + self.confusion, self.speech)

    @property
    def jer(self) -> float:
        """The Jaccard error rate; 1 if the result has speakers and the reference has none."""
        return self._rate(self.jaccard_error if self.speakers else float(self.found_speakers), self.jaccard_speakers)

    def part(self, seconds: float) -> float:
        """A part of the error as a share of the reference's speech, as :attr:`der` is."""
        return self._rate(seconds, self.speech)

    def as_dict(self) -> dict[str, Any]:
        """The rates as fractions and the times in seconds, for JSON."""
        return {
            "name": self.name,
            "der": self.der,
            "missed": self.part(self.missed),
            "false_alarm": self.part(self.false_alarm),
            "confusion": self.part(self.confusion),
            "jer": self.jer,
            "speech_seconds": self.speech,
            "speakers": self.speakers,
            "found_speakers": self.found_speakers,
            "recordings": self.recordings,
            "right_counts": self.right_counts,
        }

    @staticmethod
    def _rate(errors: float, whole: float) -> float:
        return errors / whole if whole > 0 else float(errors > 0)


def score(reference: Diarization, result: Diarization, *, policy: Policy | None = None, uem: Iterable[Stretch] | None = None) -> Score:
    """Score one recording. ``uem``: the stretches to score; None: all that either side has.

    Turns of one speaker that overlap count once: nobody speaks twice at a time. Raises :class:`MissingExtraError` without pyannote.metrics.
    """
    policy = policy or Policy()
    try:
        from pyannote.core import Segment, Timeline
        from pyannote.metrics.diarization import DiarizationErrorRate, JaccardErrorRate
    except ImportError as error:
        raise MissingExtraError("Scoring needs pyannote.metrics; install it with: pip install 'wavlm-diarizer[score]'") from error
    # Without a UEM pyannote takes what both sides span and warns; a second more is the same and needs no warning.
    end = 1.0 + max((turn.end for side in (reference, result) for turn in side.turns), default=0.0)
    scored = Timeline([Segment(*stretch) for stretch in ([(0.0, end)] if uem is None else uem)])
    truth, found = _annotation(reference), _annotation(result)
    options: dict[str, Any] = {"collar": policy.collar, "skip_overlap": policy.skip_overlap}
    errors = DiarizationErrorRate(**options)(truth, found, uem=scored, detailed=True)
    jaccard = JaccardErrorRate(**options)(truth, found, uem=scored, detailed=True)
    speakers, found_speakers = (len(side.crop(scored, mode="intersection").labels()) for side in (truth, found))
    return Score(
        name=reference.name,
        speech=float(errors["total"]),
        missed=float(errors["missed detection"]),
        false_alarm=float(errors["false alarm"]),
        confusion=float(errors["confusion"]),
        jaccard_error=float(jaccard["speaker error"]),
        jaccard_speakers=float(jaccard["speaker count"]),
        speakers=speakers,
        found_speakers=found_speakers,
        right_counts=int(speakers == found_speakers),
    )


def speech_activity(whole: Diarization) -> Diarization:
    """The same recording with all its turns one speaker's, joined where they overlap or touch.

    Scored, two such give the errors of speech activity detection alone: missed and false alarm as shares of the time with speech, whoever
    speaks, and no confusion.
    """
    from wavlm_diarizer.diarization import Diarization, Turn
    from wavlm_diarizer.uem import joined

    spans = joined((turn.start, turn.end) for turn in whole.turns)
    return Diarization((Turn(start, end, "speech") for start, end in spans), duration=whole.duration, name=whole.name)


def total(scores: Iterable[Score], name: str = "total") -> Score:
    """The sum over recordings: rates are weighted by speech (DER) and by speakers (JER), as NIST and DIHARD do."""
    every = list(scores)
    summed = {field.name: sum(getattr(one, field.name) for one in every) for field in fields(Score) if field.name != "name"}
    return Score(name=name, **summed)


def _annotation(side: Diarization) -> Any:
    """The turns as pyannote.core has them, those of one speaker that overlap made one; those that touch stay apart, for the collar."""
    from pyannote.core import Annotation, Segment

    annotation = Annotation(uri=side.name)
    open_turns: dict[str, tuple[float, float]] = {}
    track = 0
    for turn in side.turns:
        before = open_turns.get(turn.speaker)
        if before is not None and turn.start < before[1]:
            open_turns[turn.speaker] = (before[0], max(before[1], turn.end))
            continue
        if before is not None:
            annotation[Segment(*before), track] = turn.speaker
            track += 1
        open_turns[turn.speaker] = (turn.start, turn.end)
    for speaker, span in open_turns.items():
        annotation[Segment(*span), track] = speaker
        track += 1
    return annotation
