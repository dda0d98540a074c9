"""This project on one long recording: ``python run_long.py THREADS RECORDING EXCERPTS SECONDS OUT [MODEL]``.

Diarizes the whole recording and then EXCERPTS pieces of SECONDS each, evenly spaced on the grid of the windows, the last one as late as can
be. Writes ``long.rttm`` and ``excerpt_N.rttm`` (times within the excerpt) to OUT. On standard output a line of JSON
after every window, so that whoever started it can look at its memory meanwhile, and one for each result.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import soundfile

from wavlm_diarizer import Diarizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def main(threads: int, recording: Path, excerpts: int, seconds: float, out: Path, model: str | None = None) -> None:
    """Diarize all of it, then parts of it."""
    diarizer = Diarizer(model, threads=threads)
    last_window = begun = time.perf_counter()

    def progress(done: float, _: float | None) -> None:
        nonlocal last_window
        last_window = time.perf_counter()
        say(done=done)

    result = diarizer(recording, name="long", progress=progress)
    ended = time.perf_counter()
    result.save(out / "long.rttm")
    # What comes after the last window is clustering and decoding.
    say(
        windows_seconds=last_window - begun,
        after_seconds=ended - last_window,
        speakers=len(result.speakers),
        turns=len(result.turns),
        duration=result.duration,
    )
    settings = diarizer.settings
    for number, start in enumerate(starts(result.duration, excerpts, seconds, settings.window_seconds - settings.overlap_seconds)):
        samples = cut(recording, start, seconds, settings.sampling_rate)
        part = diarizer((samples, settings.sampling_rate), name=f"excerpt_{number}")
        part.save(out / f"excerpt_{number}.rttm")
        say(excerpt=number, start=start, duration=part.duration, speakers=len(part.speakers))


def starts(duration: float, count: int, seconds: float, step: float) -> list[float]:
    """Where the excerpts begin: evenly spaced multiples of the windows' step, the last as late as one of that length can begin."""
    latest = max(0.0, (duration - seconds) // step * step)
    return [latest * number / max(count - 1, 1) // step * step for number in range(count)]


def cut(recording: Path, start: float, seconds: float, rate: int) -> NDArray[np.float32]:
    """The samples ``[n]`` of an excerpt of a 16 kHz file."""
    with soundfile.SoundFile(recording) as file:
        file.seek(round(start * rate))
        samples: NDArray[np.float32] = file.read(round(seconds * rate), dtype="float32")
    return samples


def say(**values: Any) -> None:
    """A line for whoever started this."""
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), Path(sys.argv[5]), *sys.argv[6:7])
