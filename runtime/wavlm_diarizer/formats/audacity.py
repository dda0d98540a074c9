"""Audacity's label track: start, end and the speaker, parted by tabs, seconds with 6 decimals (File > Import > Labels).

The format is that of Audacity's manual, "Importing and Exporting Labels".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wavlm_diarizer.errors import FormatError
from wavlm_diarizer.formats import times

if TYPE_CHECKING:
    from wavlm_diarizer.diarization import Diarization
    from wavlm_diarizer.turns import Turn

_DECIMALS = 6


def dumps(diarization: Diarization) -> str:
    """One label per turn; nothing if nobody speaks."""
    lines = []
    for turn in diarization.turns:
        start, end = times.rounded(turn, _DECIMALS)
        lines.append(f"{times.seconds(start, _DECIMALS)}\t{times.seconds(end, _DECIMALS)}\t{turn.speaker}\n")
    return "".join(lines)


def loads(text: str, *, name: str | None = None) -> Diarization:
    """The labels as turns; labels of a point in time and the lines of a label's frequencies are passed over.

    Raises :class:`FormatError`.
    """
    turns: list[Turn] = []
    for number, line in enumerate(text.split("\n"), start=1):
        # A label with frequencies is followed by a line "\<tab>low<tab>high".
        if not line.strip() or line.startswith("\\"):
            continue
        fields = line.split("\t")
        if len(fields) != 3:
            raise FormatError(f"line {number}: a label is start, end and speaker parted by tabs, not {line[:60]!r}.")
        start = times.parse_seconds(fields[0], number, "start")
        end = times.parse_seconds(fields[1], number, "end")
        turns += times.read_turn(number, start, end, fields[2])
    return times.read_result(turns, name)
