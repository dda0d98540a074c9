"""This project as a contender: ``python run_own.py THREADS [MODEL]``; the built-in model unless another is named. See ``worker.py``."""

from __future__ import annotations

import sys

from worker import serve

from wavlm_diarizer import Diarizer


def main(threads: int, model: str | None = None) -> None:
    """Load the model and answer requests."""
    diarizer = Diarizer(model, threads=threads)

    def diarize(wav: str, speakers: int | None) -> list[tuple[float, float, str]]:
        return [(turn.start, turn.end, turn.speaker) for turn in diarizer(wav, num_speakers=speakers).turns]

    serve(diarize, ("wavlm-diarizer", "onnxruntime", "numpy", "soundfile"))


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:3])
