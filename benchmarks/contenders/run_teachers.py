"""The built-in model's teachers as a contender: ``python run_teachers.py THREADS MODELS [no-voices]``.

MODELS is what ``export_rival_models.py`` wrote. pyannote segmentation-3.0 says who of at most three local speakers is on, CAM++ (unless
there are to be no voices) how they sound, and all else is this project's runtime: windows, join or clustering, decoding. What comes out is
what a student of theirs could reach at best, and what the runtime itself loses. See ``worker.py``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from teacher_session import TeacherSession, settings
from worker import serve

from wavlm_diarizer import Diarizer


def main(threads: int, models: Path, *, voices: bool) -> None:
    """Load both models and answer requests."""
    session = TeacherSession(models, threads, voices=voices)
    diarizer = Diarizer(session=session, settings=settings(voices=voices))  # type: ignore[arg-type]

    def diarize(wav: str, speakers: int | None) -> list[tuple[float, float, str]]:
        return [(turn.start, turn.end, turn.speaker) for turn in diarizer(wav, num_speakers=speakers).turns]

    serve(diarize, ("onnxruntime", "kaldi-native-fbank", "numpy"))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), voices="no-voices" not in sys.argv[3:])
