"""A model file and the checkpoint that it should answer like in, the comparison that the export made, made again, out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wavlm_diarizer import model_file
from wavlm_diarizer.errors import VerificationError
from wavlm_diarizer.sessions import open_session
from wavlm_export import guard
from wavlm_export.checkpoint import load
from wavlm_export.speech import load_speech, read_speech, windows
from wavlm_export.verification import prepared, run, verify_graph

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import numpy as np
    import onnx
    from numpy.typing import NDArray

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
    precision: str = "auto",
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Compare a model file with a checkpoint and return the report: fp32 by the export's limits, int8 by those of the guard.

    ``audio`` is compared as well. Raises :class:`VerificationError` for an fp32 file outside its limits; the ``verdict`` of an int8 file's
    report may be ``failed``.
    """
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
    own = read_speech(audio)
    if not _is_quantized(file.path):
        return verify_graph(session, checkpoint, audio=own, progress=progress)
    cut = windows([*load_speech("check"), *own], settings.windows.window, settings.receptive_field)
    progress(f"comparing with PyTorch on {len(cut)} windows of speech")

    def answer(window: NDArray[np.float32]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = run(session, prepared(checkpoint, window[None]))[0]
        return logits

    reference = [checkpoint.logits(prepared(checkpoint, window[None]))[0] for window in cut]
    measured = guard.measure(reference, answer, cut, settings.sampling_rate / settings.hop)
    return measured.report(guard.Limits(), "PyTorch fp32, on the check speech" + (" and yours" if own else ""))


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
