"""The model file used with onnxruntime and NumPy alone: python plain_onnxruntime.py MODEL RECORDING (16 kHz, mono).

Everything that has to be known is in the file's metadata, so the same steps work in any language. This shows one window and a
plain threshold; this package also joins windows, so that recordings may have any length, smooths, and drops what is too short.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import onnxruntime
import soundfile


def main(model: str, recording: str) -> None:
    """Print the turns of the recording's first window."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    metadata = {
        key.removeprefix("wavlm_diarizer."): value
        for key, value in session.get_modelmeta().custom_metadata_map.items()
        if key.startswith("wavlm_diarizer.")
    }
    rate, hop = json.loads(metadata["sampling_rate"]), json.loads(metadata["hop"])
    samples, file_rate = soundfile.read(recording, dtype="float32")
    if samples.ndim != 1 or file_rate != rate:
        sys.exit(f"{recording} must be mono at {rate} Hz.")
    window = samples[: round(json.loads(metadata["window_seconds"]) * rate)]
    if json.loads(metadata["do_normalize"]):
        wide = window.astype(np.float64)
        window = ((wide - wide.mean()) / np.sqrt(wide.var() + 1e-7)).astype(np.float32)
    (logits,) = session.run(["logits"], {"input_values": window[None]})
    probabilities = 1.0 / (1.0 + np.exp(-logits[0].astype(np.float64)))
    threshold = json.loads(metadata["decoding"])["onset"]
    for label, column in zip(json.loads(metadata["labels"]), probabilities.T, strict=True):
        edges = np.flatnonzero(np.diff(np.concatenate(([False], column > threshold, [False]))))
        for first, stop in edges.reshape(-1, 2):
            print(f"{first * hop / rate:7.2f} {stop * hop / rate:7.2f} {label}")


if __name__ == "__main__":
    main(*sys.argv[1:])
