"""sherpa-onnx as a contender: ``python run_sherpa.py THREADS MODELS [THRESHOLD]``, MODELS what ``export_rival_models.py`` wrote.

pyannote segmentation-3.0, CAM++ embeddings and sherpa-onnx's clustering with a threshold, its default unless one is given, or with the
number of speakers where it is told. Minimal durations are those of sherpa-onnx's own example. See ``worker.py``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import sherpa_onnx
import soundfile
from worker import serve

THRESHOLD = 0.5
"""The default of sherpa-onnx's clustering."""


def main(threads: int, models: Path, threshold: float = THRESHOLD) -> None:
    """Load both models and answer requests."""

    def config(speakers: int | None) -> sherpa_onnx.OfflineSpeakerDiarizationConfig:
        return sherpa_onnx.OfflineSpeakerDiarizationConfig(
            segmentation=sherpa_onnx.OfflineSpeakerSegmentationModelConfig(
                pyannote=sherpa_onnx.OfflineSpeakerSegmentationPyannoteModelConfig(model=str(models / "segmentation-3.0.onnx")),
                num_threads=threads,
            ),
            embedding=sherpa_onnx.SpeakerEmbeddingExtractorConfig(model=str(models / "campplus.onnx"), num_threads=threads),
            clustering=sherpa_onnx.FastClusteringConfig(num_clusters=speakers or -1, threshold=threshold),
            min_duration_on=0.3,
            min_duration_off=0.5,
        )

    diarizer = sherpa_onnx.OfflineSpeakerDiarization(config(None))

    def diarize(wav: str, speakers: int | None) -> list[tuple[float, float, str]]:
        diarizer.set_config(config(speakers))  # takes the clustering's settings over; the models stay loaded
        samples, _ = soundfile.read(wav, dtype="float32")
        return [(turn.start, turn.end, str(turn.speaker)) for turn in diarizer.process(samples).sort_by_start_time()]

    serve(diarize, ("sherpa-onnx", "numpy", "soundfile"))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), *map(float, sys.argv[3:4]))
