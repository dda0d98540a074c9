"""Windows that are worked on at once: the order, the bound, and what happens to errors."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from wavlm_diarizer import Diarizer, sessions
from wavlm_diarizer.cli.progress import ProgressBar, StoppedError
from wavlm_diarizer.in_flight import answered
from wavlm_diarizer.model_file import BUILTIN, SAMPLE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_answers_come_in_the_order_of_the_windows(at_once: int) -> None:
    first_may_end = threading.Event()

    def answer(number: int) -> int:
        if number == 0 and at_once > 1:
            assert first_may_end.wait(10)
        if number == 1:
            first_may_end.set()
        return number * number

    assert list(answered(range(9), answer, at_once)) == [(number, number * number) for number in range(9)]


@pytest.mark.parametrize("at_once", [1, 2, 4])
def test_so_many_are_answered_at_the_same_time_and_no_more(at_once: int) -> None:
    together = threading.Barrier(at_once)
    running, most, lock = 0, 0, threading.Lock()

    def answer(_: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait(10)
        with lock:
            running -= 1

    assert len(list(answered(range(3 * at_once), answer, at_once))) == 3 * at_once
    assert most == at_once


def test_no_more_windows_are_read_than_are_worked_on_and_one() -> None:
    read: list[int] = []

    def windows() -> Iterator[int]:
        for number in range(100):
            read.append(number)
            yield number

    for number, _ in answered(windows(), lambda number: number, 3):
        assert len(read) <= number + 4


def test_an_error_of_one_window_is_raised_in_its_turn_and_the_rest_is_not_done() -> None:
    asked: list[int] = []

    def answer(number: int) -> int:
        asked.append(number)
        if number == 4:
            raise ValueError("four")
        return number

    found = answered(range(1000), answer, 2)
    assert [next(found) for _ in range(4)] == [(number, number) for number in range(4)]
    with pytest.raises(ValueError, match="four"):
        next(found)
    assert max(asked) <= 7


def test_an_error_in_reading_ends_it_and_leaves_no_thread() -> None:
    def windows() -> Iterator[int]:
        yield 0
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(answered(windows(), lambda number: number, 2))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("wavlm-diarizer")]


def test_an_interrupt_does_not_wait_for_what_is_being_done() -> None:
    released = threading.Event()

    def items() -> Iterator[int]:
        yield 0
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(answered(items(), lambda _: released.wait(60), 2))
    assert not released.is_set()
    released.set()


def test_a_recording_in_another_thread_stops_when_the_bar_has_ended() -> None:
    with ProgressBar(2, quiet=True) as bar:
        update = bar.start("one")
        update(1.0, 2.0)
    with pytest.raises(StoppedError):
        update(2.0, 2.0)


def test_small_models_work_on_windows_side_by_side_and_large_ones_on_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sessions.windows_at_once(BUILTIN, threads=3) == 3
    assert sessions.windows_at_once(BUILTIN, threads=1) == 1
    assert sessions.windows_at_once(BUILTIN, threads=3, low_memory=True) == 1
    monkeypatch.setattr(sessions, "usable_cores", lambda: 5)
    assert sessions.windows_at_once(BUILTIN) == 5
    (tmp_path / "model.onnx").write_bytes(b"x")
    assert sessions.windows_at_once(tmp_path / "model.onnx") == 5
    with (tmp_path / "model.onnx_data").open("wb") as file:
        file.truncate(sessions.SMALL_MODEL)
    assert sessions.windows_at_once(tmp_path / "model.onnx") == 1


def test_the_answer_is_the_same_however_many_windows_are_worked_on_at_once() -> None:
    one = Diarizer(threads=1)(SAMPLE)
    several = Diarizer(threads=3)
    assert several._at_once == 3
    result = several(SAMPLE)
    assert result.turns == one.turns
    assert np.array_equal(result.activity, one.activity)
