"""Any clip of the packages in, 16 kHz mono samples out, and the FLAC files that they are kept in.

Samples are float32 in [-1, 1]; files are 16-bit. A file is written aside and renamed.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import soxr

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

RATE = 16_000
GSM_RATE = 8_000
GAME_RATE = 11_025
SILENCE_DB = -40.0
"""Frames this much under the loudest one count as silence at a clip's ends."""
SILENCE_POWER = 1e-7
"""Frames under this power are silence whatever the loudest one is."""
MARGIN_SECONDS = 0.1


def read(name: str, data: bytes) -> NDArray[np.float32]:
    """The samples ``[n]`` of a file's content; its name's ending tells the raw formats, which have no header.

    Raises whatever the decoder raises for bytes that are not audio, and :class:`ValueError` for a file without samples.
    """
    ending = name.lower().rpartition(".")[2]
    if ending == "g722":
        samples, rate = _g722(data), RATE
    elif ending == "gsm":
        samples, rate = soundfile.read(io.BytesIO(data), dtype="float32", samplerate=GSM_RATE, channels=1, format="RAW", subtype="GSM610")
    elif ending in {"u8", "als"}:
        samples, rate = (np.frombuffer(data, dtype=np.uint8).astype(np.float32) - 128) / 128, GAME_RATE
    else:
        channels, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
        samples = channels.mean(axis=1)
    if not len(samples):
        raise ValueError("no samples")
    samples = np.asarray(samples, dtype=np.float32)
    return samples if rate == RATE else soxr.resample(samples, rate, RATE, quality="VHQ").astype(np.float32)


def _g722(data: bytes) -> NDArray[np.float32]:
    """Raw G.722 (ITU-T, 64 kbit/s) decoded by FFmpeg."""
    import av

    decoder = av.CodecContext.create("g722", "r")
    decoder.sample_rate, decoder.layout = RATE, "mono"
    frames = [frame.to_ndarray().ravel() for frame in decoder.decode(av.Packet(data))]
    if not frames:
        raise ValueError("no samples")
    return np.concatenate(frames).astype(np.float32) / 32768


def trim(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The samples without silence at either end, but for a margin of 0.1 s; nothing at all if all is silence.

    Silence is what lies in frames of 10 ms that are 40 dB under the loudest one.
    """
    hop = RATE // 100
    frames = samples[: len(samples) // hop * hop].reshape(-1, hop)
    if not len(frames):
        return samples[:0]
    power = (frames.astype(np.float64) ** 2).mean(axis=1)
    loud = np.flatnonzero(power > max(power.max() * 10 ** (SILENCE_DB / 10), SILENCE_POWER))
    if not len(loud):
        return samples[:0]
    margin = int(MARGIN_SECONDS * RATE)
    return samples[max(0, loud[0] * hop - margin) : (loud[-1] + 1) * hop + margin]


def write(path: Path, samples: NDArray[np.float32]) -> None:
    """Write samples as a 16-bit FLAC file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    soundfile.write(aside, np.clip(samples, -1, 1), RATE, format="FLAC", subtype="PCM_16")
    aside.replace(path)
