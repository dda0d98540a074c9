"""Make the model file that comes with the package from its checkpoint: ``python -m wavlm_export.builtin_model``, in a checkout."""

from __future__ import annotations

import sys
from pathlib import Path

from wavlm_diarizer.model_file import BUILTIN
from wavlm_export.exporter import Options, export

CHECKPOINT = Path(__file__).parents[1] / "checkpoints" / "builtin-sd"
SPEAKER_MODEL = CHECKPOINT.with_name("builtin-sv")
"""Its second head, on the same backbone."""
OPTIONS = Options(window_seconds=8.0, overlap_seconds=4.0, single_pass_seconds=8.0)
"""The checkpoint was trained on windows of this kind, and knows no longer ones."""


def main() -> int:
    """Export the checkpoint to where the runtime looks for it, with its voices where they are trained."""
    report = export(
        CHECKPOINT,
        BUILTIN,
        precision="int8",
        speaker_model=SPEAKER_MODEL if SPEAKER_MODEL.is_dir() else None,
        options=OPTIONS,
        progress=lambda line: print(line, file=sys.stderr),  # noqa: T201
    )
    print(report["int8"]["int8"])  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
