from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wavlm_diarizer import decoding as module
from wavlm_diarizer.decoding import Decoding, decode, median_filter
from wavlm_diarizer.errors import OptionError
from wavlm_diarizer.timebase import TimeBase

BASE = TimeBase()


def column(text: str) -> np.ndarray:
    """Probabilities of one label from digits: ``7`` is 0.7."""
    return np.array([[int(digit) / 10] for digit in text])


def turns(text: str, **options: float) -> list[tuple[int, int]]:
    return decode(column(text), Decoding(**options), BASE)[0]


def test_the_card_is_on_above_a_half_and_not_at_it() -> None:
    assert turns("0567750") == [(2, 5)] == decode(column("0567750"), Decoding.card(), BASE)[0]


def test_a_turn_begins_above_the_onset_and_lasts_until_the_offset() -> None:
    assert turns("4447444300444", onset=0.6, offset=0.3) == [(3, 7)]
    assert turns("8888", onset=0.6, offset=0.3) == [(0, 4)]
    assert turns("4444", onset=0.6, offset=0.3) == []


def by_hand(values: np.ndarray, onset: float, offset: float) -> list[bool]:
    state, states = False, []
    for value in values:
        state = value > offset if state else value > onset
        states.append(bool(state))
    return states


@given(hnp.arrays(np.float64, st.integers(0, 60), elements=st.sampled_from([0.0, 0.2, 0.3, 0.5, 0.6, 0.9])))
def test_hysteresis_is_that_of_a_switch_followed_frame_by_frame(values: np.ndarray) -> None:
    on = np.zeros(len(values), dtype=bool)
    for first, stop in decode(values[:, None], Decoding(onset=0.6, offset=0.3), BASE)[0]:
        on[first:stop] = True
    # A switch that is on needs the onset first, and so does a run that touches no onset.
    assert on.tolist() == by_hand(values, 0.6, 0.3)


def test_gaps_shorter_than_min_off_are_filled_and_equal_ones_are_not() -> None:
    assert turns("9900990009", min_off=0.06) == [(0, 6), (9, 10)]
    assert turns("9900990009", min_off=0.0601) == [(0, 10)]


def test_turns_shorter_than_min_on_are_dropped_after_gaps_were_filled() -> None:
    assert turns("9909000900", min_on=0.08, min_off=0.03) == [(0, 4)]
    assert turns("9900000900", min_on=0.04) == [(0, 2)]


def test_the_median_removes_single_frames_and_keeps_edges() -> None:
    assert turns("0090099990", median_seconds=0.06) == [(5, 9)]


def test_the_median_does_not_depend_on_its_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random((500, 3))
    whole = median_filter(values, 11)
    monkeypatch.setattr(module, "MEDIAN_BLOCK", 37)
    assert np.array_equal(median_filter(values, 11), whole)
    assert whole[100, 1] == np.median(values[95:106, 1])


def test_no_frames_give_no_turns() -> None:
    assert decode(np.zeros((0, 2)), Decoding(median_seconds=0.2, min_off=0.1), BASE) == [[], []]


@pytest.mark.parametrize(
    "options", [{"onset": 0.4}, {"onset": 1.2}, {"min_on": -0.1}, {"median_seconds": float("nan")}, {"offset": True}, {"onset": "0.6"}]
)
def test_settings_that_make_no_sense_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(OptionError):
        Decoding(**options)


def test_settings_survive_the_model_file() -> None:
    decoding = Decoding(0.6, 0.4, 0.22, 0.1, 0.2)
    assert Decoding.from_dict(decoding.as_dict()) == decoding
    with pytest.raises(OptionError, match="onsett"):
        Decoding.from_dict({"onsett": 0.5})
