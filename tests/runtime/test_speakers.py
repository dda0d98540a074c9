from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavlm_diarizer.speakers import SpeakerJoin, assign, correlation, triangle
from wavlm_diarizer.timebase import TimeBase

BASE = TimeBase()


def conversation(frames: int, labels: int, seed: int = 0) -> np.ndarray:
    """Probabilities of speakers who take turns of half a second or more."""
    rng = np.random.default_rng(seed)
    activity = np.repeat(rng.integers(0, 2, (frames // 25 + 1, labels)), 25, axis=0)[:frames]
    return np.clip(0.9 * activity + 0.05 + 0.04 * rng.standard_normal((frames, labels)), 0.0, 1.0)


def joined(whole: np.ndarray, window: int, step: int, orders: list[list[int]]) -> np.ndarray:
    join = SpeakerJoin(whole.shape[1], BASE)
    for index, start in enumerate(range(0, len(whole) - window + 1, step)):
        join.add(start, whole[start : start + window, orders[index % len(orders)]])
    return join.result().probabilities


@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_the_assignment_is_the_best_of_all(size: int, seed: int) -> None:
    score = np.random.default_rng(seed).standard_normal((size, size))
    best = max(permutations(range(size)), key=lambda order: sum(score[row, column] for row, column in enumerate(order)))
    assert assign(score).tolist() == list(best)


def test_ties_keep_the_order() -> None:
    assert assign(np.zeros((5, 5))).tolist() == [0, 1, 2, 3, 4]


def test_the_order_of_highest_correlation_is_the_one_of_least_squared_difference() -> None:
    left, right = conversation(250, 4, seed=3), np.random.default_rng(4).random((250, 4))
    best = min(permutations(range(4)), key=lambda order: float(((left - right[:, order]) ** 2).sum()))
    assert assign(correlation(left, right)).tolist() == list(best)


def test_the_noise_of_a_silent_column_has_no_say() -> None:
    before = conversation(500, 3, seed=5)
    before[:, 2] = 1e-3 * before[:, 0]  # a ghost that follows the first speaker
    after = before[:, [1, 0, 2]]
    after[:, 2] = 1e-3 * before[:, 1]
    assert assign(correlation(before, after)).tolist() == [1, 0, 2]


@pytest.mark.parametrize("labels", [2, 3, 5])
def test_windows_whose_columns_are_permuted_join_to_the_same_speakers(labels: int) -> None:
    whole = conversation(2000, labels)
    rng = np.random.default_rng(1)
    orders = [list(range(labels)), *(rng.permutation(labels).tolist() for _ in range(9))]
    assert joined(whole, 500, 250, orders) == pytest.approx(joined(whole, 500, 250, [list(range(labels))]), abs=1e-6)


def test_where_windows_agree_their_average_is_what_they_say() -> None:
    whole = conversation(1750, 2)
    assert joined(whole, 500, 250, [[0, 1]]) == pytest.approx(whole, abs=1e-6)


def test_averages_are_weighted_by_the_distance_from_the_edge() -> None:
    join = SpeakerJoin(1, BASE)
    join.add(0, np.full((100, 1), 0.6))
    join.add(50, np.full((100, 1), 0.8))
    left, right = triangle(100)[60], triangle(100)[10]
    assert join.result().probabilities[60, 0] == pytest.approx((0.6 * left + 0.8 * right) / (left + right), abs=1e-6)


def test_one_window_is_passed_through_bit_for_bit() -> None:
    whole = conversation(499, 3).astype(np.float32)
    join = SpeakerJoin(3, BASE)
    join.add(0, whole)
    assert np.array_equal(join.result().probabilities, whole)


def test_without_activity_on_the_overlap_the_order_is_kept_and_the_join_is_uncertain() -> None:
    whole = conversation(750, 2)
    whole[250:500] = 0.01
    join = SpeakerJoin(2, BASE)
    join.add(0, whole[:500])
    join.add(250, whole[250:])
    result = join.result()
    assert result.probabilities == pytest.approx(whole, abs=1e-6)
    assert result.uncertain_joins == (7.5,)


def test_half_a_second_of_activity_is_enough_and_one_frame_less_is_not() -> None:
    for active, uncertain in ((25, 0), (24, 1)):
        whole = np.full((750, 2), 0.01)
        whole[300 : 300 + active, 0] = 0.9
        join = SpeakerJoin(2, BASE)
        join.add(0, whole[:500])
        join.add(250, whole[250:])
        assert len(join.result().uncertain_joins) == uncertain


def test_one_label_is_never_uncertain() -> None:
    join = SpeakerJoin(1, BASE)
    join.add(0, np.zeros((500, 1)))
    join.add(250, np.zeros((500, 1)))
    assert join.result().uncertain_joins == ()


def test_a_recording_without_windows_has_no_frames() -> None:
    assert SpeakerJoin(3, BASE).result().probabilities.shape == (0, 3)
