"""SubRip subtitles (SRT): one cue per turn, its text the speaker's name. Cues of turns that overlap overlap too.

SRT has no standard and no way to escape anything; a name that looks like a tag (``<i>``) is shown by players as they please.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wavlm_diarizer.formats import cues, times

if TYPE_CHECKING:
    from wavlm_diarizer.diarization import Diarization
    from wavlm_diarizer.turns import Turn


def dumps(diarization: Diarization) -> str:
    """Numbered cues with a comma before the milliseconds; nothing if nobody speaks."""
    blocks = []
    for number, turn in enumerate(diarization.turns, start=1):
        start, end = times.rounded(turn)
        blocks.append(f"{number}\n{times.clock(start, ',')} {cues.ARROW} {times.clock(end, ',')}\n{turn.speaker}\n")
    return "\n".join(blocks)


def loads(text: str, *, name: str | None = None) -> Diarization:
    """The cues as turns, the whole text of each being a speaker's name. Raises :class:`FormatError`."""
    turns: list[Turn] = []
    for number, block in cues.blocks(text):
        cue = cues.read_cue(number, block)
        turns += times.read_turn(cue.line, cue.start, cue.end, cue.text)
    return times.read_result(turns, name)
