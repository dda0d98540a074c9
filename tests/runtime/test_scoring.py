"""What scores promise: the figures that a hand computes, with the policy beside them."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from wavlm_diarizer.diarization import Diarization, Turn
from wavlm_diarizer.errors import MissingExtraError, OptionError
from wavlm_diarizer.scoring import Policy, Score, score, speech_activity, total


def spoken(*turns: tuple[float, float, str]) -> Diarization:
    return Diarization(Turn(*turn) for turn in turns)


TWO = spoken((0, 10, "A"), (10, 20, "B"))
"""Two people, 10 s each."""
LATE = spoken((0, 12, "x"), (12, 19, "y"))
"""The second begins 2 s late (confusion) and ends 1 s early (missed)."""
OVERLAP = spoken((0, 10, "A"), (8, 12, "B"))
"""14 s of speech in 12 s."""


def parts(one: Score) -> tuple[float, float, float, float]:
    return one.speech, one.missed, one.false_alarm, one.confusion


def test_a_perfect_result_scores_nothing_whatever_its_speakers_are_called() -> None:
    one = score(TWO, TWO.rename({"A": "SPEAKER_01", "B": "SPEAKER_00"}))
    assert parts(one) == (20, 0, 0, 0)
    assert (one.der, one.jer, one.right_counts) == (0, 0, 1)


def test_the_error_is_split_as_a_hand_splits_it() -> None:
    one = score(TWO, LATE)
    assert parts(one) == pytest.approx((20, 1, 0, 2))
    assert one.der == pytest.approx(3 / 20)
    # x has 12 s, of which 2 are not A's; y lacks 3 of B's 10 s.
    assert one.jer == pytest.approx((2 / 12 + 3 / 10) / 2)


def test_speech_that_nobody_spoke_is_false_alarm() -> None:
    one = score(TWO, spoken((0, 10, "x"), (10, 20, "y"), (5, 9, "z"), (20, 25, "x")))
    assert parts(one) == pytest.approx((20, 0, 9, 0))
    assert (one.speakers, one.found_speakers, one.right_counts) == (2, 3, 0)


def test_a_collar_is_the_whole_width_half_of_it_on_each_side() -> None:
    # Left are 1..9 and 11..19; of the late second speaker only 11..12 counts.
    one = score(TWO, LATE, policy=Policy(collar=2))
    assert parts(one) == pytest.approx((16, 0, 0, 1))


def test_overlap_counts_for_both_speakers_unless_it_is_left_out() -> None:
    one_voice = spoken((0, 12, "x"))
    assert parts(score(OVERLAP, one_voice)) == pytest.approx((14, 2, 0, 2))
    assert parts(score(OVERLAP, one_voice, policy=Policy(skip_overlap=True))) == pytest.approx((10, 0, 0, 2))


def test_only_the_stretches_of_a_uem_are_scored() -> None:
    one = score(TWO, LATE, uem=[(0, 11), (18, 30)])
    assert parts(one) == pytest.approx((13, 1, 0, 1))
    one = score(TWO, LATE, uem=[(0, 9)])
    assert (one.der, one.speakers, one.found_speakers) == (0, 1, 1)


def test_turns_of_one_speaker_that_overlap_count_once() -> None:
    twice = spoken((0, 6, "A"), (4, 10, "A"), (10, 20, "B"))
    assert parts(score(twice, TWO)) == pytest.approx((20, 0, 0, 0))
    assert parts(score(TWO, twice)) == pytest.approx((20, 0, 0, 0))


def test_touching_turns_of_one_speaker_keep_their_boundary_for_the_collar() -> None:
    seam = spoken((0, 5, "A"), (5, 10, "A"))
    assert score(seam, seam, policy=Policy(collar=1)).speech == pytest.approx(8)


def test_speech_activity_alone_is_scored_whoever_speaks() -> None:
    assert [(turn.start, turn.end) for turn in speech_activity(OVERLAP).turns] == [(0, 12)]
    # From 12 to 15 nobody speaks; who speaks from 8 to 12, and that two do, is not asked.
    one = score(speech_activity(OVERLAP), speech_activity(spoken((1, 6, "x"), (6, 15, "y"))))
    assert parts(one) == pytest.approx((12, 1, 3, 0))
    assert score(speech_activity(spoken()), speech_activity(TWO)).der == 1


def test_silence_is_scored_without_dividing_by_nothing() -> None:
    nothing = spoken()
    assert (score(nothing, nothing).der, score(nothing, nothing).jer) == (0, 0)
    assert (score(nothing, TWO).der, score(nothing, TWO).jer) == (1, 1)
    assert score(nothing, TWO).false_alarm == 20
    assert (score(TWO, nothing).der, score(TWO, nothing).jer) == (1, 1)


def test_a_total_weighs_recordings_by_their_speech_and_speakers_alike() -> None:
    short = score(spoken((0, 1, "A")), spoken())
    both = total([score(TWO, LATE), short])
    assert both.der == pytest.approx((3 + 1) / 21)
    assert both.jer == pytest.approx((2 / 12 + 3 / 10 + 1) / 3)
    assert (both.recordings, both.right_counts, both.name) == (2, 1, "total")


def test_a_policy_says_what_nist_would_call_its_collar() -> None:
    assert str(Policy()) == "no collar, overlap scored"
    said = str(Policy(0.5, skip_overlap=True))
    assert "0.5 s in all" in said
    assert "NIST calls that a collar of 0.25" in said
    assert "overlap not scored" in said


@pytest.mark.parametrize("collar", [-0.1, float("nan"), float("inf")])
def test_a_collar_without_sense_is_refused(collar: float) -> None:
    with pytest.raises(OptionError, match="collar"):
        Policy(collar)


def test_channels_of_a_recording_are_scored_together() -> None:
    call = Diarization([Turn(0, 10, "CH1_SPEAKER_00", 1), Turn(10, 20, "CH2_SPEAKER_00", 2)])
    assert score(TWO, call).der == 0


def test_rates_for_json_are_fractions_that_add_up() -> None:
    rates = score(TWO, LATE).as_dict()
    assert rates["der"] == pytest.approx(rates["missed"] + rates["false_alarm"] + rates["confusion"])
    assert rates["speech_seconds"] == 20
    assert replace(score(TWO, LATE), name="x").as_dict()["name"] == "x"


def test_without_the_extra_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyannote.metrics.diarization", None)
    with pytest.raises(MissingExtraError, match=r"wavlm-diarizer\[score\]"):
        score(TWO, TWO)
