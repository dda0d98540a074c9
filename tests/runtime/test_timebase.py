from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavlm_diarizer.timebase import TimeBase

BASE = TimeBase()


@pytest.mark.parametrize(("samples", "frames"), [(0, 0), (399, 0), (400, 1), (719, 1), (720, 2), (160_000, 499), (480_000, 1499)])
def test_frame_counts_are_those_of_the_convolution_stack(samples: int, frames: int) -> None:
    assert BASE.frames(samples) == frames


@given(st.integers(400, 10**9))
def test_every_frame_has_its_receptive_field_and_one_more_frame_would_not(samples: int) -> None:
    last = BASE.frames(samples) - 1
    assert BASE.first_sample(last) + BASE.receptive_field <= samples < BASE.first_sample(last + 1) + BASE.receptive_field


@given(st.integers(0, 10**7))
def test_seconds_and_samples_are_inverse_at_any_length(sample: int) -> None:
    assert BASE.samples(BASE.seconds(sample)) == sample


@given(st.integers(0, 10**7))
def test_frames_and_samples_are_inverse(frame: int) -> None:
    assert BASE.frame_at(BASE.first_sample(frame)) == frame
    assert BASE.frame_at(BASE.first_sample(frame) + BASE.hop - 1) == frame
    assert BASE.whole_frames(BASE.frame_seconds(frame)) == frame


def test_a_turn_up_to_the_last_frame_ends_with_the_recording() -> None:
    samples = 16_000 + 123
    frames = BASE.frames(samples)
    assert BASE.span(0, frames, frames, samples) == (0.0, samples / 16_000)
    assert BASE.span(2, 5, frames, samples) == (0.04, 0.1)


def test_times_stay_exact_after_ten_hours() -> None:
    frame = 10 * 3600 * 50 + 1
    assert BASE.frame_seconds(frame) == 36_000.02
