"""How a contender's program talks: a request is one line of JSON on standard input, its answer one line of JSON on standard output.

The first line tells what is running; when standard input ends, the last one gives the peak memory. Needs the standard library alone: each
contender runs in an environment of its own.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

STATUS = Path("/proc/self/status")


class Dialogue:
    """Standard input and output, kept for requests and answers: libraries print what they like, which goes to standard error instead."""

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(2, 1)

    def begin(self, **facts: Any) -> None:
        """The first line."""
        self._say(facts)

    def answer_all(self, answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Answer requests until standard input ends, then tell the peak memory."""
        for line in sys.stdin:
            self._say(answer(json.loads(line)))
        self._say({"peak_bytes": peak_bytes()})

    def _say(self, facts: dict[str, Any]) -> None:
        self._answers.write(json.dumps(facts) + "\n")


def versions(*packages: str) -> dict[str, str]:
    """Of Python and the packages."""
    return {"python": sys.version.split()[0], **{name: version(name) for name in packages}}


def peak_bytes() -> int:
    """The most memory that this process has held at once (resident set).

    Linux's ``VmHWM`` counts this program alone; ``ru_maxrss`` begins with what its parent held when it was started.
    """
    if STATUS.exists():
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
