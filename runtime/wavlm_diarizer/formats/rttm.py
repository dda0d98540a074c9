"""RTTM, the Rich Transcription Time Marked files of NIST: one line per turn, any number of recordings in a file.

The fields are those of "The 2009 (RT-09) Rich Transcription Meeting Recognition Evaluation Plan", appendix A: type, file, channel, onset,
duration, orthography, subtype, speaker, confidence and, since 2009, signal look-ahead time. Fields are parted by blanks, so blanks in names
become ``_``. Onset and duration have 3 decimals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wavlm_diarizer.errors import FormatError
from wavlm_diarizer.formats import times

if TYPE_CHECKING:
    from wavlm_diarizer.diarization import Diarization
    from wavlm_diarizer.turns import Turn

_OTHER_TYPES = frozenset(
    "SEGMENT NOSCORE NO_RT_METADATA LEXEME NON-LEX NON-SPEECH FILLER EDIT IP SU CB A/P SPKR-INFO".split(),  # noqa: SIM905 - one line each
)
"""The object types of RTTM besides SPEAKER: they say nothing about who speaks when and are passed over."""


def dumps(diarization: Diarization) -> str:
    """One SPEAKER line of ten fields per turn; no line at all if nobody speaks."""
    file = _field(diarization.name)
    lines = []
    for turn in diarization.turns:
        start, end = times.rounded(turn)
        onset, duration = times.seconds(start), times.seconds(end - start)
        lines.append(f"SPEAKER {file} {turn.channel} {onset} {duration} <NA> <NA> {_field(turn.speaker)} <NA> <NA>\n")
    return "".join(lines)


def loads(text: str, *, name: str | None = None) -> Diarization:
    """The only recording of the text, or the one called ``name``; an empty result from a text without turns.

    Raises :class:`FormatError` for a malformed line, for several recordings without a ``name``, and for a ``name`` that is not there.
    """
    recordings = loads_all(text)
    if not recordings:
        return times.read_result([], name)
    if name is None and len(recordings) > 1:
        raise FormatError(f"there are {len(recordings)} recordings ({_some(recordings)}); choose one by its name.")
    wanted = next(iter(recordings)) if name is None else _field(name)
    if wanted not in recordings:
        raise FormatError(f"there is no recording {wanted}; there is {_some(recordings)}.")
    return recordings[wanted]


def loads_all(text: str) -> dict[str, Diarization]:
    """Every recording that has a turn, by its name, in the order of the text. Lines of 9 fields (before 2009) are fine.

    Comments (``;;``) and object types other than SPEAKER are passed over, and so are turns of no duration. Raises :class:`FormatError`.
    """
    turns: dict[str, list[Turn]] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        fields = line.split()
        if not fields or fields[0].startswith(";;") or fields[0] in _OTHER_TYPES:
            continue
        if fields[0] != "SPEAKER":
            raise FormatError(f"line {number}: {fields[0][:40]!r} is not an object type of RTTM; turns begin with SPEAKER.")
        if len(fields) not in {9, 10}:
            raise FormatError(f"line {number}: a SPEAKER line has 9 or 10 fields, not {len(fields)}.")
        _, file, channel, onset, duration, _, _, speaker, *_ = fields
        start = times.parse_seconds(onset, number, "onset")
        end = start + times.parse_seconds(duration, number, "duration")
        turns.setdefault(file, []).extend(times.read_turn(number, start, end, speaker, times.parse_channel(channel, number)))
    return {file: times.read_result(found, file) for file, found in turns.items()}


def _field(name: str) -> str:
    return name.replace(" ", "_")


def _some(recordings: dict[str, Diarization]) -> str:
    names = list(recordings)
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
