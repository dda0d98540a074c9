"""An ONNX graph and its PyTorch checkpoint in, a report of how far their answers are apart out.

The fp32 limits are those of a faithful export: rounding, and nothing else. The report is data for JSON, and travels in the file.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from wavlm_diarizer.diarizer import sigmoid
from wavlm_diarizer.errors import VerificationError
from wavlm_diarizer.windows import normalise
from wavlm_export.speech import load_speech
from wavlm_export.voices import answered, compare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import onnxruntime
    from numpy.typing import NDArray

    from wavlm_export.checkpoint import Checkpoint
    from wavlm_export.speaker_model import SpeakerModel
    from wavlm_export.speech import Speech
    from wavlm_export.voices import Voices, VoicesApart

PROBABILITY_LIMIT = 1e-4
LOGIT_LIMIT = 1e-3
"""Times the standard deviation of the reference's logits, where that is above 1."""
COSINE_LIMIT = 0.99999
VOICE_LIMIT = 1e-3
"""Length of an embedding's difference over its own."""
RATE = 16_000
PACKAGES = ("torch", "transformers", "optimum", "optimum-onnx", "onnx", "onnxruntime")


@dataclass(frozen=True)
class Case:
    """One batch to compare."""

    name: str
    samples: NDArray[np.float32]
    """``[batch, n]``, not normalised."""


def cases(speech: Speech, receptive_field: int) -> Iterator[Case]:
    """Lengths from one frame (``receptive_field`` samples) to 30 s, alone and in batches, on speech, noise, an offset and silence."""
    rng = np.random.default_rng(0)
    recording = np.concatenate([samples for _, samples in speech])

    def spoken(count: int) -> NDArray[np.float32]:
        start = int(rng.integers(0, max(1, len(recording) - count)))
        return np.resize(recording[start : start + count], count)

    def noise(count: int) -> NDArray[np.float32]:
        return (0.1 * rng.standard_normal(count)).astype(np.float32)

    def offset(count: int) -> NDArray[np.float32]:
        return (0.9 + 0.01 * rng.uniform(-1, 1, count)).astype(np.float32)

    def silence(count: int) -> NDArray[np.float32]:
        return np.zeros(count, dtype=np.float32)

    for count, kinds in (
        (receptive_field, (noise,)),
        (receptive_field + 1, (spoken, noise, offset)),
        (6_400, (spoken,)),
        (6_719, (noise, spoken, silence)),
        (16_000, (offset,)),
        (16_000, (silence,)),
        (79_999, (spoken, noise, offset)),
        (160_000, (spoken,)),
        (160_001, (noise,)),
        (480_000 - 1, (spoken,)),
    ):
        name = f"{count} samples, {' and '.join(kind.__name__ for kind in kinds)}"
        yield Case(name, np.stack([kind(count) for kind in kinds]))


