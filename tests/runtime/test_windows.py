from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavlm_diarizer.errors import OptionError
from wavlm_diarizer.timebase import TimeBase
from wavlm_diarizer.windows import WindowSettings, cut, normalise, plan

BASE = TimeBase()
SETTINGS = WindowSettings(window=3200, overlap=1280, single_pass=6400)


def numbered(samples: int) -> np.ndarray:
    return np.arange(samples, dtype=np.float32)[:, None]


def in_blocks(signal: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    edges = np.cumsum(sizes)
    return np.split(signal, edges[edges < len(signal)])


@given(st.integers(0, 40_000))
def test_windows_cover_the_recording_on_the_frame_grid_and_end_with_it(samples: int) -> None:
    windows = plan(samples, SETTINGS, BASE)
    if samples < BASE.receptive_field:
        assert windows == []
    elif samples <= SETTINGS.single_pass:
        assert windows == [(0, samples)]
    else:
        starts = [start for start, _ in windows]
        assert starts == sorted(set(starts))
        assert starts[0] == 0
        assert all(start % BASE.hop == 0 for start in starts)
        assert all(after - before <= SETTINGS.step for before, after in pairwise(starts))
        assert windows[-1][1] == samples
        assert SETTINGS.window - BASE.hop < windows[-1][1] - windows[-1][0] <= SETTINGS.window
        assert all(stop - start == SETTINGS.window for start, stop in windows[:-1])
        # The frames of the last window are the last frames of the whole recording.
        assert BASE.frame_at(starts[-1]) + BASE.frames(samples - starts[-1]) == BASE.frames(samples)


@given(st.integers(0, 30_000), st.lists(st.integers(1, 9000), max_size=40))
def test_windows_are_the_same_whatever_the_block_size(samples: int, sizes: list[int]) -> None:
    signal = numbered(samples)
    windows = list(cut(in_blocks(signal, sizes), SETTINGS, BASE))
    assert [(window.start, window.start + len(window.samples)) for window in windows] == plan(samples, SETTINGS, BASE)
    assert all(np.array_equal(window.samples, signal[window.start : window.start + len(window.samples)]) for window in windows)
    assert [window.last for window in windows] == [False] * (len(windows) - 1) + [True] * bool(windows)


def test_no_more_than_a_window_and_a_block_is_held() -> None:
    from wavlm_diarizer import windows as module

    longest = 0

    class Watched(module._Buffer):
        def append(self, block: np.ndarray) -> None:
            nonlocal longest
            super().append(block)
            longest = max(longest, self.stop - self.start)

    original, module._Buffer = module._Buffer, Watched
    try:
        count = sum(1 for _ in cut((np.zeros((1600, 1), dtype=np.float32) for _ in range(1000)), SETTINGS, BASE))
    finally:
        module._Buffer = original
    assert count > 800
    assert longest <= SETTINGS.single_pass + 1600


def test_normalising_is_exact_for_a_quiet_signal_on_a_large_offset() -> None:
    signal = 0.9 + 1e-3 * np.sin(np.arange(16_000) / 7, dtype=np.float64)
    wide = (signal - signal.mean()) / np.sqrt(signal.var() + 1e-7)
    assert np.abs(normalise(signal) - wide).max() < 1e-6
    assert abs(float(normalise(signal.astype(np.float32)).mean())) < 1e-6


def test_normalising_silence_gives_silence() -> None:
    assert not normalise(np.full(1000, 0.25, dtype=np.float32)).any()


@pytest.mark.parametrize(
    ("seconds", "reason"),
    [
        ((0.01, 0.0, 1.0), "receptive|one frame needs"),
        ((4.0, 2.5, 8.0), "half"),
        ((4.0, -1.0, 8.0), "half"),
        ((4.0, 2.0, 1.0), "shorter than the window"),
    ],
)
def test_window_lengths_that_make_no_sense_are_refused(seconds: tuple[float, float, float], reason: str) -> None:
    with pytest.raises(OptionError, match=reason):
        WindowSettings.from_seconds(*seconds, BASE)
