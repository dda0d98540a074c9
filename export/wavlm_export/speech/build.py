"""Rebuild the speech beside this file from fetched recordings: ``python -m wavlm_export.speech.build DATA``.

DATA is the folder that ``benchmarks/recordings/fetch.py`` fills. The check speech are meeting excerpts as they are; the calibration speech
are conversations made of single voices, with pauses, overlap and levels up to 20 dB apart, because scales that are chosen on even speech
fail on quiet people.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import soundfile

from wavlm_export.speech import FOLDER, read_speech

RATE = 16_000
CHECK = ("ami_trn00", "ami_trn03", "ami_trn04", "ami_trn05")
"""Meeting excerpts; the sample recording of the package is another one."""
VOICES = ("asterisk_carlo", "asterisk_ivrvoice", "pocketsphinx_librivox")
"""Single voices under CC-BY-3.0 and in the public domain."""
CONVERSATIONS, SECONDS = 5, 30
LEVELS_DB = (-20.0, 0.0)
LOUDNESS = 0.08
"""Root mean square of a voice at 0 dB."""


def main(arguments: list[str]) -> int:
    """Write both kinds of speech as Ogg Opus."""
    data = Path(arguments[0])
    for kind in ("check", "calibration"):
        (FOLDER / kind).mkdir(exist_ok=True)
    for name, samples in read_speech(data / "real" / f"{name}.flac" for name in CHECK):
        soundfile.write(FOLDER / "check" / f"{name}.opus", samples, RATE, format="OGG", subtype="OPUS")
    rng = np.random.default_rng(0)
    clips = {voice: [samples for _, samples in read_speech(sorted((data / "single" / voice).glob("*.flac")))] for voice in VOICES}
    for index in range(CONVERSATIONS):
        conversation = mix(clips, rng)
        soundfile.write(FOLDER / "calibration" / f"conversation_{index}.opus", conversation, RATE, format="OGG", subtype="OPUS")
    return 0


def mix(clips: dict[str, list[np.ndarray]], rng: np.random.Generator) -> np.ndarray:
    """One conversation: each of two voices has a track of its own, at its own level, with pauses of random length."""
    out = np.zeros(SECONDS * RATE, dtype=np.float32)
    for voice in rng.choice(sorted(clips), 2, replace=False):
        level, position = 10 ** (rng.uniform(*LEVELS_DB) / 20), int(rng.uniform(0, 3) * RATE)
        for index in rng.permutation(len(clips[voice])):
            clip = clips[voice][index]
            part = clip[: max(0, len(out) - position)]
            out[position : position + len(part)] += part * (level * LOUDNESS / max(1e-4, float(np.sqrt(np.mean(clip * clip)))))
            position += len(clip) + int(rng.exponential(2.0) * RATE)
            if position >= len(out):
                break
    return np.clip(out, -1.0, 1.0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
