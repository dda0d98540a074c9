"""``real/``: recordings of several people with the turns that their packages ship. Folder in, FLAC, RTTM and SOURCES.tsv out."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

from recordings import sound, turns
from recordings.archives import unpacked
from recordings.packages import AMI, AMI_EXCERPTS, TRANSCRIBER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from recordings.packages import Package
    from recordings.turns import Turn

HEADER = ("name", "package", "version", "file", "licence", "seconds", "speakers", "how_rttm", "quality")
Found = tuple[str, "NDArray[np.float32]", "list[Turn]", "Package", str, str, str, str]
"""Name, samples, turns, package, file in it, licence, where the turns come from, and what to know of the recording."""


def build(out: Path, work: Path) -> str:
    """Write every recording into ``out``; returns what there is, in words."""
    rows = []
    for name, samples, spoken, package, inside, licence, origin, quality in (*_meetings(work), *_radio(work)):
        sound.write(out / f"{name}.flac", samples)
        turns.write_text(out / f"{name}.rttm", turns.to_rttm(name, spoken))
        people = len({speaker for _, _, speaker in spoken})
        seconds = len(samples) / sound.RATE
        rows.append((name, package.name, package.version, inside, licence, f"{seconds:.2f}", str(people), origin, quality))
    turns.write_text(out / "SOURCES.tsv", turns.table([HEADER, *rows]))
    return f"{len(rows)} recordings, {sum(float(row[5]) for row in rows) / 60:.1f} minutes"


def _meetings(work: Path) -> Iterator[Found]:
    """Excerpts of AMI meetings and a telephone conversation, from the test data and the sample of pyannote-audio."""
    root = unpacked(AMI, work)
    data = root / "tests" / "data"
    spoken: dict[str, list[Turn]] = {}
    for part in ("train", "development", "test"):
        spoken |= turns.from_rttm((data / f"debug.{part}.rttm").read_text(encoding="utf-8"))
    for path in sorted(data.glob("[td]*.wav")):
        name = turns.ascii_name(path.stem)
        if name in AMI_EXCERPTS:
            yield (
                f"ami_{name}",
                sound.read(path.name, path.read_bytes()),
                spoken[name],
                AMI,
                f"tests/data/{path.name}",
                "MIT (package); by its speaker codes from the AMI corpus, CC-BY-4.0",
                "debug.*.rttm of the package",
                "test data of the package: far-off meeting speech, 30 s excerpt",
            )
    sample = root / "src" / "pyannote" / "audio" / "sample"
    yield (
        "pyannote_sample",
        sound.read("sample.wav", (sample / "sample.wav").read_bytes()),
        turns.from_rttm((sample / "sample.rttm").read_text(encoding="utf-8"))["sample"],
        AMI,
        "src/pyannote/audio/sample/sample.wav",
        "MIT (package)",
        "sample.rttm of the package",
        "times in 10 ms; telephone conversation; sample.stm beside it has finer turns",
    )


def _radio(work: Path) -> Iterator[Found]:
    """French radio with music, from the examples of Transcriber."""
    name = "frint980428"
    examples = next(unpacked(TRANSCRIBER, work).rglob(f"{name}.trs")).parent
    yield (
        f"transcriber_{name}",
        sound.read(f"{name}.wav", gzip.decompress((examples / f"{name}.wav.gz").read_bytes())),
        turns.from_transcriber((examples / f"{name}.trs").read_bytes()),
        TRANSCRIBER,
        f"examples/{name}.wav.gz",
        "GPL-2+ (package)",
        f"speaker turns of {name}.trs",
        "hand-made turns; pauses inside a turn and both speakers of an overlapped turn count as speech",
    )
