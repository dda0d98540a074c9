"""What every engine's program shares: it holds one model and runs windows of speech through it on request. See ``dialogue.py``.

A request is ``{"window": path, "times": number, "answer": path or null}``: run the window, a ``.npy`` file of float32 ``[n]`` at 16 kHz,
so many times, and save the last answer, float32 ``[frames, labels]``, if a path is given. The answer is ``{"seconds": ..., "cpu_seconds":
..., "others": ...}``: the time of one run and what it took of all cores, both on average, and how many CPU seconds other programs had
meanwhile (``null`` where the system does not tell).
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from dialogue import Dialogue, versions

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Engine = Callable[[NDArray[np.float32]], NDArray[np.float32]]
    """One window ``[n]`` to its logits ``[frames, labels]``."""

CPU_TIMES = Path("/proc/stat")
IDLE = (3, 4)
"""Columns of /proc/stat in which nothing ran: idle and waiting for a disk."""


def serve(load: Callable[[], Engine], packages: tuple[str, ...], **facts: Any) -> None:
    """Load the model, then answer requests. ``facts``: what else to tell about it; a function is asked after loading."""
    dialogue = Dialogue()
    began = time.perf_counter()
    engine = load()
    loaded = time.perf_counter() - began
    told = {name: value() if callable(value) else value for name, value in facts.items()}
    dialogue.begin(versions=versions(*packages), load_seconds=loaded, **told)

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        window = np.load(request["window"])
        times = int(request.get("times", 1))
        others = others_seconds()
        start, cpu_start = time.perf_counter(), time.process_time()
        for _ in range(times):
            logits = engine(window)
        seconds, cpu_seconds = (time.perf_counter() - start) / times, (time.process_time() - cpu_start) / times
        after = others_seconds()
        if request.get("answer"):
            np.save(request["answer"], logits)
        busy = None if others is None or after is None else max(0.0, after - others)
        return {"seconds": seconds, "cpu_seconds": cpu_seconds, "others": busy}

    dialogue.answer_all(answer)


def others_seconds() -> float | None:
    """CPU seconds that other programs have had since the machine was started, stolen time included; ``None`` where /proc/stat is not."""
    if not CPU_TIMES.exists():
        return None
    ticks = [int(count) for count in CPU_TIMES.read_text().splitlines()[0].split()[1:9]]
    busy = sum(count for column, count in enumerate(ticks) if column not in IDLE) / os.sysconf("SC_CLK_TCK")
    own = os.times()
    return busy - own.user - own.system
