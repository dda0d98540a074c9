"""A checkpoint and folders of recordings with RTTM in, diarization error rates out.

Windows, joining and decoding are the runtime's own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import soundfile
import torch

from wavlm_diarizer.decoding import Decoding, decode
from wavlm_diarizer.diarization import Diarization, Turn
from wavlm_diarizer.errors import OptionError
from wavlm_diarizer.formats import rttm
from wavlm_diarizer.scoring import Policy, Score, score, total
from wavlm_diarizer.speakers import SpeakerJoin
from wavlm_diarizer.timebase import TimeBase
from wavlm_diarizer.windows import WindowSettings, cut
from wavlm_export.builtin.config import LABELS, RATE

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from wavlm_export.builtin.config import Evaluation, Recipe

SPEECH = "speech"


def evaluate(recipe: Recipe, checkpoint: str | None, report: Callable[[str], None]) -> dict[str, Any]:
    """Score the run's ``sd`` checkpoint, or the one named, on every set; the rates, also printed as JSON, one line per set."""
    from transformers import WavLMForAudioFrameClassification

    source = Path(checkpoint or Path(recipe.training.folder) / "checkpoint" / "sd")
    model = WavLMForAudioFrameClassification.from_pretrained(source).eval()
    torch.set_num_threads(recipe.training.threads)
    policy = Policy(recipe.evaluation.collar, recipe.evaluation.skip_overlap)
    found: dict[str, Any] = {"checkpoint": str(source), "policy": str(policy), "threshold": recipe.evaluation.threshold}
    report(json.dumps(found))
    for folder in recipe.evaluation.sets:
        scores = score_set(model, folder, recipe.evaluation, policy)
        found[Path(folder).name] = {kind: total(every).as_dict() for kind, every in scores.items()}
        for one in scores["speakers"]:
            report(json.dumps(_rounded(one.as_dict())))
        for kind, every in scores.items():
            print(json.dumps({"set": Path(folder).name, "of": kind} | _rounded(total(every).as_dict())), flush=True)  # noqa: T201
    return found


def score_set(model: torch.nn.Module, folder: str | Path, settings: Evaluation, policy: Policy) -> dict[str, list[Score]]:
    """The scores of each recording: of its speakers, and of its speech alone, whoever speaks."""
    audio = sorted(path for path in Path(folder).iterdir() if path.with_suffix(".rttm").is_file() and path.suffix in {".flac", ".wav"})
    if not audio:
        raise OptionError(f"There are no recordings with RTTM in {folder}.")
    scores: dict[str, list[Score]] = {"speakers": [], SPEECH: []}
    for path in audio:
        reference = rttm.loads(path.with_suffix(".rttm").read_text(encoding="utf-8"))
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        if rate != RATE:
            raise OptionError(f"{path} has {rate} Hz; recordings for evaluation have {RATE} Hz.")
        result = diarize(model, samples.mean(axis=1), settings, path.stem)
        scores["speakers"].append(score(reference, result, policy=policy))
        scores[SPEECH].append(score(_speech_only(reference), _speech_only(result), policy=policy))
    return scores


def diarize(model: torch.nn.Module, samples: NDArray[np.float32], settings: Evaluation, name: str) -> Diarization:
    """One recording ``[n]`` at 16 kHz through a PyTorch model that takes samples as they are."""
    time_base = TimeBase()
    windows = WindowSettings.from_seconds(settings.window_seconds, settings.overlap_seconds, settings.window_seconds, time_base)
    join = SpeakerJoin(LABELS, time_base)
    for window in cut([samples[:, None]], windows, time_base):
        with torch.inference_mode():
            logits = model(torch.from_numpy(window.samples[:, 0].copy())[None]).logits[0]
        join.add(time_base.frame_at(window.start), logits.float().sigmoid().numpy())
    probabilities = join.result().probabilities
    turns = []
    for label, runs in enumerate(decode(probabilities, Decoding(onset=settings.threshold, offset=settings.threshold), time_base)):
        for first, stop in runs:
            start, end = time_base.span(first, stop, len(probabilities), len(samples))
            turns.append(Turn(start, end, f"SPEAKER_{label}"))
    return _made(turns, len(samples) / RATE, name)


def _speech_only(whole: Diarization) -> Diarization:
    """The same turns, all of one speaker and joined where they touch: what speech activity detection is scored on."""
    joined: list[tuple[float, float]] = []
    for turn in sorted(whole.turns):
        if joined and turn.start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], turn.end))
        else:
            joined.append((turn.start, turn.end))
    return _made([Turn(start, end, SPEECH) for start, end in joined], whole.duration, whole.name)


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


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in values.items()}
