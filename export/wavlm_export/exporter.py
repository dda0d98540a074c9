"""A checkpoint in, verified ONNX files out: the whole way of the export, in its order.

checkpoint -> graph -> verification against PyTorch -> quantization under the guard -> files, written aside and renamed
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavlm_diarizer.clustering import Clustering
from wavlm_diarizer.decoding import Decoding
from wavlm_diarizer.diarizer import Diarizer
from wavlm_diarizer.errors import AudioNotFoundError, CheckpointError, OptionError, OutputError
from wavlm_diarizer.sessions import open_session
from wavlm_diarizer.settings import OVERLAP_SECONDS, SINGLE_PASS_SECONDS, WINDOW_SECONDS, ModelSettings
from wavlm_diarizer.voice_scale import voice_scale
from wavlm_diarizer.writing import write_file
from wavlm_export import guard
from wavlm_export.checkpoint import Checkpoint, load
from wavlm_export.given_activity import with_given_activity
from wavlm_export.hub_folder import refuse_other_weights, write_folder
from wavlm_export.kinds import KINDS
from wavlm_export.metadata import with_settings
from wavlm_export.quantize import LEAST_WEIGHTS
from wavlm_export.sensitivity import Listening, quantized
from wavlm_export.speaker_model import with_speaker
from wavlm_export.speech import load_speech, read_speech, windows
from wavlm_export.verification import verify_graph

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import onnx
    import onnxruntime

    from wavlm_export.speech import Speech

PRECISIONS = ("fp32", "int8")


@dataclass(frozen=True)
class Options:
    """What a user may choose."""

    graph: str | None = None
    """One of :data:`wavlm_export.kinds.KINDS`; ``None``: ``fast`` where the architecture is supported, else ``portable``."""
    window_seconds: float = WINDOW_SECONDS
    overlap_seconds: float = OVERLAP_SECONDS
    single_pass_seconds: float = SINGLE_PASS_SECONDS
    decoding: Decoding = field(default_factory=Decoding.card)
    clustering: Clustering = field(default_factory=Clustering)
    """What is known of how a speaker model's voices become people; the scale of its voices is learned."""
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
    speaker_model: str | Path | None = None,
    speaker_revision: str | None = None,
    two_passes: bool = False,
    options: Options | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Export a checkpoint and return the verification report by precision.

    ``output`` ends in ``.onnx``: one file, int8 unless ``precision`` says otherwise. Else it is a folder in the hub's layout, with both
    precisions unless one is named. Nothing is written before everything was verified.

    ``speaker_model``: hub id or folder of an x-vector model, whose embedding of each local speaker the files give as well, from the same
    pass of the backbone. If its backbone is another, ``two_passes`` allows to run both.

    Raises :class:`CheckpointError`, :class:`VerificationError`, :class:`OptionError` or :class:`OutputError`.
    """
    options = options or Options()
    target = Path(output).expanduser()
    single = target.suffix == ".onnx"
    if precision not in {None, *PRECISIONS}:
        raise OptionError(f"precision must be fp32 or int8, not {precision!r}.")
    if options.graph not in {None, *KINDS}:
        raise OptionError(f"There is no graph {options.graph!r}; there are {', '.join(KINDS)}.")
    _check_target(target, single=single)
    calibration = _calibration(options)
    progress(f"loading {source}")
    checkpoint = load(source, revision=revision, head=head)
    if speaker_model is not None:
        progress(f"loading {speaker_model}")
        checkpoint = with_speaker(checkpoint, speaker_model, revision=speaker_revision, two_passes=two_passes)
    wanted = (precision,) if precision else ("int8",) if single else PRECISIONS
    if not single:
        refuse_other_weights(target, wanted, checkpoint)
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
    kind, graph = _graph(checkpoint, options.graph, progress)
    settings = replace(settings, graph=kind)
    session = open_session(graph.SerializeToString())
    given = None if checkpoint.speaker is None else open_session(with_given_activity(graph).SerializeToString())
    verification = verify_graph(session, checkpoint, given=given, progress=progress)
    del given
    if checkpoint.speaker is not None:
        settings = _with_voice_scale(settings, session, [*calibration, *load_speech("check")], progress)
    files = []
    if "fp32" in wanted:
        fp32 = replace(settings, precision="fp32", batch_independent=True, verification={"fp32": verification})
        files.append(("fp32", with_settings(graph, fp32), dict(fp32.verification)))
    if "int8" in wanted:
        del graph.metadata_props[:]
        size, least = settings.windows.window, settings.receptive_field
        tuning = Listening.to(checkpoint, session, windows(calibration, size, least))
        checking = Listening.to(checkpoint, session, windows(load_speech("check"), size, least))
        quantizer = KINDS[kind].quantizer(checkpoint, graph, [window[0] for window in tuning.windows])
        if not quantizer.groups:
            raise CheckpointError(
                f"{checkpoint.source} has no matrix product of at least {LEAST_WEIGHTS} weights to quantize: export fp32."
            )
        chosen, report = quantized(quantizer, tuning, checking, options.limits, progress)
        int8 = replace(
            settings,
            precision="int8",
            batch_independent=quantizer.batch_independent,
            verification={"fp32": verification, "int8": report},
        )
        files.append(("int8", with_settings(chosen, int8), dict(int8.verification)))
    return files


def _graph(checkpoint: Checkpoint, kind: str | None, progress: Callable[[str], None]) -> tuple[str, onnx.ModelProto]:
    """The fp32 graph of the kind asked for, or of the fastest that supports the architecture, and which kind that is."""
    progress(f"making the {kind or 'fast'} graph of {checkpoint.source}")
    if kind is not None:
        return kind, KINDS[kind].fp32(checkpoint)
    try:
        return "fast", KINDS["fast"].fp32(checkpoint)
    except CheckpointError as error:
        progress(f"{error} Doing so.")
        return "portable", KINDS["portable"].fp32(checkpoint)


def _settings(checkpoint: Checkpoint, options: Options) -> ModelSettings:
    """What the file will say about itself, but for graph, precision and report."""
    settings = ModelSettings(
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
        clustering=options.clustering,
        license=checkpoint.license,
    )
    speaker = checkpoint.speaker
    if speaker is None:
        return settings
    same = speaker.license == checkpoint.license
    return replace(
        settings,
        embedding_size=speaker.size,
        speaker_source=speaker.source,
        speaker_weights_sha256=speaker.weights_sha256,
        license=checkpoint.license if same else f"{checkpoint.license}; speaker model: {speaker.license}",
    )


def _with_voice_scale(
    settings: ModelSettings, session: onnxruntime.InferenceSession, speech: Speech, progress: Callable[[str], None]
) -> ModelSettings:
    """The settings with the scale of this model's voices, as far as the speech shows it."""
    diarizer = Diarizer(session=session, settings=settings)
    heard = (diarizer.heard((samples, settings.sampling_rate)) for _, samples in speech)
    local = [one for one in map(diarizer.local_speakers, heard) if one is not None]
    found = voice_scale(local, settings.sampling_rate / settings.hop)
    if not found:
        progress("the speech here is too little to learn the scale of the voices: 'wavlm-diarizer tune' finds it on recordings with turns")
    return replace(settings, clustering=replace(settings.clustering, **found))


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
