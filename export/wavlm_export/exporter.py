"""A checkpoint in, verified ONNX files out: the whole way of the export, in its order.

checkpoint -> graph -> verification against PyTorch -> quantization under the guard -> files, written aside and renamed
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavlm_diarizer.decoding import Decoding
from wavlm_diarizer.errors import AudioNotFoundError, CheckpointError, OptionError, OutputError, VerificationError
from wavlm_diarizer.sessions import open_session
from wavlm_diarizer.settings import OVERLAP_SECONDS, SINGLE_PASS_SECONDS, WINDOW_SECONDS, ModelSettings
from wavlm_diarizer.writing import write_file
from wavlm_export import guard
from wavlm_export.checkpoint import Checkpoint, load
from wavlm_export.hub_folder import refuse_other_weights, write_folder
from wavlm_export.metadata import with_settings
from wavlm_export.quantize import LEAST_WEIGHTS, int8_graph, quantizable
from wavlm_export.reference import reference_graph
from wavlm_export.speech import load_speech, read_speech, windows
from wavlm_export.verification import prepared, run, verify_graph

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import onnx
    from numpy.typing import NDArray

    from wavlm_export.speech import Speech

GRAPHS: dict[str, Callable[[Checkpoint], onnx.ModelProto]] = {"portable": reference_graph}
"""How each kind of graph is made from a checkpoint, in fp32."""
PRECISIONS = ("fp32", "int8")


@dataclass(frozen=True)
class Options:
    """What a user may choose."""

    graph: str = "portable"
    window_seconds: float = WINDOW_SECONDS
    overlap_seconds: float = OVERLAP_SECONDS
    single_pass_seconds: float = SINGLE_PASS_SECONDS
    decoding: Decoding = field(default_factory=Decoding.card)
    limits: guard.Limits = field(default_factory=guard.Limits)
    calibration: Path | None = None
    """A folder of recordings to choose int8 parts on, instead of the ones that come with the package."""


def export(
    source: str | Path,
    output: str | Path,
    *,
    precision: str | None = None,
    revision: str | None = None,
    head: str | None = None,
    options: Options | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Export a checkpoint and return the verification report by precision.

    ``output`` ends in ``.onnx``: one file, int8 unless ``precision`` says otherwise. Else it is a folder in the hub's layout, with both
    precisions unless one is named. Nothing is written before everything was verified.

    Raises :class:`CheckpointError`, :class:`VerificationError`, :class:`OptionError` or :class:`OutputError`.
    """
    options = options or Options()
    target = Path(output).expanduser()
    single = target.suffix == ".onnx"
    if precision not in {None, *PRECISIONS}:
        raise OptionError(f"precision must be fp32 or int8, not {precision!r}.")
    if options.graph not in GRAPHS:
        raise OptionError(f"There is no graph {options.graph!r}; there are {', '.join(GRAPHS)}.")
    _check_target(target, single=single)
    calibration = _calibration(options)
    progress(f"loading {source}")
    checkpoint = load(source, revision=revision, head=head)
    wanted = (precision,) if precision else ("int8",) if single else PRECISIONS
    if not single:
        refuse_other_weights(target, wanted, checkpoint.weights_sha256)
    files = _graphs(checkpoint, wanted, options, calibration, progress)
    if single:
        ((_, data, _),) = files
        write_file(target, data)
    else:
        write_folder(target, checkpoint, {name: data for name, data, _ in files})
    return {name: report for name, _, report in files}


def _graphs(
    checkpoint: Checkpoint, wanted: Sequence[str], options: Options, calibration: Speech, progress: Callable[[str], None]
) -> list[tuple[str, bytes, dict[str, Any]]]:
    """Precision, file content and report of each file, every one of them verified."""
    settings = _settings(checkpoint, options)
    _ = settings.windows  # lengths that make no sense are refused before the work
    progress(f"making the {options.graph} graph of {checkpoint.source}")
    graph = GRAPHS[options.graph](checkpoint)
    session = open_session(graph.SerializeToString())
    verification = verify_graph(session, checkpoint, progress=progress)
    files = []
    if "fp32" in wanted:
        fp32 = replace(settings, precision="fp32", batch_independent=True, verification={"fp32": verification})
        files.append(("fp32", with_settings(graph, fp32), dict(fp32.verification)))
    if "int8" in wanted:
        del graph.metadata_props[:]
        answer = _answer(session, checkpoint)
        quantized, report = _quantized(graph, checkpoint, answer, calibration, settings, options.limits, progress)
        int8 = replace(settings, precision="int8", verification={"fp32": verification, "int8": report})
        files.append(("int8", with_settings(quantized, int8), dict(int8.verification)))
    return files


