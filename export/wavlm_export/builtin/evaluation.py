"""A checkpoint and folders of recordings with RTTM in, diarization error rates out; and how well the voice head tells people apart.

Windows, joining and decoding are the runtime's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
import torch

from wavlm_diarizer.clustering import SpeakerCount
from wavlm_diarizer.decoding import decode
from wavlm_diarizer.diarization import Diarization, Turn
from wavlm_diarizer.errors import OptionError
from wavlm_diarizer.formats import rttm
from wavlm_diarizer.scoring import Policy, Score, score, speech_activity, total
from wavlm_diarizer.speakers import ACTIVE, SpeakerJoin
from wavlm_diarizer.timebase import TimeBase
from wavlm_diarizer.voice_join import VoiceJoin, WindowAnswer
from wavlm_diarizer.windows import WindowSettings, cut
from wavlm_export.builtin import model, trials, voice_teacher, voices
from wavlm_export.builtin.conditions import worsened
from wavlm_export.builtin.config import LABELS, RATE
from wavlm_export.builtin.model import voice_folder
from wavlm_export.builtin.training import trained
from wavlm_export.pooling import LEAST_FRAMES, Context, pooled

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from wavlm_export.builtin.config import Evaluation, Recipe

SPEECH = "speech"
WITHIN = "equal error rate within recordings"
"""The mean over recordings of :func:`trials.equal_error_rate_within`."""

HEAD, TEACHER = "equal error rate, voice head", "equal error rate, teacher"
"""Over segments of the unseen voices."""

Answering = Callable[["NDArray[np.float32]"], WindowAnswer]
"""From the samples of a window to what a model says about it."""


def evaluate(recipe: Recipe, checkpoint: str | None, report: Callable[[str], None]) -> dict[str, Any]:
    """Score the run's ``sd`` checkpoint, or the one named, on every set; the rates, also printed as JSON, one line per set."""
    from transformers import WavLMForAudioFrameClassification

    source = trained(recipe, checkpoint)
    beside = voice_folder(source)
    answer = with_voices(recipe, source) if beside else activity_alone(WavLMForAudioFrameClassification.from_pretrained(source).eval())
    torch.set_num_threads(recipe.training.threads)
    policy = Policy(recipe.evaluation.collar, recipe.evaluation.skip_overlap)
    found: dict[str, Any] = {"checkpoint": str(source), "policy": str(policy), "voices": bool(beside)} | asdict(recipe.evaluation)
    report(json.dumps(found))
    settings = recipe.evaluation
    heard = [(folder, "") for folder in settings.sets] + [(folder, worse) for folder in settings.worsened for worse in settings.conditions]
    for folder, condition in heard:
        name = " ".join(filter(None, (Path(folder).name, condition)))
        scores, within = score_set(answer, folder, settings, policy, condition)
        found[name] = {kind: total(every).as_dict() for kind, every in scores.items()}
        for one in scores["speakers"]:
            report(json.dumps(_rounded(one.as_dict())))
        for kind, every in scores.items():
            _print({"set": name, "of": kind} | _rounded(total(every).as_dict()))
        if within:
            found[name][WITHIN] = float(np.mean(within))
            _print({"set": name, WITHIN: round(found[name][WITHIN], 4), "recordings": len(within)})
    if beside is not None:
        found["voices"] = voice_rates(recipe, beside)
        _print(found["voices"])
    return found


def voice_rates(recipe: Recipe, folder: Path, *, teacher: bool = True) -> dict[str, Any]:
    """Equal error rates over segments of the unseen voices, of the voice head and of its teacher if there is one; empty without voices."""
    packed = Path(recipe.data.packed)
    held = [one for one in voices.load(packed) if one.name in recipe.data.unseen] if (packed / voices.INDEX).is_file() else []
    if not held:
        return {}
    heard, people = trials.segments(held)
    embedders = {HEAD: trials.student_embedder(folder)}
    if recipe.data.voice_teacher and teacher:
        embedders[TEACHER] = voice_teacher.embedder(Path(recipe.data.voice_teacher))
    rates: dict[str, Any] = {"voices": len(held), "segments": len(heard)}
    for name, embed in embedders.items():
        embeddings = np.stack([embed(samples) for samples in heard])
        clean = np.arange(len(heard)) % 2 == 0
        rates[name] = round(trials.equal_error_rate(embeddings, people), 4)
        rates[f"{name}, clean"] = round(trials.equal_error_rate(embeddings[clean], people[clean]), 4)
    return rates


def activity_alone(model: torch.nn.Module) -> Answering:
    """The answers of one of transformers' frame classifiers."""

    def answer(samples: NDArray[np.float32]) -> WindowAnswer:
        with torch.inference_mode():
            logits = model(torch.from_numpy(samples)[None]).logits[0]
        return WindowAnswer(logits.float().sigmoid().numpy())

    return answer


