"""What every diarizer's program shares: it answers requests, so that contenders can be run in turns. See ``dialogue.py``.

A request is ``{"wav": path, "speakers": number or null}``; the answer ``{"seconds": ..., "turns": [[start, end, speaker], ...]}``, with an
``error`` if there was one. The seconds are those from the WAV file (16 kHz, 16 bits, mono) to the turns, reading included.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from dialogue import Dialogue, versions

if TYPE_CHECKING:
    from collections.abc import Callable

    Diarize = Callable[[str, int | None], list[tuple[float, float, str]]]


def serve(diarize: Diarize, packages: tuple[str, ...]) -> None:
    """Answer requests until standard input ends. ``diarize`` takes a WAV file and the number of speakers, if it is to be told."""

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        start = time.perf_counter()
        try:
            turns = diarize(request["wav"], request["speakers"])
        # A rival that fails on a recording is a result, whatever it raises; its error is reported beside its figures.
        except Exception as error:  # noqa: BLE001
            return {"seconds": time.perf_counter() - start, "turns": [], "error": repr(error)[:300]}
        return {"seconds": time.perf_counter() - start, "turns": turns}

    dialogue = Dialogue()
    dialogue.begin(**versions(*packages))
    dialogue.answer_all(answer)
