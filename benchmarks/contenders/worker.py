"""What every contender's program shares: it answers requests on standard input, so that contenders can be run in turns.

A request is one line of JSON, ``{"wav": path, "speakers": number or null}``; the answer another, ``{"seconds": ..., "turns": [[start, end,
speaker], ...]}``, with an ``error`` if there was one. The seconds are those from the WAV file (16 kHz, 16 bits, mono) to the turns, reading
included. The first line says which versions are running; when standard input is closed, the last one gives the peak memory.

Needs the standard library alone: each contender runs in an environment of its own.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Diarize = Callable[[str, int | None], list[tuple[float, float, str]]]

STATUS = Path("/proc/self/status")


def serve(diarize: Diarize, packages: tuple[str, ...]) -> None:
    """Answer requests until standard input ends. ``diarize`` takes a WAV file and the number of speakers, if it is to be told."""
    # Libraries print what they like; the answers have the real standard output for themselves.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def say(answer: dict[str, object]) -> None:
        answers.write(json.dumps(answer) + "\n")

    say({"python": sys.version.split()[0], **{name: version(name) for name in packages}})
    for line in sys.stdin:
        request = json.loads(line)
        start = time.perf_counter()
        try:
            turns = diarize(request["wav"], request["speakers"])
        # A rival that fails on a recording is a result, whatever it raises; its error is reported beside its figures.
        except Exception as error:  # noqa: BLE001
            say({"seconds": time.perf_counter() - start, "turns": [], "error": repr(error)[:300]})
            continue
        say({"seconds": time.perf_counter() - start, "turns": turns})
    say({"peak_bytes": peak_bytes()})


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