def with_voices(recipe: Recipe, folder: Path) -> Answering:
    """The answers of an ``sd`` folder and the ``sv`` one beside it, from one pass, with the voices pooled as in an exported file."""
    student = model.Student(model.like(recipe.model, folder), 2)
    model.start_from(student, folder)
    student.eval()
    layer, context = student.sv.feature_extractor, Context.of(student.sv.config)

    def answer(samples: NDArray[np.float32]) -> WindowAnswer:
        with torch.inference_mode():
            heard = student(torch.from_numpy(samples)[None])
            logits = heard.activity[0].float().numpy()
            statistics, frames = pooled(heard.frames[0].float().numpy(), context.alone(logits))
            embeddings = layer(torch.from_numpy(statistics.astype(np.float32))).numpy() * (frames >= LEAST_FRAMES)[:, None]
        return WindowAnswer(1 / (1 + np.exp(-logits)), embeddings, frames)

    return answer


def score_set(
    answer: Answering, folder: str | Path, settings: Evaluation, policy: Policy, condition: str = ""
) -> tuple[dict[str, list[Score]], list[float]]:
    """The scores of each recording, under a worse condition if one is named: of its speakers, and of its speech alone, whoever speaks.

    And how well voices are told apart within each recording in which that can be said.
    """
    scores: dict[str, list[Score]] = {"speakers": [], SPEECH: []}
    within = []
    for name, samples, reference in recordings(folder, condition):
        answers = answered(answer, samples, settings)
        result = diarize(answers, len(samples), settings, name)
        scores["speakers"].append(score(reference, result, policy=policy))
        scores[SPEECH].append(score(speech_activity(reference), speech_activity(result), policy=policy))
        within.append(trials.equal_error_rate_within(answers, reference))
    return scores, [one for one in within if one is not None]


def recordings(folder: str | Path, condition: str = "") -> Iterator[tuple[str, NDArray[np.float32], Diarization]]:
    """Name, samples ``[n]``, made worse if a condition is named, and reference of each recording of a folder that has an RTTM beside it.

    Raises :class:`OptionError` if there is none, and for a recording of another rate than 16 kHz.
    """
    audio = sorted(path for path in Path(folder).iterdir() if path.with_suffix(".rttm").is_file() and path.suffix in {".flac", ".wav"})
    if not audio:
        raise OptionError(f"There are no recordings with RTTM in {folder}.")
    for path in audio:
        reference = rttm.loads(path.with_suffix(".rttm").read_text(encoding="utf-8"))
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        if rate != RATE:
            raise OptionError(f"{path} has {rate} Hz; recordings for evaluation have {RATE} Hz.")
        mono = samples.mean(axis=1)
        yield path.stem, worsened(mono, condition, path.stem) if condition else mono, reference


def answered(answer: Answering, samples: NDArray[np.float32], settings: Evaluation) -> list[tuple[int, WindowAnswer]]:
    """First frame and answer of each window of a recording ``[n]`` at 16 kHz, through a model that takes samples as they are."""
    time_base = TimeBase()
    windows = WindowSettings.from_seconds(settings.window_seconds, settings.overlap_seconds, settings.window_seconds, time_base)
    every = cut([samples[:, None]], windows, time_base)
    return [(time_base.frame_at(window.start), answer(window.samples[:, 0].copy())) for window in every]


def diarize(answers: Sequence[tuple[int, WindowAnswer]], samples: int, settings: Evaluation, name: str) -> Diarization:
    """A recording of so many samples from the answers for its windows."""
    time_base = TimeBase()
    alone = SpeakerJoin(LABELS, time_base)
    by_voice = VoiceJoin(LABELS, time_base, settings.clustering, SpeakerCount.of(), min(ACTIVE, settings.onset))
    voices_heard = False
    for first, heard in answers:
        voices_heard = heard.embeddings is not None
        if voices_heard:
            by_voice.add(first, heard)
        else:
            alone.add(first, heard.probabilities)
    probabilities = (by_voice.result() if voices_heard else alone.result()).probabilities
    turns = []
    for label, runs in enumerate(decode(probabilities, settings.decoding, time_base)):
        for first, stop in runs:
            start, end = time_base.span(first, stop, len(probabilities), samples)
            turns.append(Turn(start, end, f"SPEAKER_{label}"))
    return _made(turns, samples / RATE, name)


def _made(turns: list[Turn], duration: float, name: str) -> Diarization:
    ordered = tuple(sorted(turns))
    return Diarization(
        turns=ordered,
        speakers=tuple(dict.fromkeys(turn.speaker for turn in ordered)),
        duration=duration,
        name=name,
        activity=None,
        time_base=TimeBase(),
    )


def _print(values: dict[str, Any]) -> None:
    print(json.dumps(values), flush=True)  # noqa: T201


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in values.items()}
