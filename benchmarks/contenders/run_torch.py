"""transformers on PyTorch as an engine: ``python run_torch.py THREADS CHECKPOINT fp32|bf16``. See ``engine.py``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import engine

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def main(threads: int, checkpoint: str, precision: str) -> None:
    """Load the checkpoint as its card says, in eager mode, and answer requests."""

    def load() -> engine.Engine:
        import torch
        from transformers import WavLMForAudioFrameClassification

        torch.set_num_threads(threads)
        kind = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        model = WavLMForAudioFrameClassification.from_pretrained(checkpoint, dtype=kind).eval()

        def run(window: NDArray[np.float32]) -> NDArray[np.float32]:
            with torch.inference_mode():
                logits: NDArray[np.float32] = model(torch.from_numpy(window[None]).to(kind)).logits[0].float().numpy()
            return logits

        return run

    engine.serve(load, ("torch", "transformers"))


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:4])
