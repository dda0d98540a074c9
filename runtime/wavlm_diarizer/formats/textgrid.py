"""TextGrid, the annotations of Praat: one interval tier per speaker, named after them, filled without gaps from 0 to the duration.

The syntax is that of Praat's manual, "TextGrid file formats": a sequence of numbers, strings in quotes and flags; all other words are
for people, which is why one reader serves the long and the short form. Times are written at full precision. Praat allows neither two
intervals at once in a tier, so a speaker's turns that touch or overlap become one, nor a recording of no length, so that one gets 1 ms.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from wavlm_diarizer.errors import FormatError
from wavlm_diarizer.formats import times

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from decimal import Decimal

    from wavlm_diarizer.diarization import Diarization
    from wavlm_diarizer.turns import Turn

NOBODY = "speakers"
"""The name of the empty tier of a recording in which nobody speaks: Praat wants at least one tier."""
_SHORTEST = 0.001
_TOKEN = re.compile(r'"((?:[^"]|"")*+)"|(<exists>|<absent>)|!.*|([^\s"]+)')
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)

Interval = tuple[float, float, str]


def dumps(diarization: Diarization) -> str:
    """The long form, which is the one that Praat writes."""
    end = max(diarization.duration, _SHORTEST)
    tiers = diarization.speakers or (NOBODY,)
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end!r}", "tiers? <exists>"]
    lines += [f"size = {len(tiers)}", "item []:"]
    for number, speaker in enumerate(tiers, start=1):
        intervals = list(_filled([turn for turn in diarization.turns if turn.speaker == speaker], end))
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f"        name = {_quoted(speaker)}"]
        lines += ["        xmin = 0", f"        xmax = {end!r}", f"        intervals: size = {len(intervals)}"]
        for index, (start, stop, text) in enumerate(intervals, start=1):
            lines += [f"        intervals [{index}]:", f"            xmin = {start!r}", f"            xmax = {stop!r}"]
            lines += [f"            text = {_quoted(text)}"]
    return "\n".join(lines) + "\n"


def loads(text: str, *, name: str | None = None) -> Diarization:
    """Every interval with a text in an interval tier is a turn of whom the tier is named after; the duration is the grid's end.

    Point tiers are passed over. Raises :class:`FormatError`.
    """
    from wavlm_diarizer.diarization import Diarization

    tokens = _Tokens(text)
    if (tokens.string(), tokens.string()) != ("ooTextFile", "TextGrid"):
        raise FormatError('line 1: a TextGrid begins with File type = "ooTextFile" and Object class = "TextGrid".')
    tokens.number()
    duration = tokens.number()
    turns: list[Turn] = []
    if tokens.flag() == "<exists>":
        for _ in range(int(tokens.number())):
            turns += _tier(tokens)
    last = max((turn.end for turn in turns), default=0.0)
    return Diarization(turns, duration=max(float(duration), last), name=name or "audio")


def _filled(turns: Sequence[Turn], end: float) -> Iterator[Interval]:
    """One speaker's turns, those that touch or overlap made one, with intervals without text between them from 0 to ``end``."""
    spans: list[list[float]] = []
    for turn in turns:
        if spans and turn.start <= spans[-1][1]:
            spans[-1][1] = max(spans[-1][1], turn.end)
        else:
            spans.append([turn.start, turn.end])
    position = 0.0
    for start, stop in spans:
        if start > position:
            yield position, start, ""
        yield start, stop, turns[0].speaker
        position = stop
    if position < end:
        yield position, end, ""


def _quoted(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def _tier(tokens: _Tokens) -> list[Turn]:
    kind, speaker = tokens.string(), tokens.string()
    tokens.number()
    tokens.number()
    turns: list[Turn] = []
    for _ in range(int(tokens.number())):
        if kind == "IntervalTier":
            start, end, text = tokens.number(), tokens.number(), tokens.string()
            if text.strip():
                turns += times.read_turn(tokens.line, start, end, speaker)
        else:
            tokens.number()
            tokens.string()
    return turns


class _Tokens:
    """The strings, numbers and flags of a text, one after the other; what else stands there is passed over."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _TOKEN.finditer(text)
        self._position = 0
        self.line = 1
        """The line of the token read last, counted from 1."""

    def string(self) -> str:
        """The next token, which must be a string in quotes."""
        token = self._next("a text in quotes")
        if token[1] is None:
            raise self._error("a text in quotes", token[0])
        return token[1].replace('""', '"')

    def number(self) -> Decimal:
        """The next token, which must be a number."""
        token = self._next("a number")
        if token[3] is None:
            raise self._error("a number", token[0])
        return times.parse_seconds(token[3], self.line, "number")

    def flag(self) -> str:
        """The next token, which must be ``<exists>`` or ``<absent>``."""
        token = self._next("<exists>")
        if token[2] is None:
            raise self._error("<exists>", token[0])
        return token[2]

    def _next(self, wanted: str) -> re.Match[str]:
        for token in self._tokens:
            self.line += self._text.count("\n", self._position, token.start())
            self._position = token.start()
            if token[1] is not None or token[2] is not None or (token[3] is not None and _NUMBER.fullmatch(token[3])):
                return token
        raise FormatError(f"line {self._text.count(chr(10)) + 1}: the TextGrid ends where {wanted} was expected.")

    def _error(self, wanted: str, found: str) -> FormatError:
        return FormatError(f"line {self.line}: {wanted} was expected in the TextGrid, not {found[:40]!r}.")
