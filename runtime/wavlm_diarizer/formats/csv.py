"""CSV with a header, for spreadsheets and data frames: ``start,end,duration,speaker,channel``, seconds with 3 decimals.

Where it is known, a last column has each turn's ``confidence``.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from wavlm_diarizer.errors import FormatError
from wavlm_diarizer.formats import times

if TYPE_CHECKING:
    from wavlm_diarizer.diarization import Diarization
    from wavlm_diarizer.turns import Turn

COLUMNS = ("start", "end", "duration", "speaker", "channel")
"""The header, and the order in which columns are written."""
CONFIDENCE = "confidence"
"""One more column where the probabilities are known."""


def dumps(diarization: Diarization) -> str:
    """The header and one row per turn."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    confidences = diarization.confidences
    writer.writerow(COLUMNS if confidences is None else (*COLUMNS, CONFIDENCE))
    for index, turn in enumerate(diarization.turns):
        start, end = times.rounded(turn)
        row = [times.seconds(start), times.seconds(end), times.seconds(end - start), turn.speaker, turn.channel]
        writer.writerow(row if confidences is None else [*row, f"{confidences[index]:.3f}"])
    return text.getvalue()


def loads(text: str, *, name: str | None = None) -> Diarization:
    """The turns of a table with the columns ``start``, ``speaker`` and ``end`` or ``duration``, in any order, others passed over.

    Rows without length or that are blank are passed over. Raises :class:`FormatError`.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    turns: list[Turn] = []
    header: list[str] = []
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if not header:
                header = _header(row, reader.line_num)
            elif len(row) != len(header):
                raise FormatError(f"line {reader.line_num}: the header has {len(header)} columns, and this row {len(row)}.")
            else:
                turns += _turn(dict(zip(header, row, strict=True)), reader.line_num)
    except csv.Error as error:
        raise FormatError(f"line {reader.line_num}: this is not CSV: {error}.") from error
    if not header:
        raise FormatError(f"there is no header; the first line must be {','.join(COLUMNS)}.")
    return times.read_result(turns, name)


def _header(row: list[str], line: int) -> list[str]:
    header = [cell.strip().lower() for cell in row]
    if not {"start", "speaker"} <= set(header) or not {"end", "duration"} & set(header):
        raise FormatError(f"line {line}: the header must name start, speaker and end or duration, not {','.join(row)[:80]}.")
    return header


def _turn(row: dict[str, str], line: int) -> list[Turn]:
    start = times.parse_seconds(row["start"], line, "start")
    end = times.parse_seconds(row["end"], line, "end") if "end" in row else start + times.parse_seconds(row["duration"], line, "duration")
    return times.read_turn(line, start, end, row["speaker"], times.parse_channel(row.get("channel", "1"), line))
