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

from recordings import rnc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recordings.packages import Package

QUEEN_ENTRY = struct.Struct(">12sBII")
"""One entry of the table in the game's archive: name, where the data is, offset, size."""

SKY_LINES = range(50_000, 60_000)
"""Numbers of the files in the game's archive that may be spoken lines,"""
SKY_HEADER, SKY_PACKED = 22, 1 << 23
"""bytes before the samples of one, and the flag in its size without which they are packed."""


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


def sky_lines(folder: Path) -> None:
    """Write the spoken lines of Beneath a Steel Sky as raw samples (unsigned, 8 bits, 11,025 Hz), into ``lines/`` of its unpacked folder.

    The index ``sky.dnr`` begins with the number of entries of 8 bytes: a file's number (2), where it begins in ``sky.dsk`` (3; with the
    highest bit set in units of 16 bytes), and its size with two flags (3). The game's own ``disk.cpp``, in ScummVM, describes it.
    """
    lines = folder / "lines"
    if lines.exists():
        return
    index = next(folder.rglob("sky.dnr"))
    entries = index.read_bytes()
    with _aside(lines) as (_, new), index.with_suffix(".dsk").open("rb") as file:
        new.mkdir()
        for at in range(4, 4 + 8 * int.from_bytes(entries[:4], "little"), 8):
            number, offset, size = (int.from_bytes(entries[at + first : at + stop], "little") for first, stop in ((0, 2), (2, 5), (5, 8)))
            if number not in SKY_LINES or size & SKY_PACKED:
                continue
            file.seek((offset & 0x7FFFFF) * 16 if offset & 0x800000 else offset)
            data = file.read(size & 0x3FFFFF)[SKY_HEADER:]
            if rnc.is_packed(data):
                (new / f"{number}.u8").write_bytes(rnc.unpacked(data))


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
