"""Audio blocks in, model windows out: where windows start, how each is normalised, and the buffer that holds no more than one of them.

In: blocks ``[n, channels]`` of 16 kHz samples of any length. Out: :class:`Window` objects in order of time, on the frame grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wavlm_diarizer.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from wavlm_diarizer.timebase import TimeBase

VARIANCE_FLOOR = 1e-7
"""Added to the variance before its root, as transformers' Wav2Vec2FeatureExtractor does."""


@dataclass(frozen=True)
class WindowSettings:
    """Lengths in samples: multiples of the hop, so that every window starts on the frame grid."""

    window: int
    """Samples of one window."""
    overlap: int
    """Samples that a window shares with the one before it; at most half a window."""
    single_pass: int
    """A recording of at most this many samples is one window."""

    @classmethod
    def from_seconds(cls, window: float, overlap: float, single_pass: float, time_base: TimeBase) -> WindowSettings:
        """The settings nearest to these durations on the frame grid.

        Raises :class:`OptionError` for a window under one receptive field, an overlap over half a window, or a single pass under a window.
        """
        frames = [time_base.whole_frames(seconds) for seconds in (window, overlap, single_pass)]
        settings = cls(*(time_base.first_sample(count) for count in frames))
        if settings.window < time_base.receptive_field:
            raise OptionError(f"A window of {window} s is shorter than the {time_base.receptive_field} samples that one frame needs.")
        if not 0 <= settings.overlap <= settings.window // 2:
            raise OptionError(f"Windows of {window} s can overlap by at most half their length, not by {overlap} s.")
        if settings.single_pass < settings.window:
            raise OptionError(f"single_pass_seconds ({single_pass}) cannot be shorter than the window ({window} s).")
        return settings

    @property
    def step(self) -> int:
        """Samples from the start of one window to the start of the next."""
        return self.window - self.overlap


@dataclass(frozen=True)
class Window:
    """One stretch of a recording that the model sees at once."""

    start: int
    """First sample, a multiple of the hop."""
    samples: NDArray[np.float32]
    """``[n, channels]``, not normalised."""
    last: bool
    """Whether the recording ends with this window."""


def normalise(samples: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Zero mean and unit variance for one window ``[n]``: ``(x - mean) / sqrt(var + 1e-7)``, computed in float64."""
    wide = np.asarray(samples, dtype=np.float64)
    centred = wide - wide.mean()
    deviation = float(np.sqrt(np.mean(centred * centred) + VARIANCE_FLOOR))
    normalised: NDArray[np.float32] = (centred / deviation).astype(np.float32)
    return normalised


def plan(samples: int, settings: WindowSettings, time_base: TimeBase) -> list[tuple[int, int]]:
    """The ``(start, stop)`` samples of every window of a recording of ``samples`` samples; none if it is shorter than one frame.

    Windows start at multiples of the step; the last starts at ``hop * ceil((samples - window) / hop)``, so it ends with the recording and
    is at most ``hop - 1`` samples shorter than the others. Nothing is padded.
    """
    if samples < time_base.receptive_field:
        return []
    if samples <= settings.single_pass:
        return [(0, samples)]
    last = -(-(samples - settings.window) // time_base.hop) * time_base.hop
    starts = [*range(0, last, settings.step), last]
    return [(start, min(start + settings.window, samples)) for start in starts]


def cut(blocks: Iterable[NDArray[np.float32]], settings: WindowSettings, time_base: TimeBase) -> Iterator[Window]:
    """Cut a stream of blocks ``[n, channels]`` into the windows of :func:`plan`, without knowing its length beforehand.

    Holds at most ``single_pass`` samples and one block. The windows are the same for any block size.
    """
    buffer = _Buffer()
    start = 0
    single = True
    for block in blocks:
        buffer.append(block)
        if single and buffer.stop <= settings.single_pass:
            continue
        single = False
        # A window is certain not to be the last once a sample beyond its end is known.
        while buffer.stop > start + settings.window:
            yield Window(start, buffer.read(start, start + settings.window), last=False)
            start += settings.step
            # The last window may start up to a step before `start`: what it needs ends with the recording.
            buffer.forget(min(start, buffer.stop - settings.window))
    stops = plan(buffer.stop, settings, time_base)
    if stops:
        first, stop = stops[-1]
        yield Window(first, buffer.read(first, stop), last=True)


class _Buffer:
    """The samples ``[start, stop)`` of a stream, appended at one end and forgotten at the other."""

    def __init__(self) -> None:
        self.start = 0
        self.stop = 0
        self._blocks: list[NDArray[np.float32]] = []

    def append(self, block: NDArray[np.float32]) -> None:
        if len(block):
            self._blocks.append(block)
            self.stop += len(block)

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """A contiguous copy of the samples ``[start, stop)``; keeps the rest as one block."""
        if len(self._blocks) > 1:
            self._blocks = [np.concatenate(self._blocks)]
        return self._blocks[0][start - self.start : stop - self.start].copy()

    def forget(self, before: int) -> None:
        """Let go of whole blocks and of the part of the first one before sample ``before``."""
        while self._blocks and self.start + len(self._blocks[0]) <= before:
            self.start += len(self._blocks.pop(0))
        if self._blocks and before > self.start:
            self._blocks[0] = self._blocks[0][before - self.start :].copy()
            self.start = before