def run(session: onnxruntime.InferenceSession, input_values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The graph's ``logits`` ``[batch, frames, labels]``."""
    (logits,) = session.run(["logits"], {"input_values": input_values})
    answer: NDArray[np.float32] = logits
    return answer


def prepared(checkpoint: Checkpoint, samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """A batch ``[batch, n]`` normalised window by window, if the checkpoint wants it."""
    return np.stack([normalise(window) for window in samples]) if checkpoint.do_normalize else samples


def verify_graph(
    session: onnxruntime.InferenceSession,
    checkpoint: Checkpoint,
    *,
    given: onnxruntime.InferenceSession | None = None,
    audio: Speech | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Compare an fp32 graph with PyTorch and report. ``audio``: the user's own recordings, compared in windows of up to 30 s as well.

    With a speaker model, ``given`` is the same graph with a given activity, and voices are compared too: pooled by the graph's own labels,
    and by arbitrary ones.

    Raises :class:`VerificationError`, which says where, if any case is outside the limits or has another shape.
    """
    compared: list[dict[str, Any]] = []
    worst: tuple[float, str] | None = None
    pairs: list[tuple[Voices, Voices]] = []
    names: list[str] = []
    field = checkpoint.receptive_field
    for case in [*cases(load_speech("calibration"), field), *_own_cases(audio or [], field)]:
        progress(f"comparing with PyTorch: {case.name}")
        values = prepared(checkpoint, case.samples)
        expected = checkpoint.logits(values)
        if checkpoint.speaker is None or given is None:
            answer = run(session, values)
        else:
            answer, own = answered(session, values)
            arbitrary = np.random.default_rng(len(compared)).standard_normal(answer.shape).astype(np.float32)
            references = checkpoint.speaker.embeddings(values, answer, arbitrary)
            pairs += zip(references, (own, answered(given, values, arbitrary)[1]), strict=True)
            names += [case.name, f"{case.name}, by arbitrary labels"]
        if answer.shape != expected.shape:
            raise VerificationError(
                f"The graph of {checkpoint.source} answers {case.name} with shape {answer.shape}, PyTorch with {expected.shape}."
            )
        measured, excess, where = _compare(expected, answer)
        compared.append({"case": case.name, **measured})
        if excess > 1.0 and (worst is None or excess > worst[0]):
            worst = (excess, f"{case.name}: {where}")
    report: dict[str, Any] = {
        "reference": "PyTorch fp32",
        "max_probability_difference": max(item["probability"] for item in compared),
        "max_logit_difference": max(item["logit"] for item in compared),
        "limits": {"probability": PROBABILITY_LIMIT, "logit": f"{LOGIT_LIMIT} x max(1, deviation of the logits)"},
        "versions": {name: version(name) for name in PACKAGES},
        "cases": compared,
        "verdict": "failed" if worst else "passed",
    }
    if worst:
        raise VerificationError(f"The graph of {checkpoint.source} differs from PyTorch, most at {worst[1]}.")
    return report if checkpoint.speaker is None else report | {"embeddings": _voices_report(checkpoint.speaker, pairs, names)}


def _voices_report(speaker: SpeakerModel, pairs: Sequence[tuple[Voices, Voices]], names: Sequence[str]) -> dict[str, Any]:
    """How far voices are from PyTorch's. Raises :class:`VerificationError` if any is outside the limits."""
    whole = compare(pairs)
    if not _alike(whole):
        worst = next(name for pair, name in zip(pairs, names, strict=True) if not _alike(compare([pair])))
        raise VerificationError(
            f"The graph gives other voices than {speaker.source} in PyTorch, first at {worst}: cosine {whole.lowest_cosine:.6f}, relative "
            f"difference {whole.max_relative_difference:.2g} (limits {COSINE_LIMIT} and {VOICE_LIMIT:g})."
        )
    return {
        "reference": f"PyTorch's frames of {speaker.source}, pooled in NumPy by the graph's own labels and by arbitrary ones",
        "backbone": "shared: one pass" if speaker.shared else f"two passes: {speaker.apart}",
        **asdict(whole),
        "limits": {"cosine": COSINE_LIMIT, "relative_difference": VOICE_LIMIT},
    }


def _alike(voices: VoicesApart) -> bool:
    """Whether voices are within the limits of a faithful export."""
    return voices.lowest_cosine >= COSINE_LIMIT and voices.max_relative_difference <= VOICE_LIMIT


def _own_cases(audio: Speech, receptive_field: int) -> Iterator[Case]:
    """The user's recordings in windows of up to 30 s, less what is too short for a frame."""
    for name, samples in audio:
        for start in range(0, len(samples), 30 * RATE):
            window = samples[start : start + 30 * RATE]
            if len(window) >= receptive_field:
                yield Case(f"{name} from {start / RATE:g} s", window[None])


def _compare(expected: NDArray[np.float32], answer: NDArray[np.float32]) -> tuple[dict[str, float], float, str]:
    """What is reported of one case, by how much its limits are exceeded (1: just not), and where it differs most."""
    logits = np.abs(answer.astype(np.float64) - expected)
    probabilities = np.abs(sigmoid(answer) - sigmoid(expected))
    limit = LOGIT_LIMIT * max(1.0, float(expected.std()))
    # A value that is no number is outside every limit, and NaN would compare as inside.
    logits, probabilities = np.nan_to_num(logits, nan=np.inf), np.nan_to_num(probabilities, nan=np.inf)
    excess = max(float(logits.max()) / limit, float(probabilities.max()) / PROBABILITY_LIMIT)
    row, frame, label = np.unravel_index(int(np.argmax(logits)), logits.shape)
    where = (
        f"row {row}, frame {frame}, label {label}, logit {answer[row, frame, label]:.5f} instead of {expected[row, frame, label]:.5f} "
        f"(limit {limit:.2g})"
    )
    return {"probability": float(probabilities.max()), "logit": float(logits.max())}, excess, where
