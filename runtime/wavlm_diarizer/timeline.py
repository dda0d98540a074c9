"""A result for a person at a terminal: the list of turns, a picture of who speaks when, and how long everybody speaks.

In: a :class:`Diarization` and where to print. The list comes first and is complete, so that the picture and the sums of a long recording
stay on the screen. Colours only on a terminal; ASCII where the stream cannot take more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.text import Text

    from wavlm_diarizer.diarization import Diarization

COLOURS = ("cyan", "yellow", "magenta", "green", "blue", "red")
"""Speakers take these in turn; all are readable on dark and on light terminals."""

NARROWEST = 24
"""Columns under which the picture makes no sense; narrower terminals get lines of this length."""

_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
"""Seconds between two marks of the axis: numbers that people count time in."""


@dataclass(frozen=True)
class _Signs:
    """What the picture is drawn with."""

    shades: str
    """How much of a column's time somebody speaks: a quarter, half, three quarters, all."""
    axis: str
    """The line of the axis."""
    mark: str
    """A mark on it."""
    dots: str
    """What stands for the rest of a name that was cut."""
    between: str
    """Parts the facts of a line."""


_BLOCKS = _Signs(shades="░▒▓█", axis="─", mark="┬", dots="…", between=" · ")
_ASCII = _Signs(shades=".-=#", axis="-", mark="+", dots="~", between=", ")


def show(diarization: Diarization, *, file: TextIO | None = None, width: int | None = None, console: Console | None = None) -> None:
    """Print a result on ``file`` (standard output), in ``width`` columns (as many as the terminal has), or on a console of rich's.

    Anything else than a terminal gets the same text without colours, 80 columns wide unless COLUMNS says otherwise.
    """
    from rich.console import Console

    console = console or Console(file=file, highlight=False)
    columns = max(width or console.width, NARROWEST)
    signs = _BLOCKS if _can_print(console, _BLOCKS) else _ASCII
    for line in _Page(diarization, columns, signs, console.encoding).lines():
        console.print(line, no_wrap=True, overflow="ignore", crop=False, highlight=False)


def _can_print(console: Console, signs: _Signs) -> bool:
    try:
        "".join(vars(signs).values()).encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


