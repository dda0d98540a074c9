"""Debian packages in, recordings of anything but speech out, 16 kHz mono FLAC: what a model has to stay silent at."""

from __future__ import annotations

import csv
import io
import re
import subprocess
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import soundfile
import soxr

from wavlm_diarizer.errors import OptionError
from wavlm_export.builtin.config import RATE
from wavlm_export.builtin.synthesis import SOURCES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from wavlm_export.builtin.config import Data

PACKAGES = {
    "asterisk-moh-opsound-wav": "CC-BY-SA-3.0",
    "bucklespring-data": "GPL-2+",
    "hyperrogue-music": "GPL-2+, CC-BY-SA, CC-BY, CC0",
    "lomiri-sounds": "CC0, CC-BY, CC-BY-SA",
    "openarena-data": "GPL-2",
    "oxygen-sounds": "LGPL-3+",
    "pushover-data": "GPL-3+",
    "singularity-music": "CC-BY-SA-3.0",
    "sonic-pi-samples": "CC0, CC-BY-SA, MIT, Zlib",
    "sound-theme-freedesktop": "CC-BY, CC-BY-SA, GPL",
    "warzone2100-music": "GPL-2+, CC0",
}
"""Debian packages of music, effects, instruments, keyboards and everyday sounds, with their licences; :func:`fetch` notes each version."""
SPOKEN = re.compile(r"vox|voice|player|feedback|taunt|announc|speech|speak|princess|choir|vocal|misc/.*(you|tied)", re.IGNORECASE)
"""In a path: somebody may speak or sing."""
SOUNDS = (".flac", ".wav", ".ogg", ".oga", ".opus")
LEAST_SECONDS = 0.2
PIECE_SECONDS, PIECES = 20, 3
"""Of what is longer than one piece, such as music, so many are kept, spread over its length."""


def fetch(data: Data, report: Callable[[str], None] = lambda _: None) -> Path:
    """Fill ``data.noises`` from Debian's packages, with a table of package, version and licence. Raises :class:`OptionError`."""
    if not data.noises:
        raise OptionError("There is no folder for recordings of noise: set data.noises.")
    out = Path(data.noises)
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for package, licence in PACKAGES.items():
            version = _unpacked(package, Path(scratch))
            count = 0
            for name, samples, rate in _sounds(Path(scratch) / package):
                for piece in _pieces(samples.mean(axis=1), rate):
                    kept = soxr.resample(piece, rate, RATE)
                    if len(kept) >= LEAST_SECONDS * RATE and abs(kept).max() > 1e-4:
                        soundfile.write(out / f"{package}_{count:04d}_{name[:40]}.flac", kept, RATE)
                        count += 1
            rows.append((package, version, licence, count))
            report(f"{package} {version}: {count} recordings")
    with (out / SOURCES).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(("package", "version", "licence", "recordings"))
        table.writerows(rows)
    return out


def _pieces(samples: NDArray[np.float32], rate: int) -> Iterator[NDArray[np.float32]]:
    """Samples ``[n]`` whole, or pieces of them if they are long."""
    size = PIECE_SECONDS * rate
    if len(samples) <= size:
        yield samples
        return
    count = min(PIECES, len(samples) // size)
    # In the middle of equal parts, so that neither the fade at the start nor the one at the end is among them.
    for number in range(count):
        first = (2 * number + 1) * len(samples) // (2 * count) - size // 2
        yield samples[first : first + size]


def _unpacked(package: str, scratch: Path) -> str:
    """Download a package and unpack it into a folder of its name; its version."""
    try:
        subprocess.run(["apt-get", "download", "-q", package], cwd=scratch, check=True, capture_output=True, text=True)
        (archive,) = scratch.glob(f"{package}_*.deb")
        subprocess.run(["dpkg-deb", "-x", archive, scratch / package], check=True, capture_output=True, text=True)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or str(error)
        raise OptionError(f"{package} could not be fetched (on Debian, after apt-get update): {reason.strip()}") from error
    return archive.name.split("_")[1].replace("%3a", ":")


def _sounds(folder: Path) -> Iterator[tuple[str, NDArray[np.float32], int]]:
    """Name, samples ``[n, channels]`` and rate of every sound without speech, also in a game's archives."""
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".pk3":
            with zipfile.ZipFile(path) as archive:
                for member in sorted(archive.namelist()):
                    if member.lower().endswith(SOUNDS) and not SPOKEN.search(member):
                        yield from _read(io.BytesIO(archive.read(member)), Path(member).stem)
        elif path.suffix.lower() in SOUNDS and not SPOKEN.search(str(path.relative_to(folder))):
            yield from _read(path, path.stem)


def _read(source: Path | io.BytesIO, name: str) -> Iterator[tuple[str, NDArray[np.float32], int]]:
    """One sound, or none if it is in a format that soundfile does not know."""
    try:
        samples, rate = soundfile.read(source, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError:
        return
    yield name, samples, rate
