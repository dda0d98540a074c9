"""Windows (or whole recordings) in, the same with their answers out, in the same order: several of them are worked on at once.

The products of a small model are too small to be shared out: two threads on one window are hardly faster than one, on two windows they
are 1.8 times as fast (``docs/decisions/less_work.md``). While they work, the next windows are read and resampled.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

In = TypeVar("In")
Out = TypeVar("Out")


def answered(windows: Iterable[In], answer: Callable[[In], Out], at_once: int) -> Iterator[tuple[In, Out]]:
    """Each of ``windows`` with its answer, in order, ``at_once`` being answered at the same time; 1: in this thread.

    At most ``at_once + 1`` windows are held. An error in reading or answering is raised in its turn; what has not begun by then is left,
    and what has is waited for, unless it is the user who interrupts.
    """
    if at_once == 1:
        for window in windows:
            yield window, answer(window)
        return
    waiting: deque[tuple[In, Future[Out]]] = deque()
    pool = ThreadPoolExecutor(at_once, thread_name_prefix="wavlm-diarizer")
    patient = True
    try:
        for window in windows:
            waiting.append((window, pool.submit(answer, window)))
            if len(waiting) > at_once:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    except KeyboardInterrupt:
        patient = False
        raise
    finally:
        pool.shutdown(wait=patient, cancel_futures=True)
