"""senko as a contender: ``python run_senko.py THREADS``, with its own defaults on a CPU. See ``worker.py``."""

from __future__ import annotations

import os
import sys

from worker import serve


def main(threads: int) -> None:
    """Load senko and answer requests."""
    os.environ["OMP_NUM_THREADS"] = str(threads)  # before anything that reads it is imported
    import senko
    import torch

    diarizer = senko.Diarizer(device="cpu", warmup=False, quiet=True)
    torch.set_num_threads(threads)

    def diarize(wav: str, speakers: int | None) -> list[tuple[float, float, str]]:
        del speakers  # senko cannot be told
        found = diarizer.diarize(wav)
        return [(turn["start"], turn["end"], turn["speaker"]) for turn in (found or {}).get("merged_segments", [])]

    serve(diarize, ("senko", "torch", "onnxruntime"))


if __name__ == "__main__":
    main(int(sys.argv[1]))
