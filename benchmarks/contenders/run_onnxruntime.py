"""Plain onnxruntime with its own defaults as an engine: ``python run_onnxruntime.py THREADS MODEL``. See ``engine.py``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import engine

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def main(threads: int, model: str) -> None:
    """Open the file and answer requests."""

    def load() -> engine.Engine:
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # the benchmarks use no network
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

        def run(window: NDArray[np.float32]) -> NDArray[np.float32]:
            logits: NDArray[np.float32] = session.run(["logits"], {"input_values": window[None]})[0][0]
            return logits

        return run

    engine.serve(load, ("onnxruntime",))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