def _quantized(
    graph: onnx.ModelProto,
    checkpoint: Checkpoint,
    answer: guard.Answer,
    calibration: Speech,
    settings: ModelSettings,
    limits: guard.Limits,
    progress: Callable[[str], None],
) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """The int8 graph that holds the guard, with as few groups of products left in fp32 as that takes.

    As long as the limits are missed on calibration or on check speech, one more group is left alone. Which one is decided on calibration
    speech only: the one whose products cost the most accuracy there. The verdict is that of the check speech.
    """
    size, least = settings.windows.window, settings.receptive_field
    tuning = windows(calibration, size, least)
    checking = windows(load_speech("check"), size, least)
    tuning_reference, checking_reference = [answer(window) for window in tuning], [answer(window) for window in checking]
    keep: list[str] = []
    costs: dict[str, float] = {}
    groups = list(quantizable(graph))
    if not groups:
        raise CheckpointError(f"{checkpoint.source} has no matrix product of at least {LEAST_WEIGHTS} weights to quantize: export fp32.")
    rate = settings.sampling_rate / settings.hop
    while True:
        progress("quantizing" + (f", with {', '.join(keep)} in fp32" if keep else ""))
        quantized = int8_graph(graph, keep)
        candidate = _answer(open_session(quantized.SerializeToString()), checkpoint)
        on_calibration = guard.measure(tuning_reference, candidate, tuning, rate)
        measured = guard.measure(checking_reference, candidate, checking, rate)
        report = measured.report(limits, "our fp32 graph, on the check speech") | {
            "left_in_fp32": list(keep),
            "calibration": {"relative_rms": on_calibration.relative_rms, "labels_equal": on_calibration.labels_equal},
            **({"relative_rms_of_each_part_alone": costs} if costs else {}),
        }
        if on_calibration.verdict(limits) != "failed" and report["verdict"] != "failed":
            return quantized, report
        if len(keep) == len(groups) - 1:
            raise VerificationError(
                f"The int8 graph of {checkpoint.source} misses the guard on speech (relative RMS {measured.relative_rms:.3f}, limit "
                f"{limits.relative_rms:g}; labels equal {measured.labels_equal:.2%}, limit {limits.labels_equal:.2%}; mean probability "
                f"difference {measured.mean_probability_difference:.3f}, limit {limits.mean_probability_difference:g}): "
                "export fp32, or pass looser limits."
            )
        if not costs:
            progress("the guard is missed: measuring what each part costs")
            for group in groups:
                alone = int8_graph(graph, [other for other in groups if other != group])
                part = _answer(open_session(alone.SerializeToString()), checkpoint)
                costs[group] = guard.measure(tuning_reference, part, tuning, rate).relative_rms
        keep.append(max((group for group in groups if group not in keep), key=costs.__getitem__))


def _answer(session: Any, checkpoint: Checkpoint) -> guard.Answer:
    """One window at a time, normalised as the checkpoint wants it: as the runtime runs it."""

    def answer(window: NDArray[np.float32]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = run(session, prepared(checkpoint, window[None]))[0]
        return logits

    return answer


def _settings(checkpoint: Checkpoint, options: Options) -> ModelSettings:
    """What the file will say about itself, but for precision and report."""
    return ModelSettings(
        source=checkpoint.source,
        revision=checkpoint.revision,
        weights_sha256=checkpoint.weights_sha256,
        architecture=checkpoint.architecture,
        do_normalize=checkpoint.do_normalize,
        labels=checkpoint.labels,
        hop=checkpoint.hop,
        receptive_field=checkpoint.receptive_field,
        window_seconds=options.window_seconds,
        overlap_seconds=options.overlap_seconds,
        single_pass_seconds=options.single_pass_seconds,
        decoding=options.decoding,
        graph=options.graph,
        license=checkpoint.license,
    )


def _calibration(options: Options) -> Speech:
    """The speech to choose int8 parts on."""
    if options.calibration is None:
        return load_speech("calibration")
    from wavlm_diarizer.cli.inputs import recordings

    speech = read_speech(recording.source for recording in recordings([str(options.calibration)]))
    if not sum(len(samples) for _, samples in speech):
        raise AudioNotFoundError(f"The recordings in {options.calibration} are all empty.")
    return speech


def _check_target(target: Path, *, single: bool) -> None:
    """Find out before the work whether the result can be written."""
    if single and target.is_dir():
        raise OutputError(f"{target} is a folder; name a file in it, or a folder whose name does not end in .onnx.")
    if single and not target.parent.is_dir():
        raise OutputError(f"The folder {target.parent} for {target.name} does not exist.")
    if not single and target.exists() and not target.is_dir():
        raise OutputError(f"{target} is a file; name one that ends in .onnx, or a folder.")
