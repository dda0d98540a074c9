"""The speech that comes with the exporter: what int8 scales are chosen on, and, disjoint from it, what the result is checked on.

Out: recordings as ``(name, samples)``, float32 ``[n]`` at 16 kHz. Where they come from: ``SOURCES.md`` beside this file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wavlm_diarizer.audio import open_audio
from wavlm_diarizer.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

FOLDER = Path(__file__).parent
KINDS = ("calibration", "check")

Speech = list[tuple[str, "NDArray[np.float32]"]]


def load_speech(kind: str, rate: int = 16_000) -> Speech:
    """The recordings of one kind, ``calibration`` or ``check``, in the order of their names."""
    if kind not in KINDS:
        raise OptionError(f"There is speech for {' and '.join(KINDS)}, not for {kind!r}.")
    return read_speech(sorted((FOLDER / kind).glob("*.opus")), rate)


def read_speech(paths: Iterable[Path | str], rate: int = 16_000) -> Speech:
    """Recordings from files, mixed down. Raises :class:`wavlm_diarizer.errors.AudioError` subclasses."""
    speech = []
    for path in paths:
        with open_audio(path, rate=rate) as stream:
            blocks = [block[:, 0] for block in stream.blocks()]
            speech.append((stream.name, np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.float32)))
    return speech


def windows(speech: Speech, samples: int, least: int) -> list[NDArray[np.float32]]:
    """All speech cut into windows of ``samples``; what is left at a recording's end counts if it has at least ``least``."""
    cuts = [recording[start : start + samples] for _, recording in speech for start in range(0, len(recording), samples)]
    return [window for window in cuts if len(window) >= least]
