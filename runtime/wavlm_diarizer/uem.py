"""UEM, the Un-partitioned Evaluation Map files of NIST: which stretches of which recordings are scored, read and written.

One line per stretch, four fields parted by blanks: recording, channel, start and end in seconds. Lines that begin with ``;;`` are comments.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wavlm_diarizer.errors import FormatError
from wavlm_diarizer.formats.times import parse_channel, parse_seconds
from wavlm_diarizer.writing import write_file

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

Stretch = tuple[float, float]
"""Start and end in seconds."""


def loads(text: str) -> dict[str, tuple[Stretch, ...]]:
    """The stretches of every recording, in order of time, those that overlap or touch made one. Raises :class:`FormatError`.

    Channels are checked and then left aside: a stretch is scored on all of them.
    """
    found: dict[str, list[Stretch]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split()
        if not fields or fields[0].startswith(";;"):
            continue
        if len(fields) != 4:
            raise FormatError(f"line {number}: a line of a UEM file has 4 fields (recording, channel, start, end), not {len(fields)}.")
        name, channel, onset, offset = fields
        parse_channel(channel, number)
        start, end = float(parse_seconds(onset, number, "start")), float(parse_seconds(offset, number, "end"))
        if not 0 <= start < end:
            raise FormatError(f"line {number}: a stretch needs 0 <= start < end, not {onset} and {offset}.")
        found.setdefault(name, []).append((start, end))
    return {name: joined(stretches) for name, stretches in found.items()}


def dumps(stretches: Mapping[str, Iterable[Stretch]]) -> str:
    """The lines of a UEM file, times with 3 decimals, everything on channel 1; blanks in names become ``_``, as in RTTM."""
    return "".join(f"{name.replace(' ', '_')} 1 {start:.3f} {end:.3f}\n" for name, spans in stretches.items() for start, end in spans)


def load(path: str | os.PathLike[str]) -> dict[str, tuple[Stretch, ...]]:
    """Read a UEM file as :func:`loads` says. Raises :class:`FormatError`."""
    try:
        return loads(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise FormatError(f"There is no file {path}.") from error
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}: the text is not UTF-8.") from error
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error


def save(stretches: Mapping[str, Iterable[Stretch]], path: str | os.PathLike[str]) -> None:
    """Write a UEM file, aside and renamed. Raises :class:`OutputError`."""
    write_file(path, dumps(stretches).encode(errors="replace"))


def joined(stretches: Iterable[Stretch]) -> tuple[Stretch, ...]:
    """The stretches in order of time, those that overlap or touch made one."""
    united: list[Stretch] = []
    for start, end in sorted(stretches):
        if united and start <= united[-1][1]:
            united[-1] = (united[-1][0], max(end, united[-1][1]))
        else:
            united.append((start, end))
    return tuple(united)
