"""Compare a model file with its PyTorch checkpoint again, on recordings of your own too.

An fp32 file has to answer as PyTorch does, up to rounding; an int8 file within the limits of the guard. Exit code 1 if it does not.
Needs the export extra: pip install 'wavlm-diarizer[export]'.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from wavlm_diarizer.cli.checkpoints import require_export_extra
from wavlm_diarizer.cli.export import summary
from wavlm_diarizer.cli.inputs import recordings
from wavlm_diarizer.errors import VerificationError

if TYPE_CHECKING:
    import argparse


REST = "audio"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``wavlm-diarizer verify``."""
    parser.add_argument("model", metavar="MODEL", help="ONNX file or folder")
    parser.add_argument("audio", nargs="*", metavar="AUDIO", help="recordings to compare on, besides the package's own speech")
    parser.add_argument("--against", required=True, metavar="SOURCE", help="hub id or folder of the checkpoint")
    parser.add_argument("--revision", metavar="R", help="branch, tag or commit of the hub's checkpoint")
    parser.add_argument("--speaker-model", metavar="SPEAKER", help="hub id or folder of the speaker model that the file's voices come from")
    parser.add_argument("--speaker-revision", metavar="R", help="branch, tag or commit of the speaker model on the hub")
    parser.add_argument("--precision", choices=("auto", "fp32", "int8"), default="auto", help="which file of a folder (default: auto)")
    parser.add_argument("--json", action="store_true", help="the whole report, as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Verify, and print the report."""
    require_export_extra()
    from wavlm_export.verify import verify  # noqa: TID251 - the command line's second door to the exporter

    def say(line: str) -> None:
        if sys.stderr.isatty():
            print(f"wavlm-diarizer: {line}", file=sys.stderr)  # noqa: T201

    audio = [recording.source for recording in recordings(arguments.audio)]
    report = verify(
        arguments.model,
        against=arguments.against,
        audio=audio,
        revision=arguments.revision,
        speaker_model=arguments.speaker_model,
        speaker_revision=arguments.speaker_revision,
        precision=arguments.precision,
        progress=say,
    )
    sys.stdout.write(json.dumps(report, indent=2) + "\n" if arguments.json else summary(report) + "\n")
    if report["verdict"] == "failed":
        raise VerificationError(f"{arguments.model} does not answer as {arguments.against} does.")
    return 0
