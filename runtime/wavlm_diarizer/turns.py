"""One turn of speech, and the arithmetic of many: who speaks at the same time.

In: :class:`Turn` objects, seconds. Out: the stretches between turn boundaries, each with the turns that are on in it.
"""

from __future__ import annotations

import math
import operator
import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from wavlm_diarizer.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


@lru_cache(maxsize=1024)
def clean_name(name: str) -> str:
    """The name of a speaker or a recording as every format can carry it: one line, valid Unicode, one blank between words.

    Control characters (tabs, line ends, escape codes) count as blanks; runs of blanks become one and none stays at the ends. Lone
    surrogates, which file names that are not UTF-8 bring along, become U+FFFD.
    """
    return " ".join(_SURROGATE.sub("\ufffd", _CONTROL.sub(" ", name)).split())


@dataclass(frozen=True, order=True, slots=True)
class Turn:
    """One speaker speaking without a pause. Turns are ordered by start, end, speaker, channel.

    Raises :class:`OptionError` unless ``0 <= start < end``, both finite, the speaker has a name and the channel is 1 or more.
    """

    start: float
    """Seconds from the recording's start."""
    end: float
    """Seconds from the recording's start, not included in the turn."""
    speaker: str
    """The speaker's name, as :func:`clean_name` leaves it."""
    channel: int = 1
    """The channel of the recording, counted from 1 as RTTM does; 1 if channels were mixed."""

    def __post_init__(self) -> None:
        # "+ 0.0" makes a plain zero of -0.0, which would be printed with its sign.
        start, end, speaker = float(self.start) + 0.0, float(self.end), clean_name(self.speaker)
        if not (math.isfinite(start) and math.isfinite(end) and 0.0 <= start < end):
            raise OptionError(f"A turn needs 0 <= start < end in seconds, not start {start} and end {end}.")
        if not speaker:
            raise OptionError(f"The turn from {start} s to {end} s needs a speaker with a name, not {self.speaker!r}.")
        channel = operator.index(self.channel)
        if channel < 1:
            raise OptionError(f"Channels are counted from 1; the turn from {start} s to {end} s has channel {channel}.")
        for field, value in (("start", start), ("end", end), ("speaker", speaker), ("channel", channel)):
            object.__setattr__(self, field, value)

    @property
    def duration(self) -> float:
        """Seconds from start to end."""
        return self.end - self.start


@dataclass(frozen=True, order=True, slots=True)
class Segment:
    """A stretch of time in which the same people speak."""

    start: float
    """Seconds from the recording's start."""
    end: float
    """Seconds from the recording's start, not included."""
    speakers: tuple[str, ...]
    """Everybody who speaks all the time from start to end."""

    @property
    def duration(self) -> float:
        """Seconds from start to end."""
        return self.end - self.start


Stretch = tuple[float, float, tuple[Turn, ...]]
"""Start, end and the turns that are on from start to end."""


def stretches(turns: Sequence[Turn]) -> Iterator[Stretch]:
    """Cut ordered turns at every start and end: the stretches with at least one turn, in order of time, never empty."""
    bounds = sorted({bound for turn in turns for bound in (turn.start, turn.end)})
    active: list[Turn] = []
    upcoming = 0
    for start, end in pairwise(bounds):
        active = [turn for turn in active if turn.end > start]
        while upcoming < len(turns) and turns[upcoming].start <= start:
            active.append(turns[upcoming])
            upcoming += 1
        if active:
            yield start, end, tuple(active)


def same_speakers(turns: Sequence[Turn]) -> Iterator[list[Stretch]]:
    """Group the :func:`stretches` of ordered turns that touch and have the same speakers."""
    group: list[Stretch] = []
    for stretch in stretches(turns):
        if group and (group[-1][1] != stretch[0] or _speakers(group[-1]) != _speakers(stretch)):
            yield group
            group = []
        group.append(stretch)
    if group:
        yield group


def segments(turns: Sequence[Turn], speakers: Sequence[str]) -> Iterator[Segment]:
    """The longest stretches in which the same people speak, at least one, each naming them in the order of ``speakers``."""
    for group in same_speakers(turns):
        names = _speakers(group[0])
        yield Segment(group[0][0], group[-1][1], tuple(speaker for speaker in speakers if speaker in names))


def _speakers(stretch: Stretch) -> set[str]:
    return {turn.speaker for turn in stretch[2]}
