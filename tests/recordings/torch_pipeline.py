"""The checkpoint in PyTorch, from audio to turns, written a second time: what the command's answer is compared with.

The same windows, joining and decoding as DESIGN's rules for the runtime, but on whole recordings, with transformers' model, and with the
windows and the joining in their plainest form. Only the clustering of voices, the decoding's rules and the file formats are the runtime's own.
"""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from wavlm_diarizer.clustering import SpeakerCount
from wavlm_diarizer.decoding import decode
from wavlm_diarizer.diarization import Diarization, Turn
from wavlm_diarizer.speakers import ACTIVE
from wavlm_diarizer.voice_join import VoiceJoin, WindowAnswer

if TYPE_CHECKING:
    from pathlib import Path

    from wavlm_diarizer.settings import ModelSettings
    from wavlm_export.checkpoint import Checkpoint

HOP, RECEPTIVE_FIELD, RATE = 320, 400, 16_000


def diarize(checkpoint: Checkpoint, path: Path, settings: ModelSettings) -> Diarization:
    """The turns of a 16 kHz mono recording."""
    samples, rate = soundfile.read(path, dtype="float32")
    assert (rate, samples.ndim) == (RATE, 1)
    windows = [(start // HOP, samples[start:stop]) for start, stop in spans(len(samples), settings)]
    if checkpoint.speaker is None:
        joined = join([(first, probabilities(checkpoint, window)) for first, window in windows])
    else:
        joined = join_by_voice(checkpoint, windows, settings)
    turns = []
    for label, runs in enumerate(decode(joined, settings.decoding, settings.time_base)):
        for first, stop in runs:
            end = len(samples) if stop == len(joined) else stop * HOP
            turns.append(Turn(first * HOP / RATE, end / RATE, f"label {label}"))
    return Diarization(turns, name=path.stem)


def spans(samples: int, settings: ModelSettings) -> list[tuple[int, int]]:
    """The windows of a recording: one if it is short, else every step, the last one on the grid and up to the end."""
    window, overlap, single = (
        round(seconds * RATE) for seconds in (settings.window_seconds, settings.overlap_seconds, settings.single_pass_seconds)
    )
    if samples <= single:
        return [(0, samples)]
    last = -(-(samples - window) // HOP) * HOP
    return [(start, start + window) for start in range(0, last, window - overlap)] + [(last, samples)]


def probabilities(checkpoint: Checkpoint, samples: np.ndarray) -> np.ndarray:
    """``[frames, labels]`` of one window, as transformers' feature extractor and model answer."""
    logits = checkpoint.logits(prepared(checkpoint, samples)[None])[0].astype(np.float64)
    assert len(logits) == 1 + (len(samples) - RECEPTIVE_FIELD) // HOP
    return 1 / (1 + np.exp(-logits))


def prepared(checkpoint: Checkpoint, samples: np.ndarray) -> np.ndarray:
    """A window as transformers' feature extractor gives it to the model."""
    if not checkpoint.do_normalize:
        return samples
    wide = samples.astype(np.float64)
    return ((wide - wide.mean()) / np.sqrt(wide.var() + 1e-7)).astype(np.float32)


def join_by_voice(checkpoint: Checkpoint, windows: list[tuple[int, np.ndarray]], settings: ModelSettings) -> np.ndarray:
    """The activity of everybody, by the embeddings of transformers' x-vector model on the frames at which each speaks alone."""
    threshold = min(ACTIVE, settings.decoding.onset)
    joined = VoiceJoin(len(settings.labels), settings.time_base, settings.clustering, SpeakerCount(), threshold)
    for first, samples in windows:
        values = prepared(checkpoint, samples)[None]
        logits = checkpoint.logits(values)
        (voices,) = checkpoint.speaker.embeddings(values, logits)
        answer = WindowAnswer(1 / (1 + np.exp(-logits[0].astype(np.float64))), voices.embeddings[0].astype(np.float32), voices.frames[0])
        joined.add(first, answer)
    return joined.result().probabilities


def join(windows: list[tuple[int, np.ndarray]]) -> np.ndarray:
    """The windows' columns in the order of the best permutation on each overlap, averaged with triangular weights."""
    labels = windows[0][1].shape[1]
    frames = max(first + len(columns) for first, columns in windows)
    total, weight = np.zeros((frames, labels)), np.zeros((frames, 1))
    for index, (first, given) in enumerate(windows):
        columns = given
        if index:
            before_first, before = windows[index - 1]
            shared = before[first - before_first :]
            shared, own = shared[: len(columns)], columns[: len(shared)]
            # Under half a second of activity on either side there is nothing to compare.
            if min((side > 0.5).any(axis=1).sum() for side in (shared, own)) >= 25:
                best = max(permutations(range(labels)), key=lambda order: float(np.sum(shared * own[:, order])))
                columns = columns[:, best]
            windows[index] = (first, columns)
        triangle = np.minimum(np.arange(1, len(columns) + 1), np.arange(len(columns), 0, -1))[:, None]
        total[first : first + len(columns)] += triangle * columns
        weight[first : first + len(columns)] += triangle
    return (total / weight).astype(np.float32)
