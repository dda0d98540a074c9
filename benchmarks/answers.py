"""What every diarizer answered, kept in a folder, so that a run that was interrupted goes on and rivals are asked once.

``FOLDER/CONTENDER.json`` holds the turns of each recording with the SHA-256 of its file; what changed is asked again.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import soundfile

from programs import Program
from report import write
from wavlm_diarizer.diarization import Diarization, Turn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from diarizers import Contender


@dataclass(frozen=True)
class Recording:
    """One recording with its truth."""

    set: str
    name: str
    path: Path
    seconds: float
    reference: Diarization

    @property
    def key(self) -> str:
        """Set and name."""
        return f"{self.set}/{self.name}"


class Answers:
    """The answers of one contender."""

    def __init__(self, folder: Path, contender: Contender) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{contender.slug}.json"
        self._kept: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8")) if self._path.exists() else {}
        self._kept.setdefault("recordings", {})

    @property
    def versions(self) -> dict[str, str]:
        """Of the program that answered last."""
        versions: dict[str, str] = self._kept.get("versions", {})
        return versions

    def missing(self, every: Sequence[Recording]) -> list[Recording]:
        """The recordings that were not answered, or have changed."""
        return [one for one in every if self._kept["recordings"].get(one.key, {}).get("sha256") != digest(one.path)]

    def keep(self, recording: Recording, answer: dict[str, Any], versions: dict[str, str]) -> None:
        """Keep one answer, on disk at once."""
        self._kept["versions"] = versions
        self._kept["recordings"][recording.key] = {"sha256": digest(recording.path), **answer}
        write(self._path, json.dumps(self._kept) + "\n")

    def of(self, recording: Recording) -> Diarization:
        """What was answered."""
        turns = [Turn(start, end, who) for start, end, who in self._kept["recordings"][recording.key]["turns"] if end > start]
        return Diarization(turns, name=recording.name)

    def error(self, recording: Recording) -> str | None:
        """Why it failed, if it did."""
        error: str | None = self._kept["recordings"][recording.key].get("error")
        return error

    def forget(self) -> None:
        """Let everything be asked again."""
        self._path.unlink(missing_ok=True)
        self._kept = {"recordings": {}}


def recordings(folder: Path) -> list[Recording]:
    """The recordings of a set: every FLAC file with an RTTM file beside it."""
    found = [
        Recording(folder.name, path.stem, path, soundfile.info(path).duration, Diarization.load(path.with_suffix(".rttm")))
        for path in sorted(folder.glob("*.flac"))
        if path.with_suffix(".rttm").exists()
    ]
    if not found:
        raise SystemExit(f"{folder} holds no recordings with turns: run recordings/fetch.py or simulation/simulate.py first")
    return found


def ask(contenders: Sequence[Contender], every: Sequence[Recording], folder: Path) -> dict[str, Answers]:
    """Ask each contender for what it has not answered yet; all answers by the contenders' names."""
    answers = {one.name: Answers(folder, one) for one in contenders}
    for one in contenders:
        waiting = answers[one.name].missing(every)
        if not waiting:
            continue
        program = Program(one.command)
        for number, recording in enumerate(waiting, start=1):
            with as_wav(recording) as wav:
                answer = program.ask(wav=wav, speakers=len(recording.reference.speakers) if one.told else None)
            answers[one.name].keep(recording, answer, program.facts)
            print(f"{one.name}: {recording.key} ({number} of {len(waiting)})", file=sys.stderr)
        program.end()
    return answers


@contextmanager
def as_wav(recording: Recording) -> Iterator[Path]:
    """The recording as a temporary 16-bit WAV file, which every contender can read."""
    with tempfile.TemporaryDirectory(prefix="accuracy-") as scratch:
        path = Path(scratch) / f"{recording.name}.wav"
        samples, rate = soundfile.read(recording.path, dtype="int16")
        soundfile.write(path, samples, rate, subtype="PCM_16")
        yield path


_digests: dict[Path, str] = {}


def digest(path: Path) -> str:
    """The SHA-256 of a file, computed once."""
    if path not in _digests:
        _digests[path] = hashlib.sha256(path.read_bytes()).hexdigest()
    return _digests[path]
