"""Two models of others behind the face of one of ours: samples of a window in, ``logits``, ``embeddings`` and ``embedding_frames`` out.

- pyannote segmentation-3.0 (MIT): for every 270 samples the log-probabilities of seven sets of speakers: nobody, each of three, each pair
  of them (Plaquet and Bredin, "Powerset multi-class cross entropy loss for neural speaker diarization", Interspeech 2023). The probability
  of a speaker is the sum over the sets that hold it, brought to our frames by linear interpolation.
- CAM++ (Apache-2.0): the voice of each local speaker, from the log-mel energies of the frames in which nobody else is on.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from wavlm_diarizer.clustering import Clustering
from wavlm_diarizer.sessions import open_session
from wavlm_diarizer.settings import ModelSettings
from wavlm_diarizer.timebase import TimeBase
from wavlm_export.builtin.voice_teacher import log_mels

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

SETS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]], dtype=np.float64)
"""Which of the three speakers is in which of the seven sets."""
STEP, FIELD = 270, 991
"""Samples from one frame of segmentation-3.0 to the next, and that one is computed from."""
SURE = 1e-6
"""Probabilities are kept this far from 0 and 1, where logits have no end."""
WINDOW_SECONDS = 10.0
"""What segmentation-3.0 was trained on."""
EMBEDDING_SIZE = 192
CLUSTERING = Clustering(different=0.365, half_seconds=2.2)
"""CAM++'s own figures, from pieces of 0.4 to 6.4 s of 17 voices of ``single/`` that are not unseen; all else as for every model."""
LEAST_FRAMES = 15
"""Fewer solo frames than this (0.3 s) are no voice: zeros."""
MEL_STEP, MEL_FIELD = 160, 400


def settings(*, voices: bool = True, **changes: Any) -> ModelSettings:
    """What the runtime has to know of the two, or of segmentation-3.0 alone."""
    values: dict[str, Any] = {
        "source": "pyannote/segmentation-3.0 and CAM++",
        "revision": "",
        "weights_sha256": "",
        "architecture": "PyanNet",
        "do_normalize": False,
        "labels": ("LABEL_0", "LABEL_1", "LABEL_2"),
        "window_seconds": WINDOW_SECONDS,
        "overlap_seconds": WINDOW_SECONDS / 2,
        "single_pass_seconds": WINDOW_SECONDS,
        "license": "MIT and Apache-2.0",
        "embedding_size": EMBEDDING_SIZE if voices else 0,
        "clustering": CLUSTERING,
    }
    return ModelSettings(**(values | changes))


class TeacherSession:
    """What :class:`wavlm_diarizer.Diarizer` needs of an onnxruntime session; ``models`` is the folder with both files.

    Without ``voices`` there are logits alone, and the runtime joins windows by what they share.
    """

    def __init__(self, models: Path, threads: int | None = None, *, voices: bool = True) -> None:
        self._activity = open_session(models / "segmentation-3.0.onnx", threads=threads)
        self._voice = open_session(models / "campplus.onnx", threads=threads)
        self._voices = voices
        self._time = TimeBase()

    def get_inputs(self) -> list[SimpleNamespace]:
        """As onnxruntime's."""
        return [SimpleNamespace(name="input_values", type="tensor(float)", shape=["batch_size", "sequence_length"])]

    def get_outputs(self) -> list[SimpleNamespace]:
        """As onnxruntime's."""
        logits = SimpleNamespace(name="logits", type="tensor(float)", shape=["batch_size", "frames", 3])
        if not self._voices:
            return [logits]
        return [
            logits,
            SimpleNamespace(name="embeddings", type="tensor(float)", shape=["batch_size", 3, EMBEDDING_SIZE]),
            SimpleNamespace(name="embedding_frames", type="tensor(int64)", shape=["batch_size", 3]),
        ]

    def get_modelmeta(self) -> SimpleNamespace:
        """No metadata: the settings are passed."""
        return SimpleNamespace(custom_metadata_map={})

    def run(self, names: Sequence[str] | None, feed: dict[str, NDArray[np.float32]], options: Any = None) -> list[NDArray[Any]]:
        """The outputs of those names for a batch of one window."""
        del options
        (samples,) = feed["input_values"]
        logits = self.logits(samples)
        found: dict[str, NDArray[Any]] = {"logits": logits}
        wanted = list(names or [one.name for one in self.get_outputs()])
        if set(wanted) - {"logits"}:
            found["embeddings"], found["embedding_frames"] = self.embeddings(samples, logits)
        return [found[name][None] for name in wanted]

    def logits(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """``[frames, 3]`` for a window ``[n]``."""
        # It answers from 991 samples up; the silence that fills a shorter window is cut off again.
        padded = np.concatenate((samples, np.zeros(max(0, FIELD - len(samples)), dtype=np.float32)))
        (answer,) = self._activity.run(None, {self._activity.get_inputs()[0].name: padded[None, None]})
        return as_logits(answer[0], self._time.frames(len(samples)), self._time)

    def embeddings(self, samples: NDArray[np.float32], logits: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """``[3, 192]`` and the number ``[3]`` of frames that each was computed from."""
        alone = solo(logits)
        counts = np.count_nonzero(alone, axis=0).astype(np.int64)
        found = np.zeros((alone.shape[1], EMBEDDING_SIZE), dtype=np.float32)
        energies = log_mels(samples) if counts.max(initial=0) >= LEAST_FRAMES else np.zeros((0, 80), dtype=np.float32)
        # The energies are those of 25 ms every 10 ms; each belongs to the frame that its middle lies in.
        frames = np.minimum((np.arange(len(energies)) * MEL_STEP + MEL_FIELD // 2) // self._time.hop, len(alone) - 1)
        for label in np.flatnonzero(counts >= LEAST_FRAMES):
            own = energies[alone[frames, label]]
            (voice,) = self._voice.run(None, {self._voice.get_inputs()[0].name: (own - own.mean(axis=0))[None]})
            found[label] = voice[0]
        return found, counts


def as_logits(log_probabilities: NDArray[np.floating[Any]], frames: int, time_base: TimeBase) -> NDArray[np.float32]:
    """Log-probabilities ``[theirs, 7]`` of sets as logits ``[frames, 3]`` of speakers, at the middles of our frames."""
    speakers = np.exp(np.asarray(log_probabilities, dtype=np.float64)) @ SETS
    theirs = np.arange(len(speakers)) * STEP + FIELD / 2
    ours = np.arange(frames) * time_base.hop + time_base.hop / 2
    brought = np.stack([np.interp(ours, theirs, column) for column in speakers.T], axis=1)
    clear = np.clip(brought, SURE, 1 - SURE)
    logits: NDArray[np.float32] = np.log(clear / (1 - clear)).astype(np.float32)
    return logits


def solo(logits: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """Where ``[frames, labels]`` a speaker is on and nobody else is."""
    on = np.asarray(logits) > 0
    alone: NDArray[np.bool_] = on & (on.sum(axis=1, keepdims=True) == 1)
    return alone
