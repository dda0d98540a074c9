"""WebVTT, the subtitles of browsers: one cue per turn with a voice tag, ``<v SPEAKER_00>SPEAKER_00``.

The name stands there twice because players do not show the tag. The syntax is that of https://www.w3.org/TR/webvtt1/, section 4.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from wavlm_diarizer.errors import FormatError
from wavlm_diarizer.formats import cues, times

if TYPE_CHECKING:
    from wavlm_diarizer.diarization import Diarization
    from wavlm_diarizer.turns import Turn

_HEADER = re.compile(r"WEBVTT(?=\s|$)")
_OTHER_BLOCK = re.compile(r"(NOTE|STYLE|REGION)(?=\s|$)")
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?\s+([^>]+)>")


def dumps(diarization: Diarization) -> str:
    """The header and one cue per turn, names with ``&``, ``<`` and ``>`` escaped; hours are always written."""
    blocks = ["WEBVTT\n"]
    for turn in diarization.turns:
        start, end = times.rounded(turn)
        speaker = html.escape(turn.speaker, quote=False)
        blocks.append(f"{times.clock(start)} {cues.ARROW} {times.clock(end)}\n<v {speaker}>{speaker}\n")
    return "\n".join(blocks)


def loads(text: str, *, name: str | None = None) -> Diarization:
    """The cues as turns of who is named in their first voice tag; comments, styles and regions are passed over.

    Raises :class:`FormatError`, also for a cue without a voice.
    """
    if not _HEADER.match(text):
        raise FormatError("line 1: a WebVTT file begins with WEBVTT.")
    turns: list[Turn] = []
    for number, block in cues.blocks(text):
        if number == 1 or (_OTHER_BLOCK.match(block[0]) and cues.ARROW not in block[0]):
            continue
        cue = cues.read_cue(number, block)
        voice = _VOICE.search(cue.text)
        if voice is None:
            raise FormatError(f"line {cue.line}: the cue has no voice tag <v NAME> that says who speaks.")
        turns += times.read_turn(cue.line, cue.start, cue.end, html.unescape(voice[1]))
    return times.read_result(turns, name)
