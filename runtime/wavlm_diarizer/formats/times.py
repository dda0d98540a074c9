"""Times in turn files: seconds as text, rounded so that what touches still touches, and read back without a rounding of their own."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

from wavlm_diarizer.errors import FormatError, OptionError
from wavlm_diarizer.turns import Turn

if TYPE_CHECKING:
    from wavlm_diarizer.diarization import Diarization

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?", re.ASCII | re.IGNORECASE)
_CLOCK = re.compile(r"(?:(\d+):)?([0-5]?\d):([0-5]?\d)(?:[.,](\d{1,9}))?", re.ASCII)


def rounded(turn: Turn, decimals: int = 3) -> tuple[int, int]:
    """Start and end of a turn in units of ``10 ** -decimals`` seconds, each rounded by itself so that touching turns still touch.

    A turn so short that both are the same gets the whole unit that its middle lies in: files have no room for turns without length, and
    none is lost. No time moves by more than one unit.
    """
    unit = 10**decimals
    start, end = round(turn.start * unit), round(turn.end * unit)
    if start < end:
        return start, end
    return (start, start + 1) if (turn.start + turn.end) / 2 * unit >= start else (start - 1, start)


def seconds(count: int, decimals: int = 3) -> str:
    """``count`` units of ``10 ** -decimals`` seconds as seconds with exactly that many decimals."""
    whole, rest = divmod(count, 10**decimals)
    return f"{whole}.{rest:0{decimals}d}"


def clock(milliseconds: int, point: str = ".") -> str:
    """``00:00:00.000``, with as many digits of hours as it takes, at least two."""
    whole, rest = divmod(milliseconds, 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{point}{rest:03d}"


def parse_seconds(text: str, line: int, what: str) -> Decimal:
    """A number of seconds as written. Raises :class:`FormatError` that names the line and ``what`` the number was to be."""
    if not _NUMBER.fullmatch(text.strip()):
        raise FormatError(f"line {line}: the {what} must be a number of seconds, not {text!r}.")
    return Decimal(text.strip())


def parse_channel(text: str, line: int) -> int:
    """The number of a channel, from 1 up. Raises :class:`FormatError`."""
    digits = text.strip()
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 10 and int(digits) > 0):
        raise FormatError(f"line {line}: the channel must be a number from 1 up, not {text[:40]!r}.")
    return int(digits)


def parse_clock(text: str, line: int) -> Decimal:
    """Seconds of ``hours:minutes:seconds`` with ``.`` or ``,`` before the decimals; hours may be missing, as in WebVTT."""
    match = _CLOCK.fullmatch(text)
    if not match:
        raise FormatError(f"line {line}: {text!r} is not a time such as 00:00:01.500.")
    hours, minutes, whole, decimals = match.groups()
    return Decimal(int(hours or 0) * 3600 + int(minutes) * 60 + int(whole)) + Decimal(f"0.{decimals or 0}")


def read_turn(line: int, start: Decimal, end: Decimal, speaker: str, channel: int = 1) -> list[Turn]:
    """The turn of one line as a list: empty if it has no length, for then nobody speaks in it. Raises :class:`FormatError`."""
    if start == end:
        return []
    try:
        return [Turn(float(start), float(end), speaker, channel)]
    except OptionError as error:
        raise FormatError(f"line {line}: {_lower(str(error))}") from error


def read_result(turns: list[Turn], name: str | None) -> Diarization:
    """The result of a file that holds turns but no duration: it ends with the last turn."""
    from wavlm_diarizer.diarization import Diarization

    return Diarization(turns, name=name or "audio")


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
