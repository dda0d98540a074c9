"""File formats for turns: a table of them, chosen by name or by a file's ending, and reading and writing files of each.

A format is one module with ``dumps(diarization) -> str`` and, where it can be read back, ``loads(text, *, name=None) -> Diarization``
(and ``loads_all(text) -> dict[str, Diarization]`` if one file may hold several recordings); a new one is that file and a line in
:data:`FORMATS`.
"""

from __future__ import annotations

import codecs
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavlm_diarizer.errors import FormatError, OptionError
from wavlm_diarizer.writing import write_file

if TYPE_CHECKING:
    import os

    from wavlm_diarizer.diarization import Diarization


@dataclass(frozen=True)
class Format:
    """One file format."""

    name: str
    """What the user calls it, and its module in this package."""
    endings: tuple[str, ...]
    """File endings with their dots, the usual one first; compared without regard to case."""
    description: str
    """What it is good for, in a few words."""
    readable: bool = True
    """Whether it can be read back."""
    embeddings: bool = False
    """Whether it can hold the speakers' voices."""

    @property
    def ending(self) -> str:
        """The usual ending of such a file."""
        return self.endings[0]

    def dumps(self, diarization: Diarization, *, embeddings: bool = False) -> str:
        """The text of a file of this format; ``embeddings``: with the speakers' voices. Raises :class:`FormatError` if it has no place."""
        if embeddings and not self.embeddings:
            names = ", ".join(known.name for known in FORMATS.values() if known.embeddings)
            raise FormatError(f"The format {self.name} has no place for embeddings; these have: {names}.")
        return str(self._module().dumps(diarization, **({"embeddings": True} if embeddings else {})))

    def loads(self, text: str, *, name: str | None = None) -> Diarization:
        """One recording from the text of a file of this format; see :meth:`Diarization.load` for ``name``. Raises :class:`FormatError`."""
        return self._read("loads", text, name=name)  # type: ignore[no-any-return]

    def loads_all(self, text: str, *, name: str | None = None) -> dict[str, Diarization]:
        """Every recording of such a text by its name; ``name`` is for formats that hold none. Raises :class:`FormatError`."""
        if hasattr(self._module(), "loads_all"):
            return self._read("loads_all", text)  # type: ignore[no-any-return]
        diarization = self.loads(text, name=name)
        return {diarization.name: diarization}

    def _read(self, function: str, text: str, **options: Any) -> Any:
        if not self.readable:
            names = ", ".join(known.name for known in FORMATS.values() if known.readable)
            raise FormatError(f"the format {self.name} is made for people and cannot be read back; these can: {names}.")
        try:
            return getattr(self._module(), function)(text.replace("\r\n", "\n"), **options)
        except OptionError as error:
            raise FormatError(str(error)) from error

    def _module(self) -> Any:
        return importlib.import_module(f"{__name__}.{self.name}")


FORMATS: dict[str, Format] = {
    known.name: known
    for known in (
        Format("rttm", (".rttm",), "NIST's turns, for scoring and most tools"),
        Format("json", (".json",), "everything that is known, for programs", embeddings=True),
        Format("csv", (".csv",), "a table, for spreadsheets"),
        Format("srt", (".srt",), "subtitles, for players"),
        Format("vtt", (".vtt",), "subtitles, for browsers"),
        Format("audacity", (".labels.txt",), "a label track, for Audacity"),
        Format("textgrid", (".TextGrid",), "a tier per speaker, for Praat"),
        Format("text", (".txt",), "lines for people", readable=False),
    )
}
"""Every format by its name."""


def by_name(name: str) -> Format:
    """The format of that name. Raises :class:`FormatError` with the names that there are."""
    try:
        return FORMATS[name.lower()]
    except KeyError:
        raise FormatError(f"There is no format {name!r}; choose one of {', '.join(FORMATS)}.") from None


def by_path(path: str | os.PathLike[str]) -> Format:
    """The format of a file by its ending, the longest that fits. Raises :class:`FormatError` with the endings that there are."""
    file = Path(path).name.lower()
    fitting = [(len(ending), known) for known in FORMATS.values() for ending in known.endings if file.endswith(ending.lower())]
    if not fitting:
        endings = ", ".join(ending for known in FORMATS.values() for ending in known.endings)
        raise FormatError(f"The ending of {path} names no format; use one of {endings}, or name the format.")
    return max(fitting, key=lambda pair: pair[0])[1]


def save(
    diarization: Diarization,
    path: str | os.PathLike[str],
    format: str | None = None,  # noqa: A002 - the word for it
    *,
    embeddings: bool = False,
) -> None:
    """Write a result as :meth:`Diarization.save` says."""
    chosen = by_path(path) if format is None else by_name(format)
    write_file(path, chosen.dumps(diarization, embeddings=embeddings).encode(errors="replace"))


def load(path: str | os.PathLike[str], format: str | None = None, *, name: str | None = None) -> Diarization:  # noqa: A002
    """Read one recording's turns as :meth:`Diarization.load` says."""
    chosen, text = _open(path, format)
    try:
        # A format that holds names is asked for one of them only if the caller chose it.
        if name is None and not hasattr(chosen._module(), "loads_all"):  # noqa: SLF001
            name = _stem(path, chosen)
        return chosen.loads(text, name=name)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error


def load_all(path: str | os.PathLike[str], format: str | None = None) -> dict[str, Diarization]:  # noqa: A002
    """Read every recording of a file by its name; only RTTM files hold more than one. Raises :class:`FormatError`."""
    chosen, text = _open(path, format)
    try:
        return chosen.loads_all(text, name=_stem(path, chosen))
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error


def _open(path: str | os.PathLike[str], name: str | None) -> tuple[Format, str]:
    """The format and the text of a file: UTF-8, or UTF-16 if its first bytes say so, as Praat and some editors write it."""
    chosen = by_path(path) if name is None else by_name(name)
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise FormatError(f"There is no file {path}.") from error
    except (OSError, ValueError) as error:
        raise FormatError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE)) else "utf-8-sig"
    try:
        return chosen, data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FormatError(f"{path}: line {line}: the text is not {encoding[:6].upper().rstrip('-')}.") from error


def _stem(path: str | os.PathLike[str], chosen: Format) -> str:
    """The file's name without the format's ending."""
    file = Path(path).name
    ending = next((ending for ending in chosen.endings if file.lower().endswith(ending.lower())), "")
    return file[: len(file) - len(ending)] if ending else Path(path).stem
