"""Find out who spoke when in recordings.

Without -o the result goes to stdout: a timeline and a table on a terminal, RTTM elsewhere.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from wavlm_diarizer.cli.inputs import STDIN, Recording, output_paths, recordings
from wavlm_diarizer.cli.options import add_decoding_options, add_speaker_options, add_window_options, decoding_given
from wavlm_diarizer.errors import DiarizerError, FormatError, OptionError, OutputError, VoicesError
from wavlm_diarizer.formats import FORMATS, by_name, by_path
from wavlm_diarizer.model_file import SAMPLE

if TYPE_CHECKING:
    import argparse

    from wavlm_diarizer.diarization import Diarization
    from wavlm_diarizer.diarizer import Diarizer, Progress
    from wavlm_diarizer.voices import Voices

STREAMED = "rttm"
"""The format of several results in one stream: the only one whose files can simply follow each other."""


EMBEDDED = "json"
"""The format that can hold the speakers' voices."""

REST = "inputs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``wavlm-diarizer diarize``."""
    parser.add_argument(
        "inputs", nargs="*", metavar="INPUT", help="audio file, folder (with all below it), glob pattern, or - for standard input"
    )
    parser.add_argument("--sample", action="store_true", help="diarize the recording that comes with the package")
    parser.add_argument(
        "-m", "--model", help="ONNX file, folder, hub id, or PyTorch checkpoint folder (exported once); default: the built-in model"
    )
    parser.add_argument("-o", "--output", metavar="OUT", help="file to write, or folder for one file per input")
    parser.add_argument("-f", "--format", choices=list(FORMATS), help="output format; default: by the ending of OUT, else rttm")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar, no remarks")
    audio = parser.add_argument_group("channels (default: mixed down)")
    channels = audio.add_mutually_exclusive_group()
    channels.add_argument("--channel", type=int, metavar="N", help="take only channel N, counted from 1")
    channels.add_argument("--per-channel", action="store_true", help="diarize every channel on its own: their people are different")
    model = parser.add_argument_group("inference")
    model.add_argument(
        "--precision",
        choices=("auto", "fp32", "int8"),
        default="auto",
        help="which file of a model folder; auto: the faster one here, measured once (default: auto)",
    )
    model.add_argument(
        "--provider",
        default="cpu",
        metavar="NAME",
        help="onnxruntime's execution provider: cpu, openvino, cuda, coreml ...; its answer is compared with the CPU's once (default: cpu)",
    )
    model.add_argument("--threads", type=int, metavar="N", help="default: as many as this process may use")
    model.add_argument("--low-memory", action="store_true", help="less memory, somewhat slower")
    model.add_argument("--spin", action="store_true", help="idle threads wait busily: a little faster, at the cost of everything else")
    model.add_argument(
        "--every-window", action="store_true", help="ask the model about windows of nothing but steady noise too, where nobody can speak"
    )
    add_speaker_options(parser)
    voices = parser.add_argument_group("voices (with a model that knows voices)")
    voices.add_argument("--voices", metavar="VOICES", help="known people, as 'wavlm-diarizer enroll' writes them: they get their names")
    voices.add_argument("--embeddings", action="store_true", help="write each speaker's voice into the JSON: personal data")
    add_window_options(parser)
    add_decoding_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Diarize every input; 0 if all of them worked and none was truncated, else 1."""
    names = [*arguments.inputs, *([str(SAMPLE)] if arguments.sample else [])]
    if not names:
        raise OptionError("Name at least one recording, or --sample. See 'wavlm-diarizer diarize --help'.")
    found = recordings(names)
    targets = _targets(found, arguments)
    if arguments.embeddings:
        chosen = {arguments.format} if arguments.format else {by_path(target).name if target else STREAMED for target in targets}
        if chosen != {EMBEDDED}:
            raise OptionError(f"Only {EMBEDDED} has a place for embeddings: add -f {EMBEDDED}.")
    from wavlm_diarizer.cli.progress import ProgressBar
    from wavlm_diarizer.in_flight import answered
    from wavlm_diarizer.voices import Voices

    voices = Voices.load(arguments.voices) if arguments.voices else None
    diarizer = _diarizer(arguments)
    if voices is not None:
        voices.check_model(diarizer.settings, arguments.model or "the built-in model")
    if arguments.embeddings and not diarizer.settings.embedding_size:
        raise VoicesError(f"{arguments.model or 'The built-in model'} knows no voices, so there are no embeddings to write.")

    failed = 0
    with ProgressBar(len(found), quiet=arguments.quiet) as bar:

        def diarized(recording: Recording) -> Diarization | DiarizerError:
            try:
                return _diarize(diarizer, recording, arguments, voices, bar.start(recording.relative.name))
            except DiarizerError as error:
                return error

        results = answered(found, diarized, diarizer.at_once if len(found) > 1 else 1)
        for target, (_, result) in zip(targets, results, strict=True):
            try:
                if isinstance(result, DiarizerError):
                    raise result
                _write(result, target, arguments)
            except DiarizerError as error:
                if len(found) == 1:
                    raise
                bar.say(f"wavlm-diarizer: {error}")
                failed += 1
                continue
            for warning in result.warnings:
                if not (arguments.quiet and result.complete):
                    bar.say(f"wavlm-diarizer: {warning}")
            failed += not result.complete
    if failed and len(found) > 1:
        print(f"wavlm-diarizer: {failed} of {len(found)} recordings failed or are incomplete.", file=sys.stderr)  # noqa: T201
    return 1 if failed else 0


def _targets(found: list[Recording], arguments: argparse.Namespace) -> list[Path | None]:
    """Where each result goes; ``None`` is stdout. Everything that can be wrong with the output is found here, before any work."""
    if arguments.output in {None, STDIN}:
        if len(found) > 1 and arguments.format not in {None, STREAMED}:
            raise OptionError(f"Several results in the format {arguments.format} do not fit in one stream: name a folder with -o.")
        return [None] * len(found)
    output = Path(arguments.output).expanduser()
    try:
        named = by_path(output)
    except FormatError:
        named = None
    is_folder = output.is_dir() or str(arguments.output).endswith(("/", "\\")) or (named is None and not output.suffix)
    if is_folder:
        return list(output_paths(found, output, by_name(arguments.format or STREAMED).ending))
    if len(found) > 1:
        raise OptionError(f"{len(found)} recordings need a folder to write to, and {output} is named as a file.")
    if named is None and arguments.format is None:
        by_path(output)  # raises, and lists what there is
    if not output.parent.is_dir():
        raise OutputError(f"The folder {output.parent} for {output.name} does not exist.")
    return [output]


def _diarizer(arguments: argparse.Namespace) -> Diarizer:
    """The diarizer with the options of the command line."""
    from dataclasses import replace

    from wavlm_diarizer.cli.checkpoints import exported
    from wavlm_diarizer.diarizer import Diarizer

    diarizer = Diarizer(
        exported(arguments.model, arguments.precision, quiet=arguments.quiet),
        precision=arguments.precision,
        provider=arguments.provider,
        threads=arguments.threads,
        spin=arguments.spin,
        low_memory=arguments.low_memory,
        window_seconds=arguments.window,
        overlap_seconds=arguments.overlap,
        single_pass_seconds=arguments.single_pass,
        skip_silence=not arguments.every_window,
    )
    given = decoding_given(arguments)
    if "onset" in given and "offset" not in given:
        given["offset"] = min(given["onset"], diarizer.settings.decoding.offset)
    return diarizer.with_decoding(replace(diarizer.settings.decoding, **given)) if given else diarizer


def _diarize(
    diarizer: Diarizer, recording: Recording, arguments: argparse.Namespace, voices: Voices | None, progress: Progress
) -> Diarization:
    """Diarize one recording, from its file or from standard input."""
    source = sys.stdin.buffer if recording.is_stdin else recording.source
    name = "stdin" if recording.is_stdin else None
    return diarizer(
        source,
        channel=arguments.channel,
        per_channel=arguments.per_channel,
        num_speakers=arguments.num_speakers,
        min_speakers=arguments.min_speakers,
        max_speakers=arguments.max_speakers,
        voices=voices,
        name=name,
        progress=progress,
    )


def _write(result: Diarization, target: Path | None, arguments: argparse.Namespace) -> None:
    """Write one result to its file, or to stdout."""
    if target is not None:
        _make_folder(target.parent)
        result.save(target, arguments.format, embeddings=arguments.embeddings)
    elif arguments.format is None and arguments.output is None and sys.stdout.isatty():
        from wavlm_diarizer.timeline import show

        show(result, file=sys.stdout)
    else:
        sys.stdout.write(by_name(arguments.format or STREAMED).dumps(result, embeddings=arguments.embeddings))


def _make_folder(folder: Path) -> None:
    """Make the folder of an output file."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {folder} cannot be made: {error.strerror}.") from error
