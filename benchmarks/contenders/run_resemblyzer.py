"""silero VAD and Resemblyzer as a contender: ``python run_resemblyzer.py THREADS``; has to be told the number of speakers.

What is often put together by hand: voices of 1.6 s every 0.4 s of speech (GE2E; Wan et al., "Generalized end-to-end loss for speaker
verification", ICASSP 2018), grouped by average linkage on cosine distance. Neither package diarizes by itself, and one speaker is given at
a time. See ``worker.py``.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
import soundfile
import torch
from resemblyzer import VoiceEncoder
from silero_vad import get_speech_timestamps, load_silero_vad
from sklearn.cluster import AgglomerativeClustering
from worker import serve

RATE = 16_000
WINDOW, STEP = 1.6, 0.4


def main(threads: int) -> None:
    """Load both models and answer requests."""
    warnings.filterwarnings("ignore")
    encoder, detector = VoiceEncoder("cpu", verbose=False), load_silero_vad(onnx=True)
    torch.set_num_threads(threads)

    def diarize(wav: str, speakers: int | None) -> list[tuple[float, float, str]]:
        samples, _ = soundfile.read(wav, dtype="float32")
        pieces, voices = [], []
        for speech in get_speech_timestamps(torch.from_numpy(samples), detector, return_seconds=True):
            for at in np.arange(speech["start"], speech["end"], STEP):
                end = min(at + WINDOW, speech["end"])
                begin = max(speech["start"], end - WINDOW)
                piece = samples[int(begin * RATE) : int(end * RATE)]
                piece = np.pad(piece, (0, max(0, int(WINDOW * RATE) - len(piece))), mode="wrap")
                voices.append(encoder.embed_utterance(piece, rate=1.3))
                pieces.append((float(at), float(min(at + STEP, speech["end"]))))
        if len(voices) < 2:
            return [(start, end, "0") for start, end in pieces]
        groups = AgglomerativeClustering(min(speakers or 1, len(voices)), metric="cosine", linkage="average").fit_predict(np.stack(voices))
        turns: list[tuple[float, float, str]] = []
        for (start, end), group in zip(pieces, groups, strict=True):
            if turns and turns[-1][2] == str(group) and start - turns[-1][1] < STEP / 4:
                turns[-1] = (turns[-1][0], end, str(group))
            else:
                turns.append((start, end, str(group)))
        return turns

    serve(diarize, ("resemblyzer", "silero-vad", "torch", "scikit-learn"))


if __name__ == "__main__":
    main(int(sys.argv[1]))
