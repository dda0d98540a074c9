"""Probabilities in, turns in frames out: median filter, onset and offset thresholds, short gaps filled, short turns dropped.

In: ``[frames, labels]`` probabilities in [0, 1]. Out: for each label its turns as ``(first_frame, stop_frame)``, the stop not included.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from wavlm_diarizer.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from wavlm_diarizer.timebase import TimeBase

FrameTurn = tuple[int, int]

MEDIAN_BLOCK = 65_536
"""Frames that the median filter looks at in one go, so that its memory does not grow with the recording."""


@dataclass(frozen=True)
class Decoding:
    """How probabilities become turns. The defaults are the model card's plain threshold."""

    onset: float = 0.5
    """A turn begins where the probability rises above this."""
    offset: float = 0.5
    """A turn ends where the probability is no longer above this; at most ``onset``."""
    median_seconds: float = 0.0
    """Width of the median filter over the probabilities, rounded to an odd number of frames; 0: none."""
    min_off: float = 0.0
    """Gaps of one speaker shorter than this many seconds are filled."""
    min_on: float = 0.0
    """Turns shorter than this many seconds are dropped, after gaps were filled."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
                raise OptionError(f"Decoding's {field.name} must be a finite number, not {value!r}.")
            object.__setattr__(self, field.name, float(value))
        if not 0.0 <= self.offset <= self.onset <= 1.0:
            raise OptionError(f"Decoding needs 0 <= offset <= onset <= 1, not offset {self.offset} and onset {self.onset}.")
        if min(self.median_seconds, self.min_off, self.min_on) < 0.0:
            raise OptionError("Decoding's median_seconds, min_off and min_on are durations and cannot be negative.")

    @classmethod
    def card(cls) -> Decoding:
        """The decoding of the model card of ``microsoft/wavlm-base-plus-sd``: a label is on where its probability is above 0.5."""
        return cls()

    def as_dict(self) -> dict[str, float]:
        """The settings by name, as they are written into a model file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Decoding:
        """The settings back from :meth:`as_dict`; an unknown name raises :class:`OptionError`."""
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise OptionError(f"Decoding has no setting named {', '.join(unknown)}.")
        return cls(**values)


def decode(probabilities: NDArray[np.floating[Any]], decoding: Decoding, time_base: TimeBase) -> list[list[FrameTurn]]:
    """Turn probabilities ``[frames, labels]`` into one list of turns per label, in frames, in order of time."""
    width = time_base.whole_frames(decoding.median_seconds)
    fill = _frames_shorter_than(decoding.min_off, time_base)
    drop = _frames_shorter_than(decoding.min_on, time_base)
    labels = []
    for label in range(probabilities.shape[1]):
        # One by one: copies of all columns of a long recording with many people take much memory.
        (column,) = median_filter(probabilities[:, label : label + 1], width).T
        turns = _runs(_hysteresis(column, decoding.onset, decoding.offset))
        turns = _fill_gaps(turns, fill)
        labels.append([(first, stop) for first, stop in turns if stop - first > drop])
    return labels


def median_filter(probabilities: NDArray[np.floating[Any]], width: int) -> NDArray[np.floating[Any]]:
    """Median over ``width`` frames (made odd by adding one) of each column of ``[frames, labels]``; the ends repeat the outermost frame."""
    if width < 2 or len(probabilities) == 0:
        return probabilities
    half = width // 2
    padded = np.pad(probabilities, ((half, half), (0, 0)), mode="edge")
    out = np.empty_like(probabilities)
    for start in range(0, len(out), MEDIAN_BLOCK):
        stop = min(start + MEDIAN_BLOCK, len(out))
        views = np.lib.stride_tricks.sliding_window_view(padded[start : stop + 2 * half], 2 * half + 1, axis=0)
        out[start:stop] = np.median(views, axis=-1)
    return out


def _frames_shorter_than(seconds: float, time_base: TimeBase) -> int:
    """The greatest number of frames whose duration is under ``seconds``; 0 if there is none."""
    samples = time_base.samples(seconds)
    return max(0, -(-samples // time_base.hop) - 1)


def _hysteresis(column: NDArray[np.floating[Any]], onset: float, offset: float) -> NDArray[np.bool_]:
    """Frames of ``column`` that are on: from above ``onset`` until no longer above ``offset``."""
    above_onset, above_offset = column > onset, column > offset
    if onset == offset:
        return above_onset
    # A run above the offset is on from its first frame above the onset: carry the last decisive frame forward.
    decisive = above_onset | ~above_offset
    last = np.maximum.accumulate(np.where(decisive, np.arange(len(column)), -1))
    return (last >= 0) & above_onset[np.maximum(last, 0)]


def _runs(on: NDArray[np.bool_]) -> list[FrameTurn]:
    """The runs of true frames as ``(first, stop)``."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], on, [False])).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _fill_gaps(turns: list[FrameTurn], longest: int) -> list[FrameTurn]:
    """Join neighbouring turns whose gap is at most ``longest`` frames."""
    filled: list[FrameTurn] = []
    for first, stop in turns:
        if filled and first - filled[-1][1] <= longest:
            filled[-1] = (filled[-1][0], stop)
        else:
            filled.append((first, stop))
    return filled
