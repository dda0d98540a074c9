"""Turn a PyTorch checkpoint into a verified ONNX file.

Every file is compared with PyTorch before it is written, and an int8 file with fp32 on speech; the report travels in the file.
Needs the export extra: pip install 'wavlm-diarizer[export]'.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavlm_diarizer.cli.checkpoints import load_exporter
from wavlm_diarizer.cli.options import add_decoding_options, add_window_options, decoding_given
from wavlm_diarizer.errors import OptionError

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``wavlm-diarizer export``."""
    parser.add_argument("source", metavar="SOURCE", help="hub id (microsoft/wavlm-base-plus-sd) or folder of a checkpoint")
    parser.add_argument(
        "-o", "--output", required=True, metavar="OUT", help="model.onnx for one file, or a folder for both precisions in the hub's layout"
    )
    parser.add_argument("--precision", choices=("fp32", "int8"), help="default: int8 for one file, both for a folder")
    parser.add_argument(
        "--graph",
        choices=("fast", "portable"),
        help="fast: written for onnxruntime's CPU provider; portable: optimum's export; default: fast where the architecture is supported",
    )
    parser.add_argument("--revision", metavar="R", help="branch, tag or commit of the hub's checkpoint")
    parser.add_argument(
        "--speaker-model",
        metavar="SPEAKER",
        help="hub id (microsoft/wavlm-base-plus-sv) or folder of an x-vector model: the file gives a voice embedding of each speaker too",
    )
    parser.add_argument("--speaker-revision", metavar="R", help="branch, tag or commit of the speaker model on the hub")
    parser.add_argument("--two-passes", action="store_true", help="if the two do not share a backbone, run both: twice the time")
    parser.add_argument("--head", choices=("sigmoid",), help="take labels that do not look like speakers as one speaker each")
    parser.add_argument("--calibration", type=Path, metavar="FOLDER", help="recordings to choose int8 parts on; default: the package's own")
    parser.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=(
            "a looser limit of the int8 guard (relative_rms, labels_equal, mean_probability_difference, embedding_cosine); "
            "recorded in the file"
        ),
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="only errors")
    add_window_options(parser)
    add_decoding_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Export, and say what was written and how it compared."""
    export = load_exporter()
    from wavlm_diarizer.decoding import Decoding
    from wavlm_export.exporter import Options  # noqa: TID251 - the door that load_exporter has just opened
    from wavlm_export.guard import Limits  # noqa: TID251

    lengths = {
        "window_seconds": arguments.window,
        "overlap_seconds": arguments.overlap,
        "single_pass_seconds": arguments.single_pass,
    }
    options = Options(
        graph=arguments.graph,
        **{name: value for name, value in lengths.items() if value is not None},
        decoding=Decoding.from_dict(decoding_given(arguments)),
        limits=Limits().loosened(_limits(arguments.limit)),
        calibration=arguments.calibration,
    )
    reports = export(
        arguments.source,
        arguments.output,
        precision=arguments.precision,
        revision=arguments.revision,
        head=arguments.head,
        speaker_model=arguments.speaker_model,
        speaker_revision=arguments.speaker_revision,
        two_passes=arguments.two_passes,
        options=options,
        progress=(lambda _: None) if arguments.quiet else _say,
    )
    if not arguments.quiet:
        for precision, report in reports.items():
            _say(f"{precision}: {summary(report[precision])}")
        _say(f"written: {arguments.output}")
    return 0


def summary(report: dict[str, Any]) -> str:
    """One line about a comparison."""
    voices = report.get("embeddings")
    heard = f", {voices['compared']} voices within cosine {voices['lowest_cosine']:.6f}" if voices else ""
    if "relative_rms" in report:
        return (
            f"{report['verdict']} against fp32 on {report['seconds']:.0f} s of speech: relative RMS {report['relative_rms']:.4f}, "
            f"labels equal {report['labels_equal']:.2%}, mean probability difference {report['mean_probability_difference']:.5f}{heard}"
        )
    return (
        f"{report['verdict']} against PyTorch: probabilities within {report['max_probability_difference']:.1e}, "
        f"logits within {report['max_logit_difference']:.1e}{heard}"
    )


def _limits(given: list[str]) -> dict[str, float]:
    """The limits named on the command line."""
    limits = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            limits[name] = float(value)
        except ValueError:
            raise OptionError(f"--limit takes NAME=NUMBER, not {text!r}.") from None
    return limits


def _say(line: str) -> None:
    """Tell the user how far it is."""
    print(f"wavlm-diarizer: {line}", file=sys.stderr)  # noqa: T201
