from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavlm_diarizer.agglomeration import Voices, groups
from wavlm_diarizer.assignment import FEW_LABELS, NOBODY, NOBODY_SCORE, best_distinct
from wavlm_diarizer.clustering import Clustering, LocalSpeakers, SpeakerCount, cluster
from wavlm_diarizer.errors import OptionError

RATE = 50.0
WINDOW, STEP = 400, 200
DIM = 24
EXACT = Clustering(half_seconds=0.2, brief_seconds=0.5)


def meeting(
    people: int, windows: int, labels: int = 2, *, noise: float = 0.4, seed: int = 0, absent: range = range(0)
) -> tuple[LocalSpeakers, np.ndarray]:
    """Local speakers of a made-up meeting, and who they are. Person 0 is silent in the windows of ``absent``."""
    rng = np.random.default_rng(seed)
    voices = np.linalg.qr(rng.standard_normal((DIM, DIM)))[0][:people]
    spoken = np.zeros((people, (windows + 1) * STEP), dtype=bool)
    for block in range(0, spoken.shape[1], 100):
        who = rng.integers(people)
        if block // STEP in absent and who == 0:
            who = 1
        spoken[who, block : block + 100] = True
    truth = np.full((windows, labels), NOBODY)
    active, solo = np.zeros((windows, labels), dtype=np.int64), np.zeros((windows, labels), dtype=np.int64)
    embeddings, common = np.zeros((windows, labels, DIM), dtype=np.float32), np.zeros((windows, labels, labels), dtype=np.float32)
    for window in range(windows):
        amount = spoken[:, window * STEP : window * STEP + WINDOW].sum(axis=1)
        heard = rng.permutation([int(one) for one in np.argsort(-amount, kind="stable")[:labels] if amount[one]])
        for column, person in enumerate(heard):
            truth[window, column] = person
            active[window, column] = solo[window, column] = amount[person]
            voice = voices[person] + noise * rng.standard_normal(DIM) / np.sqrt(DIM) * np.sqrt(WINDOW / amount[person])
            embeddings[window, column] = voice / np.linalg.norm(voice)
        if window:
            for before, after in np.ndindex(labels, labels):
                if truth[window - 1, before] == truth[window, after] != NOBODY:
                    here = slice(window * STEP, window * STEP + WINDOW - STEP)
                    common[window, before, after] = spoken[truth[window, after], here].sum()
    return LocalSpeakers(active, solo, embeddings, common, spoken.shape[1]), truth


def who_is_who(local: LocalSpeakers, wanted: SpeakerCount | None = None, settings: Clustering = EXACT) -> np.ndarray:
    return cluster(local, wanted or SpeakerCount(), settings, len(local.active) * WINDOW, RATE)


def same_partition(left: np.ndarray, right: np.ndarray) -> bool:
    pairs = set(zip(left.ravel().tolist(), right.ravel().tolist(), strict=True))
    return len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs})


@pytest.mark.parametrize("people", [1, 2, 3, 5, 8])
def test_people_are_found_however_many_there_are_and_more_than_the_labels(people: int) -> None:
    local, truth = meeting(people, 40 * people)
    assert same_partition(who_is_who(local), truth)


@pytest.mark.parametrize("people", [2, 4, 6])
def test_the_partition_is_the_same_whether_the_number_was_found_or_told(people: int) -> None:
    local, _ = meeting(people, 60, noise=1.2, seed=people)
    found = who_is_who(local)
    count = int(found.max()) + 1
    for wanted in (SpeakerCount.of(count), SpeakerCount.of(min_speakers=count), SpeakerCount.of(max_speakers=count)):
        assert np.array_equal(who_is_who(local, wanted), found)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7])
def test_there_are_as_many_people_as_told(count: int) -> None:
    local, _ = meeting(4, 80, noise=1.0)
    assert int(who_is_who(local, SpeakerCount.of(count)).max()) + 1 == count


def test_bounds_hold_and_the_found_number_counts_within_them() -> None:
    local, _ = meeting(4, 80)
    assert int(who_is_who(local, SpeakerCount.of(max_speakers=3)).max()) + 1 == 3
    assert int(who_is_who(local, SpeakerCount.of(min_speakers=6)).max()) + 1 == 6
    assert int(who_is_who(local, SpeakerCount.of(min_speakers=2, max_speakers=9)).max()) + 1 == 4


def test_nobody_is_two_local_speakers_of_one_window() -> None:
    local, _ = meeting(5, 60, labels=3, noise=3.0)
    for count in (1, 2, 4, None):
        who = who_is_who(local, SpeakerCount.of(count))
        for row in who:
            heard = row[row != NOBODY]
            assert len(set(heard.tolist())) == len(heard)


