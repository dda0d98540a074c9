"""The speaker turns that come with recordings, read from RTTM and Transcriber files, and the RTTM files they are kept in.

A turn is ``(start, end, speaker)`` in seconds. Nothing is made up: a recording gets the turns that its package ships.
"""

from __future__ import annotations

import unicodedata
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

Turn = tuple[float, float, str]


def ascii_name(text: str) -> str:
    """The text without accents: one of the recordings is spelled with an n with tilde, as two characters in its file name."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def from_rttm(text: str) -> dict[str, list[Turn]]:
    """The turns of every recording of an RTTM file, names without accents."""
    turns: dict[str, list[Turn]] = {}
    for line in text.splitlines():
        _, name, _, onset, duration, _, _, speaker, *_ = ascii_name(line).split()
        turns.setdefault(name, []).append((float(onset), float(onset) + float(duration), speaker))
    return turns


def from_transcriber(content: bytes) -> list[Turn]:
    """The turns of a Transcriber file (``.trs``, XML); a turn of two speakers is a turn of each, one of nobody is none."""
    root = ET.fromstring(content)  # noqa: S314 - a file of a signed package, at one version
    return [
        (float(turn.attrib["startTime"]), float(turn.attrib["endTime"]), speaker)
        for turn in root.iter("Turn")
        for speaker in turn.get("speaker", "").split()
    ]


def to_rttm(name: str, turns: Iterable[Turn]) -> str:
    """The RTTM lines of one recording, in order of time; touching turns of one speaker stay apart."""
    return "".join(
        f"SPEAKER {name} 1 {start:.3f} {end - start:.3f} <NA> <NA> {speaker} <NA> <NA>\n" for start, end, speaker in sorted(turns)
    )


def table(rows: Iterable[Sequence[str]]) -> str:
    """Rows as tab-separated lines."""
    return "".join("\t".join(row) + "\n" for row in rows)


def write_text(path: Path, text: str) -> None:
    """Write a text file aside and rename it."""
    aside = path.with_name(f".{path.name}.part")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)
