"""A model file and the checkpoint that it should answer like in, the comparison that the export made, made again, out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wavlm_diarizer import model_file
from wavlm_diarizer.errors import VerificationError
from wavlm_diarizer.sessions import open_session
from wavlm_export import guard
from wavlm_export.checkpoint import load
from wavlm_export.given_activity import with_given_activity
from wavlm_export.sensitivity import Listening
from wavlm_export.speaker_model import with_speaker
from wavlm_export.speech import load_speech, read_speech, windows
from wavlm_export.verification import verify_graph

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import onnx

    from wavlm_diarizer.settings import ModelSettings
    from wavlm_export.speaker_model import SpeakerModel

QUANTIZED = frozenset(
    {
        "DynamicQuantizeLinear",
        "DynamicQuantizeMatMul",
        "MatMulInteger",
        "MatMulIntegerToFloat",
        "QuantizeLinear",
        "QLinearMatMul",
        "MatMulNBits",
    }
)
"""Operators that only quantized graphs have."""


def verify(
    model: str | os.PathLike[str],
    *,
    against: str | Path,
    audio: Iterable[str | Path] = (),
    revision: str | None = None,
    speaker_model: str | Path | None = None,
    speaker_revision: str | None = None,
    precision: str = "auto",
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Compare a model file with a checkpoint and return the report: fp32 by the export's limits, int8 by those of the guard.

    ``audio`` is compared as well, and with ``speaker_model`` the voices. Raises :class:`VerificationError` for an fp32 file
    outside its limits; the ``verdict`` of an int8 file's report may be ``failed``.
    """
    import onnx

    file = model_file.find(model, precision=precision)
    session = open_session(file.path)
    settings = file.settings(session)
    checkpoint = load(against, revision=revision, head="sigmoid")
    if settings.weights_sha256 and settings.weights_sha256 != checkpoint.weights_sha256:
        raise VerificationError(f"{file.name} was made from other weights than those of {checkpoint.source} (their SHA-256 differ).")
    if len(settings.labels) != len(checkpoint.labels):
        raise VerificationError(f"{file.name} has {len(settings.labels)} labels, and {checkpoint.source} has {len(checkpoint.labels)}.")
    for name in ("do_normalize", "hop", "receptive_field"):
        stated, wanted = getattr(settings, name), getattr(checkpoint, name)
        if stated != wanted:
            raise VerificationError(f"{file.name} is used with {name} {stated}, and {checkpoint.source} wants {wanted}: export it again.")
    if speaker_model is not None:
        checkpoint = with_speaker(checkpoint, speaker_model, revision=speaker_revision, two_passes=True)
        _check_speaker(file.name, settings, checkpoint.speaker)
    elif settings.embedding_size:
        progress(f"the voices of {file.name} are not compared: that takes --speaker-model")
    own = read_speech(audio)
    given = None if checkpoint.speaker is None else open_session(with_given_activity(onnx.load(file.path)).SerializeToString())
    if not _is_quantized(file.path):
        return verify_graph(session, checkpoint, given=given, audio=own, progress=progress)
    cut = windows([*load_speech("check"), *own], settings.windows.window, settings.receptive_field)
    progress(f"comparing with PyTorch on {len(cut)} windows of speech")
    measured = Listening.to_pytorch(checkpoint, cut).compared(given or session)
    return measured.report(guard.Limits(), "PyTorch fp32, on the check speech" + (" and yours" if own else ""))


def _check_speaker(name: str, settings: ModelSettings, speaker: SpeakerModel | None) -> None:
    """Raise :class:`VerificationError` unless the file's voices are those of the speaker model."""
    if speaker is None:
        return
    if not settings.embedding_size:
        raise VerificationError(f"{name} has no voices to compare with {speaker.source}: export it with --speaker-model.")
    if settings.speaker_weights_sha256 != speaker.weights_sha256:
        raise VerificationError(f"The voices of {name} come from other weights than those of {speaker.source} (their SHA-256 differ).")


def _is_quantized(path: Path) -> bool:
    """Whether a file's graph holds quantized operators, whatever its metadata says."""
    import onnx

    return not QUANTIZED.isdisjoint(_operators(onnx.load(path, load_external_data=False).graph))


def _operators(graph: onnx.GraphProto) -> Iterator[str]:
    """The operators of a graph and of the bodies of its loops."""
    for node in graph.node:
        yield node.op_type
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _operators(attribute.g)