class _Page:
    """The lines of one result, each at most ``columns`` cells wide."""

    def __init__(self, diarization: Diarization, columns: int, signs: _Signs, encoding: str) -> None:
        self._result = diarization
        self._columns = columns
        self._signs = signs
        self._encoding = encoding
        # Hours are shown only where there are any, which keeps short recordings readable in narrow terminals.
        self._hours = diarization.duration >= 3600

    def lines(self) -> Iterator[Text]:
        for line in self._parts():
            yield self._fit(line, self._columns)

    def _parts(self) -> Iterator[Text]:
        from rich.text import Text

        yield self._title()
        yield Text()
        if not self._result.turns:
            yield Text("Nobody speaks.")
            return
        yield from self._table()
        yield Text()
        yield from self._picture()
        yield Text()
        yield from self._sums()

    def _title(self) -> Text:
        from rich.text import Text

        turns, people = len(self._result.turns), len(self._result.speakers)
        facts = ["", self._clock(self._result.duration), f"{people} speaker{'s' * (people != 1)}", f"{turns} turn{'s' * (turns != 1)}"]
        rest = self._signs.between.join(facts)
        name = Text(self._printable(self._result.name), style="bold")
        return self._fit(name, max(self._columns - len(rest), 8)).append(rest)

    def _table(self) -> Iterator[Text]:
        from rich.text import Text

        clock = len(self._clock(self._result.duration))
        longest = max(turn.duration for turn in self._result.turns)
        seconds = max(len(f"{longest:.3f}"), len("seconds"))
        # A narrow terminal shows who it is rather than how long.
        with_seconds = self._columns - 2 * (clock + 2) - (seconds + 2) >= 10
        head = f"{'start':>{clock}}  {'end':>{clock}}  " + (f"{'seconds':>{seconds}}  " if with_seconds else "") + "speaker"
        yield Text(head, style="bold")
        for turn in self._result.turns:
            line = Text(f"{self._clock(turn.start):>{clock}}  {self._clock(turn.end):>{clock}}  ")
            if with_seconds:
                line.append(f"{turn.duration:>{seconds}.3f}  ")
            yield line.append_text(self._name(turn.speaker, self._columns - len(line)))

    def _picture(self) -> Iterator[Text]:
        from rich.text import Text

        names = self._names_width(self._columns // 3)
        cells = self._columns - names - 2
        for speaker in self._result.speakers:
            row = self._padded(speaker, names).append("  ")
            yield row.append("".join(self._row(speaker, cells)).rstrip(), style=self._colour(speaker))
        axis, labels = self._axis(cells)
        indent = " " * (names + 2)
        yield Text(indent + axis, style="dim")
        yield Text(indent + labels.rstrip(), style="dim")

    def _row(self, speaker: str, cells: int) -> Iterator[str]:
        """One sign per column: how much of its time ``speaker`` speaks. However little it is, it is seen."""
        seconds = self._result.duration / cells
        spoken = [0.0] * cells
        for turn in self._result.turns:
            if turn.speaker == speaker:
                first = min(int(turn.start / seconds), cells - 1)
                for cell in range(first, min(math.ceil(turn.end / seconds), cells)):
                    spoken[cell] += max(min(turn.end, (cell + 1) * seconds) - max(turn.start, cell * seconds), 0.0)
        for part in spoken:
            # Each shade is for a quarter; a thousandth is given away so that rounding does not lift an exact quarter to the next.
            quarter = min(max(math.ceil(part / seconds * 4 - 1e-3), 1), 4)
            yield self._signs.shades[quarter - 1] if part > 0 else " "

    def _axis(self, cells: int) -> tuple[str, str]:
        """The axis' line and the times under it, marks as close as their times have room."""
        duration = self._result.duration
        room = len(self._short(duration)) + 3
        enough = (step for step in _STEPS if step / duration * cells >= room)
        step = next(enough, math.ceil(duration * room / cells / 86_400) * 86_400)
        line, labels = [self._signs.axis] * cells, [" "] * cells
        for mark in range(0, math.ceil(duration), step):
            cell = int(mark / duration * cells)
            line[cell] = self._signs.mark
            text = self._short(mark)
            if cell + len(text) <= cells:
                labels[cell : cell + len(text)] = text
        return "".join(line), "".join(labels)

    def _sums(self) -> Iterator[Text]:
        from rich.text import Text

        spoken = self._result.speaking_time()
        overlap = math.fsum(segment.duration for segment in self._result.overlap())
        speech = math.fsum(turn.duration for turn in self._result.exclusive().turns)
        others = {"two or more": overlap, "nobody": max(self._result.duration - speech, 0.0)}
        seconds = max(len("seconds"), *(len(f"{value:.1f}") for value in (*spoken.values(), *others.values())))
        names = max(self._names_width(self._columns - seconds - 10), min(len("two or more"), self._columns - seconds - 10))
        yield Text(f"{'':{names}}  {'seconds':>{seconds}}   share", style="bold")
        for speaker, value in spoken.items():
            yield self._padded(speaker, names).append(self._sum(value, seconds))
        for label, value in others.items():
            yield Text(f"{label[:names]:{names}}{self._sum(value, seconds)}", style="dim")

    def _sum(self, value: float, seconds: int) -> str:
        return f"  {value:>{seconds}.1f}  {100 * value / self._result.duration:5.1f}%"

    def _colour(self, speaker: str) -> str:
        return COLOURS[self._result.speakers.index(speaker) % len(COLOURS)]

    def _names_width(self, most: int) -> int:
        """Cells of the longest name, at most ``most``."""
        from rich.cells import cell_len

        return min(max(cell_len(self._printable(speaker)) for speaker in self._result.speakers), most)

    def _name(self, speaker: str, cells: int) -> Text:
        from rich.text import Text

        return self._fit(Text(self._printable(speaker), style=self._colour(speaker)), cells)

    def _padded(self, speaker: str, cells: int) -> Text:
        name = self._name(speaker, cells)
        name.pad_right(cells - name.cell_len)
        return name

    def _fit(self, text: Text, cells: int) -> Text:
        """The text cut to so many cells, wide characters counting two, with a sign that it was cut."""
        from rich.cells import set_cell_size

        if text.cell_len > cells:
            text.plain = set_cell_size(text.plain, max(cells - 1, 0)).rstrip() + self._signs.dots
        return text

    def _printable(self, name: str) -> str:
        return name.encode(self._encoding, "replace").decode(self._encoding)

    def _clock(self, seconds: float) -> str:
        """``0:07.250``, or ``1:02:03.400`` if the recording has hours."""
        whole, rest = divmod(round(seconds * 1000), 1000)
        return f"{self._minutes(whole)}.{rest:03d}"

    def _short(self, seconds: float) -> str:
        return self._minutes(round(seconds))

    def _minutes(self, seconds: int) -> str:
        if self._hours:
            return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        return f"{seconds // 60}:{seconds % 60:02d}"
