"""Folders of clips in, packed voices out: int16 samples at one loudness and whether each 20 ms are speech, by energy or by a teacher."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from wavlm_diarizer.errors import OptionError
from wavlm_diarizer.writing import write_file
from wavlm_export.builtin.config import HOP, RATE
from wavlm_export.builtin.voices import INDEX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from wavlm_export.builtin.config import Data

SPEECH_LEVEL = 0.08
"""RMS of speech in a packed clip."""
LEAST_CLIP = 10
"""Frames: shorter clips are left out."""
AUDIO = re.compile(r".*\.(flac|wav|ogg|opus|mp3)$")

TEACHER_WINDOW, TEACHER_STEP, TEACHER_FIELD = 160_000, 270, 991
"""Samples of segmentation-3.0's window, from one of its frames to the next, and that one frame is computed from."""


def prepare(data: Data, report: Callable[[str], None] = lambda _: None) -> Path:
    """Pack every voice of ``data.single`` and ``data.synthetic``; what is packed already stays. The pack's folder."""
    out = Path(data.packed)
    out.mkdir(parents=True, exist_ok=True)
    label = _teacher(data.teacher) if data.teacher else speech_by_energy
    source = Path(data.single)
    if not source.is_dir():
        raise OptionError(f"There is no folder {source} with one folder of clips per voice: set data.single.")
    sources = [source, *([Path(data.synthetic)] if data.synthetic and Path(data.synthetic).is_dir() else [])]
    entries = []
    for folder in sorted((one for source in sources for one in source.iterdir() if one.is_dir()), key=lambda one: one.name):
        entry = _pack(folder, out, data, label)
        if entry is not None:
            entries.append(entry)
            report(f"{entry['name']}: {entry['seconds'] / 60:.1f} minutes, {entry['speech']:.0%} speech")
    write_file(out / INDEX, json.dumps({"teacher": Path(data.teacher).name, "voices": entries}).encode())
    return out


def _pack(folder: Path, out: Path, data: Data, label: Callable[[NDArray[np.float32]], NDArray[np.bool_]]) -> dict[str, Any] | None:
    """One voice's arrays; None if there is too little of it."""
    note = out / f"{folder.name}.json"
    if note.exists():
        packed: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
        return packed
    samples, clips, at = [], [], 0
    for clip in _clips(folder, data.most_seconds):
        count = len(clip) // HOP
        samples.append(clip[: count * HOP])
        clips.append((at, count))
        at += count
    if at * HOP < data.least_seconds * RATE:
        return None
    audio = np.concatenate(samples)
    # Who annotates conversations leaves out neither soft sounds nor short breaks: both judges count, and gaps under 0.5 s are filled.
    heard = label(audio)[:at] | speech_by_energy(audio)[:at]
    speech = np.concatenate([whole(heard[first : first + count], fill=25, drop=3) for first, count in clips])
    if not speech.any():
        return None
    for first, count in clips:
        part = slice(first * HOP, (first + count) * HOP)
        spoken = audio[part][np.repeat(speech[first : first + count], HOP)]
        level = float(np.sqrt(np.mean(spoken * spoken))) if len(spoken) else 0.0
        # A clip without speech keeps its level relative to nothing: it is muted rather than raised.
        audio[part] *= SPEECH_LEVEL / level if level > 1e-4 else 0.0
    _save(out / f"{folder.name}.npy", (np.clip(audio, -0.999, 0.999) * 32767).astype(np.int16))
    _save(out / f"{folder.name}.speech.npy", speech)
    entry: dict[str, Any] = {"name": folder.name, "seconds": at * HOP / RATE, "speech": float(speech.mean()), "clips": clips}
    write_file(note, json.dumps(entry).encode())
    return entry


def _clips(folder: Path, most_seconds: float) -> Iterator[NDArray[np.float32]]:
    """The clips of a folder in order of name, mono, until there is enough."""
    total = 0
    for path in sorted(folder.iterdir()):
        if not AUDIO.fullmatch(path.name.lower()) or total >= most_seconds * RATE:
            continue
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        if rate != RATE:
            raise OptionError(f"{path} has {rate} Hz; clips for training have {RATE} Hz.")
        mono = samples.mean(axis=1)
        if len(mono) >= LEAST_CLIP * HOP:
            total += len(mono)
            yield mono


def speech_by_energy(samples: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Frames ``[n / 320]`` of clean clips ``[n]`` within 32 dB of the loud ones and clear of the floor; gaps under 0.2 s filled."""
    count = len(samples) // HOP
    level = 10 * np.log10(np.mean(samples[: count * HOP].reshape(count, HOP) ** 2, axis=1) + 1e-10)
    loud, floor = np.percentile(level, [95, 5])
    return whole(level > max(loud - 32, min(floor + 9, loud - 18)), fill=10, drop=3)


def whole(speech: NDArray[np.bool_], *, fill: int, drop: int) -> NDArray[np.bool_]:
    """Speech ``[frames]`` tidied: gaps shorter than ``fill`` frames are speech; after that, bursts shorter than ``drop`` are none."""
    whole = speech.copy()
    for value, shorter in ((True, fill), (False, drop)):
        edges = np.flatnonzero(np.diff(whole.astype(np.int8))) + 1
        for first, stop in itertools.pairwise(edges):
            if whole[first] != value and stop - first < shorter:
                whole[first:stop] = value
    return whole


def _teacher(path: str) -> Callable[[NDArray[np.float32]], NDArray[np.bool_]]:
    """Speech as pyannote's segmentation-3.0 hears it (seven classes per frame, the first is silence)."""
    from wavlm_diarizer.sessions import open_session

    session = open_session(Path(path))
    (wanted,) = session.get_inputs()

    def label(samples: NDArray[np.float32]) -> NDArray[np.bool_]:
        frames = len(samples) // HOP
        padded = np.concatenate((samples, np.zeros(-len(samples) % TEACHER_WINDOW, dtype=np.float32))).reshape(-1, 1, TEACHER_WINDOW)
        speech = np.zeros(len(padded) * TEACHER_WINDOW // HOP, dtype=bool)
        centre = np.arange(TEACHER_WINDOW // HOP) * HOP + HOP // 2
        for number, window in enumerate(padded):
            level = np.sqrt(np.mean(window * window)) + 1e-6
            (log_probabilities,) = session.run(None, {wanted.name: (window * (0.05 / level))[None].astype(np.float32)})
            nearest = np.clip(np.round((centre - TEACHER_FIELD / 2) / TEACHER_STEP).astype(int), 0, log_probabilities.shape[1] - 1)
            here = slice(number * len(centre), (number + 1) * len(centre))
            speech[here] = np.exp(log_probabilities[0, nearest, 0]) < 0.5
        return whole(speech[:frames], fill=5, drop=3)

    return label


def noises(folder: str) -> list[NDArray[np.int16]]:
    """Recordings of noise, mono, as int16 of equal loudness; none for an empty name."""
    if not folder:
        return []
    found = []
    for path in sorted(one for one in Path(folder).rglob("*") if AUDIO.fullmatch(one.name.lower())):
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        level = float(np.sqrt(np.mean(samples**2))) if len(samples) else 0.0
        if rate == RATE and level > 1e-5:
            found.append((np.clip(samples.mean(axis=1) * (SPEECH_LEVEL / level), -0.999, 0.999) * 32767).astype(np.int16))
    return found


def _save(path: Path, array: NDArray[Any]) -> None:
    aside = path.with_name(path.name + ".part.npy")
    np.save(aside, array)
    aside.replace(path)
