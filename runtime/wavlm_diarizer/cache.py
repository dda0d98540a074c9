"""Where this package keeps what it worked out once: exported checkpoints, and which precision is the faster one on this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

VARIABLE = "WAVLM_DIARIZER_CACHE"


def cache_folder() -> Path:
    """``WAVLM_DIARIZER_CACHE``, else where the system keeps a user's caches."""
    if folder := os.environ.get(VARIABLE):
        return Path(folder).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "wavlm-diarizer" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "wavlm-diarizer"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wavlm-diarizer"
