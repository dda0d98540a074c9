"""Packages in, their unpacked folders out: ``apt-get`` and ``pip`` download by name and exact version, nothing is installed.

A folder appears under its name only when it is whole, so an interrupted run is taken up where it stopped.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recordings.packages import Package

QUEEN_ENTRY = struct.Struct(">12sBII")
"""One entry of the table in the game's archive: name, where the data is, offset, size."""


class FetchError(Exception):
    """Something that is needed is not there; one sentence that says what to do."""


def unpacked(package: Package, work: Path) -> Path:
    """The folder of a package's files below ``work``, downloaded and unpacked unless it is there. Raises :class:`FetchError`."""
    folder = work / package.kind / package.name
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _aside(folder) as (download, new):
            (_unpack_deb if package.kind == "deb" else _unpack_sdist)(package, download, new)
    if package.kind == "deb":
        return folder
    (inside,) = folder.iterdir()  # a source archive holds one folder
    return inside


def queen_lines(folder: Path) -> None:
    """Write the spoken lines of Flight of the Amazon Queen as files of their own, into ``lines/`` of its unpacked folder.

    The archive ``queen.1c`` begins with ``QTBL``, a version of 6 characters, the length of the demo and the kind of compression; then come
    the number of entries and the table (the game's own ``resource.cpp``, in ScummVM, describes it).
    """
    lines = folder / "lines"
    if lines.exists():
        return
    archive = next(folder.rglob("queen.1c"))
    with _aside(lines) as (_, new), archive.open("rb") as file:
        new.mkdir()
        if file.read(13)[:4] != b"QTBL":
            raise FetchError(f"{archive} is not the game's archive; fetch the package again.")
        (count,) = struct.unpack(">H", file.read(2))
        table = [QUEEN_ENTRY.unpack(file.read(QUEEN_ENTRY.size)) for _ in range(count)]
        for raw, _, offset, size in table:
            name = raw.rstrip(b"\0").decode("latin1")
            if name.endswith(".SB") and size:
                file.seek(offset)
                (new / name).write_bytes(file.read(size))


def _unpack_deb(package: Package, download: Path, new: Path) -> None:
    """Download one Debian package and unpack it."""
    missing = [program for program in ("apt-get", "dpkg-deb") if shutil.which(program) is None]
    if missing:
        raise FetchError(f"{' and '.join(missing)} not found: the recordings come in Debian packages, so fetch them on Debian 12.")
    _run("apt-get", "-o", "APT::Sandbox::User=root", "download", f"{package.name}={package.version}", folder=download)
    (archive,) = download.glob("*.deb")
    new.mkdir()
    _run("dpkg-deb", "-x", str(archive), str(new), folder=download)


def _unpack_sdist(package: Package, download: Path, new: Path) -> None:
    """Download the source archive of one Python package and unpack it; nothing in it is run but what pip needs for its metadata."""
    command = ("-m", "pip", "download", "-q", "--no-deps", "--no-binary", package.name, f"{package.name}=={package.version}")
    _run(sys.executable, *command, "-d", str(download), folder=download)
    (archive,) = download.glob("*.tar.gz")
    new.mkdir()
    with tarfile.open(archive) as tar:
        tar.extractall(new, filter="data")


@contextmanager
def _aside(target: Path) -> Iterator[tuple[Path, Path]]:
    """A scratch folder beside ``target`` and in it the path to fill, which becomes ``target`` at the end."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".part-") as scratch:
        new = Path(scratch) / "new"
        yield Path(scratch), new
        new.rename(target)


def _run(*command: str, folder: Path) -> None:
    """Run a program; its last words are the error's if it fails."""
    done = subprocess.run(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        last = " ".join(done.stdout.split())[-400:]
        hint = " Run 'apt-get update' first; the versions are those of Debian 12." if command[0] == "apt-get" else ""
        raise FetchError(f"{' '.join(command)} failed: {last}.{hint}")
