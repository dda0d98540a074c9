"""This project's runtime as an engine: ``python run_own_model.py THREADS MODEL [low-memory]``. See ``engine.py``."""

from __future__ import annotations

import sys

import engine


def main(threads: int, model: str, memory: str = "") -> None:
    """Open the file as ``wavlm-diarizer diarize`` does and answer requests."""

    def load() -> engine.Engine:
        from wavlm_diarizer import Diarizer

        return Diarizer(model, threads=threads, low_memory=memory == "low-memory").logits

    engine.serve(load, ("wavlm-diarizer", "onnxruntime", "numpy"))


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:4])
