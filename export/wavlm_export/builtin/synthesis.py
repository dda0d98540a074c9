"""Speech synthesisers in, folders of clips of synthesised voices out, beside those of human voices: a few dozen people are too few.

Every engine and voice is one that a package ships under an open licence. What is not installed is left out, so that the step runs anywhere.
"""

from __future__ import annotations

import csv
import functools
import shutil
import subprocess
import tempfile
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import soxr

from wavlm_diarizer.errors import OptionError
from wavlm_export.builtin import kokoro
from wavlm_export.builtin.config import RATE
from wavlm_export.builtin.sentences import sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from wavlm_export.builtin.config import Data

SOURCES = "SOURCES.tsv"
FLITE = ("awb", "kal16", "rms", "slt")
FESTIVAL = {
    "czech_dita": ("festvox-czech-dita", "GPL-3+", "en"),
    "czech_krb": ("festvox-czech-krb", "GPL-3+", "en"),
    "czech_machac": ("festvox-czech-machac", "GPL-3+", "en"),
    "czech_ph": ("festvox-czech-ph", "GPL-2+", "en"),
    "hindi_NSK_diphone": ("festvox-hi-nsk", "GPL-2+", "hi"),
    "hy_fi_mv_diphone": ("festvox-suopuhe-mv", "LGPL (package copyright)", "it"),
    "ked_diphone": ("festvox-kdlpc16k", "BSD-like (CSTR and CMU)", "en"),
    "lp_diphone": ("festvox-italp16k", "GPL-2+", "it"),
    "pc_diphone": ("festvox-itapc16k", "GPL-2+", "it"),
    "suo_fi_lj_diphone": ("festvox-suopuhe-lj", "LGPL (package copyright)", "it"),
    "upc_ca_ona_hts": ("festvox-ca-ona-hts", "LGPL-2.1+", "es"),
}
"""Voices of festival: Debian package, licence, and whose sentences they say; a language that has none gets the nearest sounds.
Those that flite has too (kal, slt) are left out."""


@dataclass(frozen=True)
class Speaker:
    """One voice that can be made to say a text."""

    name: str
    package: str
    licence: str
    language: str
    """Of :mod:`sentences`."""
    say: Callable[[str, np.random.Generator], NDArray[np.float32]]
    """From a text to samples at 16 kHz."""


def voices(data: Data, report: Callable[[str], None] = lambda _: None) -> Path:
    """Give every voice that is installed ``data.synthetic_seconds`` of clips in ``data.synthetic``; what is there already stays.

    The voices take turns, clip by clip: a run that was stopped has some of everybody, and goes on where it was.
    """
    if not data.synthetic:
        raise OptionError("There is no folder for synthesised voices: set data.synthetic.")
    out = Path(data.synthetic)
    if data.kokoro and not (Path(data.kokoro) / kokoro.MODEL).is_file():
        report("fetching Kokoro")
        kokoro.fetch(Path(data.kokoro))
    cast = speakers(data.kokoro)
    if not cast:
        raise OptionError("No speech synthesiser was found: install flite or festival with voices, or set data.kokoro.")
    out.mkdir(parents=True, exist_ok=True)
    with (out / SOURCES).open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, delimiter="\t", lineterminator="\n")
        rows.writerow(("speaker", "package", "licence"))
        rows.writerows((one.name, one.package, one.licence) for one in cast)
    seconds = dict.fromkeys((one.name for one in cast), 0.0)
    number = 0
    while missing := [one for one in cast if seconds[one.name] < data.synthetic_seconds]:
        for speaker in missing:
            seconds[speaker.name] += _clip(speaker, number, out / speaker.name)
        number += 1
        report(f"clip {number} of {len(missing)} voices: {sum(seconds.values()) / 60:.1f} minutes")
    return out


def speakers(kokoro_folder: str) -> list[Speaker]:
    """Every voice that is installed."""
    found = [*_flite(), *_festival()]
    if kokoro_folder:
        engine = kokoro.Kokoro(Path(kokoro_folder))
        for name, style in engine.styles().items():
            language = kokoro.language(name)
            say = functools.partial(_kokoro_says, engine, style, language)
            found.append(Speaker(f"kokoro_{name}", kokoro.PACKAGES, "Apache-2.0", language, say))
    return found


def _clip(speaker: Speaker, number: int, folder: Path) -> float:
    """Clip ``number`` of a voice, made if it is not there; its seconds."""
    path = folder / f"{number:04d}.flac"
    if not path.exists():
        random = np.random.default_rng([number, *speaker.name.encode()])
        samples = speaker.say(sentence(speaker.language, random), random)
        top = float(np.max(np.abs(samples), initial=0.0))
        if len(samples) < RATE // 2 or top == 0.0:
            raise OptionError(f"{speaker.name} of {speaker.package} says nothing.")
        folder.mkdir(exist_ok=True)
        aside = path.with_suffix(".part")
        soundfile.write(aside, samples * np.float32(0.5 / top), RATE, format="FLAC")
        aside.replace(path)
    return float(soundfile.info(path).duration)


def _kokoro_says(
    engine: kokoro.Kokoro, style: NDArray[np.float32], language: str, text: str, random: np.random.Generator
) -> NDArray[np.float32]:
    return engine.say(text, style, language, random)


def _flite() -> Iterator[Speaker]:
    if shutil.which("flite") is not None:
        for name in FLITE:
            yield Speaker(f"flite_{name}", "flite", "BSD-like (CMU)", "en", functools.partial(_flite_says, name))


def _flite_says(name: str, text: str, _: np.random.Generator) -> NDArray[np.float32]:
    return _written(["flite", "-voice", name, "-t", text, "-o"])


def _festival() -> Iterator[Speaker]:
    if shutil.which("text2wave") is None:
        return
    asked = ["festival", "--batch", '(mapcar (lambda (voice) (format t "%s\\n" voice)) (voice.list))']
    installed = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    for name in sorted(FESTIVAL.keys() & set(installed)):
        package, licence, language = FESTIVAL[name]
        yield Speaker(f"festival_{name}", package, licence, language, functools.partial(_festival_says, name))


def _festival_says(name: str, text: str, _: np.random.Generator) -> NDArray[np.float32]:
    # Voices of Latin letters trip over accents in UTF-8.
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode() if text[0].isascii() else text
    return _written(["text2wave", "-eval", f"(voice_{name})", "-o"], plain)


def _written(command: list[str], text: str = "") -> NDArray[np.float32]:
    """What a program writes to the file that is named last, at 16 kHz."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "said.wav"
        subprocess.run([*command, str(path)], input=text.encode(), capture_output=True, check=True)
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    said: NDArray[np.float32] = soxr.resample(samples.mean(axis=1), rate, RATE)
    return said
