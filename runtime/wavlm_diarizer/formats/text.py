"""Lines for people: when, and who. Not meant to be read back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wavlm_diarizer.formats import times

if TYPE_CHECKING:
    from wavlm_diarizer.diarization import Diarization


def dumps(diarization: Diarization) -> str:
    """One line ``00:00:00.520 - 00:00:03.100  SPEAKER_00`` per turn; nothing if nobody speaks."""
    lines = []
    for turn in diarization.turns:
        start, end = times.rounded(turn)
        lines.append(f"{times.clock(start)} - {times.clock(end)}  {turn.speaker}\n")
    return "".join(lines)
