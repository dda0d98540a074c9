"""``python -m wavlm_diarizer`` is the command line."""

from __future__ import annotations

import sys

from wavlm_diarizer.cli import main

if __name__ == "__main__":
    sys.exit(main())
