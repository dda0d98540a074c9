"""OpenVINO as an engine: ``python run_openvino.py THREADS MODEL default|f32|bf16``, in an environment with openvino. See ``engine.py``.

The last word is the precision that it is told to compute in; by default it chooses itself (bf16 on CPUs that have it).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import engine

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def main(threads: int, model: str, precision: str) -> None:
    """Compile the model and answer requests."""
    chosen = ""

    def load() -> engine.Engine:
        nonlocal chosen
        import openvino

        settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
        if precision != "default":
            settings["INFERENCE_PRECISION_HINT"] = precision
        compiled = openvino.Core().compile_model(model, "CPU", settings)
        chosen = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        request = compiled.create_infer_request()

        def run(window: NDArray[np.float32]) -> NDArray[np.float32]:
            logits: NDArray[np.float32] = request.infer({0: window[None]})[0][0].copy()
            return logits

        return run

    engine.serve(load, ("openvino",), precision=lambda: chosen)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:4])