def test_who_was_silent_for_an_hour_is_still_the_same() -> None:
    local, truth = meeting(3, 1000, absent=range(20, 980))
    assert not np.isin(truth[25:975], 0).any()
    who = who_is_who(local)
    assert same_partition(who, truth)
    assert set(who[:20][truth[:20] == 0]) == set(who[980:][truth[980:] == 0])


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_the_order_of_a_windows_columns_changes_nothing(seed: int) -> None:
    local, _ = meeting(4, 40, labels=3, noise=0.7)
    rng = np.random.default_rng(seed)
    order = np.array([rng.permutation(3) for _ in range(40)])
    rows = np.arange(40)[:, None]
    common = local.common.copy()
    common[1:] = common[rows[1:, :, None], order[:-1, :, None], order[1:, None, :]]
    mixed = LocalSpeakers(local.active[rows, order], local.solo[rows, order], local.embeddings[rows, order], common, local.frames)
    assert same_partition(who_is_who(mixed), who_is_who(local)[rows, order])


def test_speech_that_was_never_heard_alone_goes_to_who_speaks_there_in_the_neighbouring_windows() -> None:
    local, truth = meeting(2, 30)
    solo, embeddings = local.solo.copy(), local.embeddings.copy()
    solo[10:12], embeddings[10:12] = 0, 0.0
    assert same_partition(who_is_who(replace(local, solo=solo, embeddings=embeddings)), truth)


def test_the_longest_recordings_are_clustered_in_blocks() -> None:
    local, truth = meeting(6, 1500)  # far more local speakers than agglomeration.BLOCK
    assert same_partition(who_is_who(local), truth)


def test_silence_and_voices_never_heard_have_no_people() -> None:
    local, _ = meeting(2, 10)
    silent = replace(local, active=np.zeros_like(local.active))
    unheard = replace(local, solo=np.zeros_like(local.solo))
    assert (who_is_who(silent) == NOBODY).all()
    assert (who_is_who(unheard) == NOBODY).all()


def test_fewer_voices_than_told_give_fewer_people() -> None:
    local, _ = meeting(2, 1)
    assert int(who_is_who(local, SpeakerCount.of(5)).max()) + 1 == np.count_nonzero(local.active)


@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_the_assignment_of_each_window_is_the_best_of_all(labels: int, people: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    score = rng.standard_normal((4, labels, people)).astype(np.float32)
    speaking = rng.random((4, labels)) < 0.8
    answer = best_distinct(score, speaking)
    for window in range(4):
        columns = np.flatnonzero(speaking[window])
        pool = [*range(people), *([NOBODY] * len(columns))]
        best = max(
            sum(
                NOBODY_SCORE if person == NOBODY else float(score[window, column, person])
                for column, person in zip(columns, one, strict=True)
            )
            for one in permutations(pool, len(columns))
        )
        got = sum(
            NOBODY_SCORE if answer[window, column] == NOBODY else float(score[window, column, answer[window, column]]) for column in columns
        )
        assert got == pytest.approx(best, rel=1e-5, abs=1e-4)
        assert (answer[window][~speaking[window]] == NOBODY).all()
    assert FEW_LABELS < 5  # both ways were tried


def test_groups_are_the_largest_if_there_are_too_many() -> None:
    rng = np.random.default_rng(0)
    embeddings = np.linalg.qr(rng.standard_normal((30, 30)))[0].astype(np.float32)[:, None]
    solo = np.arange(100, 130, dtype=np.float32)[:, None]
    found = groups(Voices(embeddings, np.ones((30, 1), dtype=np.float32), solo), 50.0, 0.5, 1, 10)
    assert (found[:20] == NOBODY).all()
    assert found[20:, 0].tolist() == list(range(10))


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((0, None, None), "num_speakers"),
        ((True, None, None), "num_speakers"),
        ((2.0, None, None), "num_speakers"),
        ((3, 2, None), "not both"),
        ((None, 4, 3), "cannot be more"),
        ((None, None, -1), "max_speakers"),
    ],
)
def test_numbers_of_speakers_without_sense_are_refused(numbers: tuple[int, int, int], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        SpeakerCount.of(*numbers)


@pytest.mark.parametrize("changes", [{"threshold": float("nan")}, {"different": 1.0}, {"half_seconds": -1.0}, {"together": "much"}])
def test_settings_without_sense_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(OptionError):
        Clustering(**changes)


def test_settings_survive_a_model_file() -> None:
    settings = Clustering(threshold=0.3, different=0.2)
    assert Clustering.from_dict(settings.as_dict()) == settings
    with pytest.raises(OptionError, match="nonsense"):
        Clustering.from_dict({"nonsense": 1.0})
