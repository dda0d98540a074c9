"""What a result promises: order, immutability, and the arithmetic of who speaks when."""

import copy
import errno
import os
import pickle
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavlm_diarizer import writing
from wavlm_diarizer.diarization import Diarization, Segment, Turn
from wavlm_diarizer.errors import FormatError, MissingExtraError, OptionError, OutputError


@st.composite
def results(draw: st.DrawFn, *, speakers: int = 3, with_activity: bool = False) -> Diarization:
    """Turns on a grid of 20 ms, which touch, overlap and repeat often; speakers may overlap themselves."""
    spans = draw(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 20), st.integers(0, speakers - 1)), max_size=12))
    turns = [Turn(start / 50, (start + length) / 50, "ABC"[who]) for start, length, who in spans]
    activity = None
    if with_activity:
        activity = np.random.default_rng(draw(st.integers(0, 99))).random((60, speakers), dtype=np.float32)
    return Diarization(turns, duration=2.0, speakers="ABC"[:speakers], activity=activity)


def spoken(result: Diarization) -> list[tuple[float, float]]:
    """The union of all turns."""
    union: list[tuple[float, float]] = []
    for turn in result.turns:
        if union and turn.start <= union[-1][1]:
            union[-1] = (union[-1][0], max(union[-1][1], turn.end))
        else:
            union.append((turn.start, turn.end))
    return union


def test_turns_are_ordered_and_speakers_named_by_their_first_turn():
    result = Diarization([Turn(4, 5, "A"), Turn(1, 3, "C"), Turn(1, 2, "B")], duration=6)
    assert [(turn.start, turn.end, turn.speaker) for turn in result.turns] == [(1, 2, "B"), (1, 3, "C"), (4, 5, "A")]
    assert result.speakers == ("B", "C", "A")


@pytest.mark.parametrize(
    ("start", "end"), [(1.0, 1.0), (2.0, 1.0), (-0.1, 1.0), (float("nan"), 1.0), (0.0, float("inf")), (0.0, float("nan"))]
)
def test_a_turn_without_a_sensible_time_is_refused(start, end):
    with pytest.raises(OptionError, match="0 <= start < end"):
        Turn(start, end, "A")


@pytest.mark.parametrize("name", ["", " ", "\n\t\x00"])
def test_a_turn_of_nobody_is_refused(name):
    with pytest.raises(OptionError, match="speaker with a name"):
        Turn(0, 1, name)


def test_a_channel_below_one_is_refused():
    with pytest.raises(OptionError, match="channel 0"):
        Turn(0, 1, "A", 0)


def test_numbers_of_numpy_become_plain_ones():
    turn = Turn(np.float32(0.5), np.float64(1.5), "A", np.int64(2))
    assert [type(value) for value in (turn.start, turn.end, turn.channel)] == [float, float, int]
    assert str(Turn(-0.0, 1, "A").start) == "0.0"


def test_a_name_is_one_line_of_valid_text():
    assert Turn(0, 1, " Ann\tMary\r\n  Lee\x1b[31m\u2028x ").speaker == "Ann Mary Lee [31m x"
    assert Diarization([], name="caf\udce9").name == "caf\ufffd"
    assert Diarization([], name="\n").name == "audio"


def test_what_does_not_fit_together_is_refused():
    turns = [Turn(0, 2, "A"), Turn(1, 3, "B")]
    with pytest.raises(OptionError, match="last turn at 3"):
        Diarization(turns, duration=2.5)
    with pytest.raises(OptionError, match="finite"):
        Diarization([], duration=float("nan"))
    with pytest.raises(OptionError, match="everybody"):
        Diarization(turns, speakers=["A"])
    with pytest.raises(OptionError, match="once"):
        Diarization(turns, speakers=["A", "B", "B"])
    with pytest.raises(OptionError, match=r"\[frames, 2\]"):
        Diarization(turns, activity=np.zeros((10, 3)))
    with pytest.raises(OptionError, match="finite"):
        Diarization(turns, activity=np.full((10, 2), np.nan))


def test_activity_follows_the_order_of_speakers_and_silent_ones_are_left_out():
    activity = np.tile(np.float32([0.1, 0.2, 0.3]), (5, 1))
    result = Diarization([Turn(0, 1, "C"), Turn(1, 2, "A")], speakers=["A", "B", "C"], activity=activity)
    assert result.speakers == ("C", "A")
    np.testing.assert_array_equal(result.activity, np.tile(np.float32([0.3, 0.1]), (5, 1)))


