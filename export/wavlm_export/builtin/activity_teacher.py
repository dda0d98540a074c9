"""Samples in, how many talk and which of three by pyannote's segmentation-3.0 out; and labels between that and what is known.

The truth about a simulated conversation says who talks, however soft or short; what the teacher hears in the same samples says what whoever
annotates recordings would write down, and how doubtful it is (Hinton et al. 2015, 1503.02531; both hear the same, as Beyer et al. 2022,
2106.05237, found best).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wavlm_diarizer.errors import OptionError
from wavlm_diarizer.sessions import open_session
from wavlm_export.builtin.config import HOP
from wavlm_export.builtin.losses import PERMUTATIONS

if TYPE_CHECKING:
    import onnxruntime
    from numpy.typing import NDArray

STEP, FIELD = 270, 991
"""Samples from one of segmentation-3.0's frames to the next, and that one frame is computed from."""
CLASSES = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]], dtype=np.float32)
"""Who talks in each of its seven classes."""


class ActivityTeacher:
    """segmentation-3.0 as ONNX; opened when it first hears something, in the process that asks."""

    def __init__(self, path: str | Path) -> None:
        """Raises :class:`OptionError` if the file is not there."""
        if not Path(path).is_file():
            raise OptionError(f"There is no teacher {path}: set data.teacher to segmentation-3.0 as an ONNX file, or to nothing.")
        self._path = Path(path)
        self._session: onnxruntime.InferenceSession | None = None

    def __call__(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities ``[n // 320, 7]`` of :data:`CLASSES` in every 20 ms of ``[n]`` samples at 16 kHz, best about ten seconds."""
        if self._session is None:
            self._session = open_session(self._path, threads=1)
        (wanted,) = self._session.get_inputs()
        (scores,) = self._session.run(None, {wanted.name: samples[None, None].astype(np.float32)})
        centre = np.arange(len(samples) // HOP) * HOP + HOP // 2
        nearest = np.clip(np.round((centre - FIELD / 2) / STEP).astype(int), 0, scores.shape[1] - 1)
        heard: NDArray[np.float32] = np.exp(scores[0, nearest]).astype(np.float32)
        return heard


def between(truth: NDArray[np.float32], heard: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """Labels ``[frames, 3]``: ``share`` of what was heard (``[frames, 7]``, of :data:`CLASSES`) and the rest of the truth (0 or 1).

    While one person talks, the teacher says only whether somebody does: it takes alike voices for one, and a voice in the background for
    a second one. While nobody does, as in a pause that it hears as speech, it says whose speech that is: its speakers are those of the
    truth in the order in which both agree most. Two or more at once, of which it misses many, stay as they are.
    """
    each = heard @ CLASSES
    each = each[:, max(PERMUTATIONS, key=lambda order: float((truth * each[:, order]).sum()))]
    talking, told = truth.sum(axis=1), truth.copy()
    silent, alone = talking == 0, talking == 1
    told[silent] = (each * truth.any(axis=0))[silent]
    told[alone] *= 1 - heard[alone, :1]
    labels: NDArray[np.float32] = ((1 - share) * truth + share * told).astype(np.float32)
    return labels
