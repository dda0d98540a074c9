"""Who spoke when, on an ordinary CPU.

>>> from wavlm_diarizer import Diarizer
>>> diarizer = Diarizer()                 # the built-in model; or Diarizer("model.onnx"), a folder, a hub id
>>> result = diarizer("meeting.wav")      # a path, a file object, bytes, or (samples, sample_rate)
>>> for turn in result.turns:
...     print(turn.start, turn.end, turn.speaker)
>>> result.save("meeting.rttm")

Names are loaded when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wavlm_diarizer.clustering import Clustering
    from wavlm_diarizer.decoding import Decoding
    from wavlm_diarizer.diarization import Diarization, Turn
    from wavlm_diarizer.diarizer import Diarizer
    from wavlm_diarizer.errors import DiarizerError
    from wavlm_diarizer.settings import ModelSettings
    from wavlm_diarizer.voices import Voices
    from wavlm_diarizer.words import assign_words

__version__ = "0.1.0"
__all__ = [
    "Clustering",
    "Decoding",
    "Diarization",
    "Diarizer",
    "DiarizerError",
    "ModelSettings",
    "Turn",
    "Voices",
    "__version__",
    "assign_words",
]

_HOMES = {
    "Clustering": "clustering",
    "Decoding": "decoding",
    "Diarization": "diarization",
    "Diarizer": "diarizer",
    "DiarizerError": "errors",
    "ModelSettings": "settings",
    "Turn": "diarization",
    "Voices": "voices",
    "assign_words": "words",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