def test_nothing_about_a_result_can_be_changed():
    activity, model = np.zeros((5, 1), np.float32), {"precision": "int8"}
    result = Diarization([Turn(0, 1, "A")], activity=activity, model=model)
    activity[0], model["precision"] = 1, "fp32"
    for same in (result, copy.deepcopy(result), pickle.loads(pickle.dumps(result))):  # noqa: S301 - our own
        assert same == result
        assert same.activity[0, 0] == 0
        assert same.model["precision"] == "int8"
        with pytest.raises(ValueError, match="read-only"):
            same.activity[0] = 1
        with pytest.raises(TypeError):
            same.model["precision"] = "fp32"
        with pytest.raises(FrozenInstanceError):
            same.duration = 3.0
    with pytest.raises(FrozenInstanceError):
        result.turns[0].start = 3.0


def test_results_are_equal_if_turns_duration_and_name_are():
    turns = [Turn(0, 1, "A"), Turn(1, 2, "B")]
    result = Diarization(turns, duration=3, name="x")
    same = Diarization(reversed(turns), duration=3, name="x", activity=np.zeros((9, 2)), warnings=["w"], complete=False)
    assert result == same
    assert hash(result) == hash(same)
    assert result != Diarization(turns, duration=4, name="x")
    assert result != Diarization(turns, duration=3, name="y")
    assert result != Diarization(turns[:1], duration=3, name="x")
    assert result != turns


def test_overlap_names_everybody_who_speaks_and_joins_what_has_the_same_speakers():
    result = Diarization([Turn(0, 4, "A"), Turn(1, 2, "B"), Turn(2, 3, "B"), Turn(2.5, 5, "C")])
    assert result.overlap() == (
        Segment(1, 2.5, ("A", "B")),
        Segment(2.5, 3, ("A", "B", "C")),
        Segment(3, 4, ("A", "C")),
    )


def test_one_speaker_who_overlaps_themselves_is_no_overlap_and_counts_once():
    result = Diarization([Turn(0, 2, "A"), Turn(1, 3, "A"), Turn(0, 2, "A", 2)])
    assert result.overlap() == ()
    assert result.speaking_time() == {"A": 3.0}


def test_speaking_time_is_in_the_order_of_speakers():
    result = Diarization([Turn(2, 3, "A"), Turn(0, 1.5, "B"), Turn(5, 6, "A")])
    assert list(result.speaking_time().items()) == [("B", 1.5), ("A", 2.0)]


@given(results(with_activity=True), st.booleans())
def test_exclusive_keeps_all_speech_and_never_lets_two_speak(result, drop_activity):
    if drop_activity:
        result = Diarization(result.turns, duration=result.duration)
    alone = result.exclusive()
    assert alone.overlap() == ()
    assert spoken(alone) == spoken(result)
    for earlier, later in zip(alone.turns, alone.turns[1:], strict=False):
        assert earlier.end <= later.start
    for turn in alone.turns:
        assert any(own.start <= turn.start and turn.end <= own.end and own.speaker == turn.speaker for own in result.turns)
    assert alone.exclusive() == alone
    assert alone.duration == result.duration


@given(results(speakers=1))
def test_exclusive_changes_nothing_about_turns_that_do_not_overlap(result):
    apart = [turn for index, turn in enumerate(result.turns) if all(turn.start >= before.end for before in result.turns[:index])]
    result = Diarization(apart, duration=2)
    assert result.exclusive() == result


def test_exclusive_gives_overlap_to_who_is_more_active_there():
    activity = np.zeros((100, 2), np.float32)
    activity[25:50] = [0.6, 0.9]  # B leads on 0.5 .. 1.0 s
    result = Diarization([Turn(0, 1, "A"), Turn(0.5, 2, "B")], activity=activity)
    assert [(turn.start, turn.end, turn.speaker) for turn in result.exclusive().turns] == [(0, 0.5, "A"), (0.5, 2, "B")]
    louder = Diarization(result.turns, activity=activity[:, ::-1])
    assert [(turn.start, turn.end, turn.speaker) for turn in louder.exclusive().turns] == [(0, 1, "A"), (1, 2, "B")]


def test_exclusive_without_activity_lets_who_speaks_finish_and_prefers_the_longer_turn():
    result = Diarization([Turn(0, 2, "A"), Turn(1, 9, "B")])
    assert [(turn.end, turn.speaker) for turn in result.exclusive().turns] == [(2, "A"), (9, "B")]
    together = Diarization([Turn(0, 2, "A"), Turn(0, 3, "B")])
    assert [turn.speaker for turn in together.exclusive().turns] == ["B"]
    equal = Diarization([Turn(0, 2, "A"), Turn(0, 2, "B")])
    assert [turn.speaker for turn in equal.exclusive().turns] == ["A"]


