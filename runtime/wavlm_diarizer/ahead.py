"""Something slow to read in, the same things read ahead in a thread of their own out: reading goes on while the model computes.

Not more than a few are held at a time; the order, the things themselves and any error are those of the source.
"""

from __future__ import annotations

from collections import deque
from threading import Condition, Thread
from typing import TYPE_CHECKING, Generic, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

Item = TypeVar("Item")

MOST = 2
"""Items that wait at a time: one that is taken next, one that comes after it."""


class Ahead(Generic[Item]):
    """Iterates over ``source`` in a thread. A context manager: when it is left, nothing reads from the source any more."""

    def __init__(self, source: Iterable[Item], most: int = MOST) -> None:
        self._source = source
        self._most = most
        self._waiting: deque[Item] = deque()
        self._changed = Condition()
        self._left = False
        self._ended = False
        self._error: BaseException | None = None
        self._thread = Thread(target=self._read, name="wavlm-diarizer reading", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._changed:
            self._left = True
            self._changed.notify_all()
        self._thread.join()

    def __iter__(self) -> Iterator[Item]:
        """What the source gives, in its order; an error of the source is raised where it happened."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ended)
                if not self._waiting:
                    if self._error is not None:
                        raise self._error
                    return
                item = self._waiting.popleft()
                self._changed.notify_all()
            yield item

    def _read(self) -> None:
        """The thread: read until the source ends, fails, or nobody wants more."""
        try:
            for item in self._source:
                with self._changed:
                    self._changed.wait_for(lambda: self._left or len(self._waiting) < self._most)
                    if self._left:
                        return
                    self._waiting.append(item)
                    self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001 - it is raised again in the thread that reads
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
