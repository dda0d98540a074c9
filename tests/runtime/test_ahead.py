"""Reading ahead: the same things in the same order, errors where they happened, and nothing left running."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from wavlm_diarizer.ahead import MOST, Ahead

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_everything_comes_in_its_order() -> None:
    with Ahead(range(100)) as ahead:
        assert list(ahead) == list(range(100))


def test_an_error_of_the_source_is_raised_after_what_came_before_it() -> None:
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("broken")

    taken = []
    with pytest.raises(ValueError, match="broken"), Ahead(source()) as ahead:
        taken.extend(ahead)
    assert taken == [1, 2]


def test_no_more_is_read_than_is_to_wait() -> None:
    started: list[int] = []
    full = threading.Event()

    def source() -> Iterator[int]:
        for number in range(1000):
            started.append(number)
            if number == MOST:
                full.set()
            yield number

    with Ahead(source()) as ahead:
        assert full.wait(10)
        assert len(started) == MOST + 1  # one more is in the reader's hand
        assert next(iter(ahead)) == 0
    assert len(started) <= MOST + 2


def test_nothing_reads_any_more_once_it_is_left() -> None:
    closed = []

    def source() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.append(True)

    before = threading.active_count()
    endless = source()
    with Ahead(endless) as ahead:
        assert next(iter(ahead)) == 0
    assert threading.active_count() == before
    endless.close()  # would fail while another thread is in it
    assert closed == [True]
