"""A progress bar on stderr, on a terminal only, for work that takes longer than a moment."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress as RichProgress

    from wavlm_diarizer.diarizer import Progress

PATIENCE_SECONDS = 1.0
"""Work that ends within this time shows no bar."""


class StoppedError(Exception):
    """Raised in a recording's own thread once the others have ended with an error."""


class ProgressBar:
    """One line for the recordings at work, started from any thread. Without a terminal, or quiet, it only prints what is said."""

    def __init__(self, recordings: int, *, quiet: bool) -> None:
        self._recordings = recordings
        self._done = 0
        self._began = time.monotonic()
        self._wanted = not quiet and sys.stderr.isatty()
        self._bar: RichProgress | None = None
        self._lock = threading.Lock()
        self._stopped = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stopped = True
        if self._bar is not None:
            self._bar.stop()

    def start(self, name: str) -> Progress:
        """Begin with the next recording; the answer is to be called with the seconds done and the seconds in all.

        It raises :class:`StoppedError` once the bar has ended.
        """
        with self._lock:
            self._done += 1
            label = name if self._recordings == 1 else f"{name} ({self._done} of {self._recordings})"

        def update(seconds: float, total: float | None) -> None:
            if self._stopped:
                raise StoppedError
            if not self._wanted or (self._bar is None and time.monotonic() - self._began < PATIENCE_SECONDS):
                return
            bar = self._open()
            bar.update(bar.task_ids[0], description=label, completed=seconds, total=total)

        return update

    def say(self, text: str) -> None:
        """Print a line on stderr, above the bar if there is one."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=sys.stderr)  # noqa: T201

    def _open(self) -> RichProgress:
        """The bar, made when it is first needed."""
        with self._lock:
            if self._bar is None:
                from rich.console import Console
                from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

                columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
                self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
                self._bar.add_task("", total=None)
                self._bar.start()
            return self._bar
