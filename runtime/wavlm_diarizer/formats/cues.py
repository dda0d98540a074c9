"""What SRT and WebVTT have in common: blocks of lines parted by blank ones, with a line ``start --> end`` before the text.

Not a format of its own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from wavlm_diarizer.errors import FormatError
from wavlm_diarizer.formats import times

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

ARROW = "-->"
_TIMES = re.compile(rf"(\S+)\s*{ARROW}\s*(\S+)")
"""WebVTT's settings, such as ``align:start``, may follow."""


class Cue(NamedTuple):
    """One subtitle."""

    line: int
    """The line of its times, counted from 1."""
    start: Decimal
    """Seconds."""
    end: Decimal
    """Seconds."""
    text: str
    """Its lines, joined by blanks."""


def blocks(text: str) -> Iterator[tuple[int, list[str]]]:
    """Runs of lines that are not blank, each with the number of its first line, counted from 1."""
    block: list[str] = []
    for number, line in enumerate([*text.split("\n"), ""], start=1):
        if line.strip():
            block.append(line.strip())
        elif block:
            yield number - len(block), block
            block = []


def read_cue(number: int, block: list[str]) -> Cue:
    """The cue of a block, which may begin with one line of a number or a name. Raises :class:`FormatError`."""
    at = 0 if ARROW in block[0] or len(block) == 1 else 1
    line = number + at
    match = _TIMES.match(block[at])
    if match is None:
        raise FormatError(f"line {line}: a line 'start --> end' was expected, not {block[at][:60]!r}.")
    return Cue(line, times.parse_clock(match[1], line), times.parse_clock(match[2], line), " ".join(block[at + 1 :]))