def test_exclusive_works_with_activity_that_ends_before_the_turns():
    turns = [Turn(0, 2, "A"), Turn(1, 3, "B")]
    assert spoken(Diarization(turns, activity=np.zeros((0, 2))).exclusive()) == [(0, 3)]
    assert spoken(Diarization(turns, activity=np.ones((3, 2))).exclusive()) == [(0, 3)]


def test_a_crop_keeps_the_times_of_the_recording():
    result = Diarization(
        [Turn(0, 2, "A"), Turn(1, 3, "B"), Turn(4, 5, "A")], duration=6, activity=np.ones((299, 2)), uncertain_joins=[1.0, 4.5]
    )
    part = result.crop(1.5, 4.0)
    assert part.turns == (Turn(1.5, 2, "A"), Turn(1.5, 3, "B"))
    assert (part.duration, part.activity.shape, part.uncertain_joins) == (6, (299, 2), ())
    assert result.crop(2.5).turns == (Turn(2.5, 3, "B"), Turn(4, 5, "A"))
    assert result.crop(2.5).speakers == ("B", "A")
    assert result.crop() == result
    assert result.crop(100).turns == ()
    for start, end in [(2, 2), (3, 1), (-1, 2), (float("nan"), None)]:
        with pytest.raises(OptionError, match="crop"):
            result.crop(start, end)


@given(results(), st.integers(1, 60))
def test_crops_on_both_sides_of_any_moment_hold_all_speech(result, moment):
    at = moment / 50
    left, right = result.crop(0, at), result.crop(at)
    for speaker, seconds in result.speaking_time().items():
        parts = left.speaking_time().get(speaker, 0) + right.speaking_time().get(speaker, 0)
        assert parts == pytest.approx(seconds)


def test_renaming_keeps_everything_else_and_refuses_names_of_nobody():
    result = Diarization([Turn(0, 2, "A"), Turn(1, 3, "B", 2)], activity=[[0.1, 0.2]], name="x")
    renamed = result.rename({"B": "Ann"})
    assert renamed.turns == (Turn(0, 2, "A"), Turn(1, 3, "Ann", 2))
    assert renamed.speakers == ("A", "Ann")
    np.testing.assert_array_equal(renamed.activity, result.activity)
    swapped = result.rename({"A": "B", "B": "A"})
    assert swapped.speakers == ("B", "A")
    assert swapped.rename({"A": "B", "B": "A"}) == result
    with pytest.raises(OptionError, match="no speaker C in x; there is A, B"):
        result.rename({"C": "D"})


def test_two_speakers_renamed_to_one_become_one_person():
    result = Diarization([Turn(0, 2, "A"), Turn(1, 3, "B"), Turn(3, 4, "C")], activity=[[0.1, 0.7, 0.3], [0.6, 0.2, 0.3]])
    one = result.rename({"A": "Ann", "B": "Ann"})
    assert one.turns == (Turn(0, 3, "Ann"), Turn(3, 4, "C"))
    np.testing.assert_array_equal(one.activity, np.float32([[0.7, 0.3], [0.6, 0.3]]))


def test_printing_shows_every_turn():
    result = Diarization([Turn(0.52, 3.1, "A")], duration=4, name="x")
    assert str(result) == "x: 1 turn, 1 speaker, 4.000 s\n00:00:00.520 - 00:00:03.100  A"
    assert repr(result) == "<Diarization of x: 1 turn, 1 speaker, 4.000 s>"
    assert str(Diarization([])) == "audio: 0 turns, 0 speakers, 0.000 s"


def test_an_annotation_of_pyannote_has_the_same_turns():
    pytest.importorskip("pyannote.core")
    turns = [Turn(0, 2, "A"), Turn(1, 3, "B"), Turn(1, 3, "C")]
    annotation = Diarization(turns, name="x").to_annotation()
    assert annotation.uri == "x"
    found = [Turn(segment.start, segment.end, label) for segment, _, label in annotation.itertracks(yield_label=True)]
    assert sorted(found) == turns


def test_without_pyannote_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyannote", None)
    with pytest.raises(MissingExtraError, match=r"wavlm-diarizer\[score\]"):
        Diarization([]).to_annotation()


RESULT = Diarization([Turn(0, 1, "A")], name="x")


def test_saving_replaces_the_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "x.rttm"
    path.write_text("old")
    path.chmod(0o640)
    RESULT.save(path)
    assert path.read_text() == RESULT.dumps("rttm")
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]
    assert Diarization.load(path) == RESULT


