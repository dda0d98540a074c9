"""What the user named on the command line in, the recordings and the files to write out."""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wavlm_diarizer.errors import AudioNotFoundError, OptionError

if TYPE_CHECKING:
    from collections.abc import Iterable

STDIN = "-"
AUDIO_ENDINGS = frozenset(
    f".{ending}"
    for ending in (
        *("wav", "flac", "ogg", "oga", "opus", "mp3", "aiff", "aif", "aifc", "au", "snd", "caf", "w64", "rf64", "voc", "sph", "nist"),
        *("m4a", "m4b", "mp4", "aac", "wma", "amr", "webm", "mkv", "mka", "mov", "avi", "3gp", "ac3", "wv", "ape", "spx", "gsm", "mp2"),
        *("ts", "mpg", "mpeg", "flv"),
    )
)
"""Endings by which recordings are found in a folder. A file that is named itself may have any."""


@dataclass(frozen=True)
class Recording:
    """One recording to diarize."""

    source: str
    """A path, or ``-`` for standard input."""
    relative: Path
    """Where its result goes in an output folder: the path below the folder that was named, else the file's name."""

    @property
    def is_stdin(self) -> bool:
        """Whether it is read from standard input."""
        return self.source == STDIN


def recordings(names: Iterable[str]) -> list[Recording]:
    """All recordings that ``names`` stand for: files, folders (searched with all below them), glob patterns and ``-``.

    A name that does not exist stays in the list, so that the others are diarized before it fails. Raises :class:`AudioNotFoundError` for
    a folder without audio and for a pattern that matches nothing.
    """
    found: list[Recording] = []
    for name in names:
        path = Path(name).expanduser()
        if name == STDIN:
            found.append(Recording(STDIN, Path("stdin")))
        elif path.is_dir():
            found += _in_folder(path)
        elif not path.exists() and glob.has_magic(name):
            matches = sorted(glob.glob(os.fspath(path), recursive=True))  # noqa: PTH207 - a pattern may be absolute
            if not matches:
                raise AudioNotFoundError(f"No file matches {name}.")
            for match in map(Path, matches):
                found += _in_folder(match) if match.is_dir() else [Recording(str(match), Path(match.name))]
        else:
            found.append(Recording(str(path), Path(path.name)))
    unique = list(dict.fromkeys(found))
    if sum(recording.is_stdin for recording in found) > 1:
        raise OptionError("Standard input (-) can be read only once.")
    return unique


def _in_folder(folder: Path) -> list[Recording]:
    """Every recording in a folder and below, hidden ones left out, in order of their names."""
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in AUDIO_ENDINGS
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )
    if not files:
        raise AudioNotFoundError(f"The folder {folder} holds no audio files (by their endings): name the files themselves.")
    return [Recording(str(path), path.relative_to(folder)) for path in files]


def output_paths(found: list[Recording], folder: Path, ending: str) -> list[Path]:
    """The file in ``folder`` for each recording, with ``ending`` in place of the recording's own.

    Raises :class:`OptionError` if two recordings would write the same file, before anything is written.
    """
    paths = [folder / recording.relative.with_name(recording.relative.stem + ending) for recording in found]
    writers: dict[str, str] = {}
    for recording, path in zip(found, paths, strict=True):
        # Compared without case, because some file systems do not know it and a folder is copied between them.
        key = os.path.normcase(path).casefold()
        if key in writers:
            raise OptionError(f"{writers[key]} and {recording.source} would both write {path}: diarize them into different folders.")
        writers[key] = recording.source
    return paths