def test_the_ending_chooses_the_format_unless_one_is_named(tmp_path):
    RESULT.save(tmp_path / "x.JSON")
    assert (tmp_path / "x.JSON").read_text() == RESULT.dumps("json")
    RESULT.save(str(tmp_path / "x.json"), "csv")
    assert (tmp_path / "x.json").read_text() == RESULT.dumps("csv")
    with pytest.raises(FormatError, match=r"ending of .*x\.doc names no format; use one of \.rttm"):
        RESULT.save(tmp_path / "x.doc")
    with pytest.raises(FormatError, match="no format 'doc'; choose one of rttm"):
        RESULT.save(tmp_path / "x.doc", "doc")
    assert not (tmp_path / "x.doc").exists()


def test_a_path_that_cannot_be_written_is_one_clear_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    for path, reason in [
        (tmp_path / "missing" / "x.rttm", f"there is no folder {tmp_path / 'missing'}; create it first"),
        (tmp_path / "file" / "x.rttm", "is not a folder"),
        (tmp_path / ("n" * 300 + ".rttm"), "[Ff]ile name too long"),
        ("nul\0l.rttm", "null"),
    ]:
        with pytest.raises(OutputError, match=reason):
            RESULT.save(path)
    with pytest.raises(OutputError, match="is a folder; name a file in it"):
        RESULT.save(tmp_path, "rttm")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_a_folder_without_permission_is_one_clear_sentence(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="no permission"):
        RESULT.save(tmp_path / "x.rttm")


@pytest.mark.parametrize(
    ("number", "reason"), [(errno.ENOSPC, "the disk is full"), (errno.EACCES, "no permission"), (errno.EROFS, "read-only file system")]
)
def test_when_writing_fails_the_old_file_stays_and_nothing_half_written(tmp_path, monkeypatch, number, reason):
    path = tmp_path / "x.rttm"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OutputError, match=reason):
        RESULT.save(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_device_is_written_into_and_stays_a_device():
    with pytest.raises(OutputError, match="the disk is full"):
        RESULT.save("/dev/full", "rttm")
    RESULT.save("/dev/null", "rttm")
    assert Path("/dev/null").is_char_device()
    assert Path("/dev/full").is_char_device()


def test_a_link_stays_a_link(tmp_path):
    target, link = tmp_path / "target.rttm", tmp_path / "link.rttm"
    target.write_text("old")
    try:
        link.symlink_to(target)
    except OSError:
        pytest.skip("no links here")
    RESULT.save(link)
    assert link.is_symlink()
    assert target.read_text() == RESULT.dumps("rttm")


def test_a_read_only_file_is_not_replaced(tmp_path, monkeypatch):
    path = tmp_path / "x.rttm"
    path.write_text("old")
    monkeypatch.setattr(writing.os, "access", lambda *_: False)
    with pytest.raises(OutputError, match="no permission"):
        RESULT.save(path)
    assert path.read_text() == "old"


VOICES = np.eye(2, 5, dtype=np.float32)


def with_voices() -> Diarization:
    activity = np.zeros((500, 2), dtype=np.float32)
    activity[0:100, 0], activity[200:300, 1] = 0.75, 1.0
    turns = [Turn(0.0, 2.0, "A"), Turn(4.0, 7.0, "B")]
    return Diarization(turns, duration=10.0, speakers=["B", "A"], activity=activity[:, ::-1], embeddings=VOICES[::-1])


def test_the_voices_are_in_the_order_of_the_speakers() -> None:
    result = with_voices()
    assert result.speakers == ("A", "B")
    assert result.embeddings is not None
    assert np.array_equal(result.embeddings, VOICES)


def test_confidence_is_the_mean_probability_over_the_turn() -> None:
    assert with_voices().confidences == (pytest.approx(0.75), pytest.approx(2 / 3))
    assert Diarization([Turn(0.0, 1.0, "A")]).confidences is None


def test_voices_follow_crops_and_names_and_have_no_part_in_equality() -> None:
    result = with_voices()
    cropped = result.crop(3.0)
    assert cropped.speakers == ("B",)
    assert cropped.embeddings is not None
    assert np.array_equal(cropped.embeddings, VOICES[1:])
    renamed = result.rename({"A": "Ada"})
    assert renamed.embeddings is not None
    assert np.array_equal(renamed.embeddings, VOICES)
    one = result.rename({"A": "C", "B": "C"})
    assert one.embeddings is not None
    assert one.embeddings[0].tolist() == pytest.approx([2 / 13**0.5, 3 / 13**0.5, 0, 0, 0])
    assert result == Diarization(result.turns, duration=10.0)


@pytest.mark.parametrize("voices", [np.zeros((3, 5)), np.zeros(5), np.full((2, 5), np.nan)])
def test_voices_of_another_shape_or_not_finite_are_refused(voices: np.ndarray) -> None:
    with pytest.raises(OptionError, match="embeddings"):
        Diarization([Turn(0.0, 1.0, "A"), Turn(1.0, 2.0, "B")], speakers=["A", "B"], embeddings=voices)
