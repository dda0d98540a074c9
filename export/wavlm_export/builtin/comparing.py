"""A recipe and single changes to it in, a table of what each change does out: short runs that differ in nothing else.

Each run has the same steps, seed and hours of audio, unless that is what it changes, and is judged by the same windows. A run that was
stopped goes on where it was; one that is judged is not run again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from wavlm_diarizer.errors import OptionError
from wavlm_diarizer.timebase import TimeBase
from wavlm_diarizer.tuning import frame_errors, spoken
from wavlm_diarizer.writing import write_file
from wavlm_export.builtin import config, evaluation, model, prepare, training, trials

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from wavlm_diarizer.voice_join import WindowAnswer

CHANGES, TABLE = "changes", "comparison.md"
RESULT = "result.json"
ON = 0.5
"""The probability from which a label is on: no decoding comes between a change and its figure."""


@dataclass(frozen=True)
class Change:
    """One run of a comparison."""

    name: str
    """Of its folder, and in the table."""
    recipe: config.Recipe
    """The whole of it."""


def read(path: str | Path) -> tuple[config.Recipe, list[Change]]:
    """A recipe with ``[[changes]]``, each with a ``name`` and tables of its own that lie over the recipe's.

    ``after`` names an earlier change whose checkpoint this one starts from. Raises :class:`OptionError` for a recipe that cannot be read,
    and changes without a name, with one that is there twice, or after one that does not come before them.
    """
    tables = config.tables(path)
    given = tables.pop(CHANGES, [])
    base = config.from_tables(tables, str(path))
    if not isinstance(given, list) or not given or not all(isinstance(one, dict) for one in given):
        raise OptionError(f"{path} compares nothing: write one or more tables [[{CHANGES}]].")
    changes: list[Change] = []
    for values in given:
        name, after = values.pop("name", ""), values.pop("after", "")
        known = [one.name for one in changes]
        if not isinstance(name, str) or not name or "/" in name or name in known:
            raise OptionError(f"Each of [[{CHANGES}]] in {path} needs a name of its own, without a slash.")
        if after and after not in known:
            raise OptionError(f"{name} in {path} comes after {after}, which is not above it.")
        recipe = config.from_tables(_over(tables, values), f"{name} in {path}")
        folder = Path(base.training.folder)
        start = str(folder / after / training.CHECKPOINT / "sd") if after else recipe.training.start
        changes.append(Change(name, replace(recipe, training=replace(recipe.training, folder=str(folder / name), start=start))))
    return base, changes


def _over(tables: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe's tables with a change's own settings in the place of theirs; what is no table is left to :mod:`config` to refuse."""
    merged = dict(tables)
    for key, table in values.items():
        merged[key] = {**tables.get(key, {}), **table} if isinstance(table, dict) else table
    return merged


def compare(path: str | Path, report: Callable[[str], None], only: Sequence[str] = ()) -> Path:
    """Train and judge every change of a file, or those that are named; the table's path, in ``training.folder``."""
    base, changes = read(path)
    missing = sorted(set(only) - {one.name for one in changes})
    if missing:
        raise OptionError(f"{path} has no change named {missing[0]}.")
    folder = Path(base.training.folder)
    for change in changes:
        kept = folder / change.name / RESULT
        if kept.exists() or (only and change.name not in only):
            continue
        report(f"{change.name}:")
        checkpoint = training.train(change.recipe, report)
        if training.steps_done(change.recipe) < change.recipe.training.steps:
            report(f"{change.name} was stopped; the same command goes on.")
            break
        write_file(kept, json.dumps(judged(base, change, checkpoint / "sd"), indent=2).encode())
    results = {one.name: folder / one.name / RESULT for one in changes}
    found = {name: json.loads(kept.read_text(encoding="utf-8")) for name, kept in results.items() if kept.exists()}
    write_file(folder / TABLE, table(found).encode())
    report(f"{folder / TABLE}")
    return folder / TABLE


def judged(base: config.Recipe, change: Change, checkpoint: Path) -> dict[str, Any]:
    """What a checkpoint is worth on the windows of the base recipe, whatever it was trained on."""
    torch.set_num_threads(change.recipe.training.threads)
    answer = evaluation.with_voices(change.recipe, checkpoint)
    student = model.Student(change.recipe.model, 2)
    model.start_from(student, checkpoint)
    found: dict[str, Any] = {
        "hours": round(_hours(change.recipe), 2),
        "million parameters": round(sum(value.numel() for value in student.sd.parameters()) / 1e6, 2),
        "sets": {},
    }
    held = training.unseen(base, prepare.noises(base.data.noises))
    if held is not None:
        found["unseen"] = training.unseen_loss(student.eval(), held, torch.device("cpu"))
        found["voices"] = evaluation.voice_rates(base, model.needed_voice_folder(checkpoint), teacher=False)
    settings = replace(base.evaluation, overlap_seconds=0.0)
    heard = [(one, "") for one in settings.sets] + [(one, worse) for one in settings.worsened for worse in settings.conditions]
    for folder, condition in heard:
        name = " ".join(filter(None, (Path(folder).name, condition)))
        found["sets"][name] = _set(answer, folder, settings, condition)
    found["recipe"] = asdict(change.recipe)
    return found


def _hours(recipe: config.Recipe) -> float:
    return recipe.training.steps * recipe.training.batch * recipe.simulation.seconds / 3600


def _set(answer: evaluation.Answering, folder: str, settings: config.Evaluation, condition: str) -> dict[str, float]:
    """The errors of a set's windows as shares of its speech, and the mean equal error rate within its recordings."""
    errors, within = np.zeros(4), []
    for _, samples, reference in evaluation.recordings(folder, condition):
        answers = evaluation.answered(answer, samples, settings)
        frames = max(first + len(one.probabilities) for first, one in answers)
        errors += window_errors(answers, spoken(reference, frames, TimeBase()))
        within.append(trials.equal_error_rate_within(answers, reference))
    speech = max(errors[3], 1.0)
    rates = {name: float(value / speech) for name, value in zip(("missed", "false alarm", "confusion"), errors[:3], strict=True)}
    told = [one for one in within if one is not None]
    return rates | ({"within": float(np.mean(told))} if told else {})


def window_errors(answers: Sequence[tuple[int, WindowAnswer]], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Missed, false alarm and confusion of every window by itself, its labels the people that they fit best; and the speech in it.

    ``answers`` of windows that share no audio, ``truth`` ``[frames, people]``; all four in frames of one person.
    """
    total = np.zeros(4)
    for first, answer in answers:
        found = answer.probabilities > ON
        here = truth[first : first + len(found)]
        more = here.sum(axis=1) - found.sum(axis=1)
        missed, false = float(np.maximum(more, 0).sum()), float(np.maximum(-more, 0).sum())
        total += (missed, false, frame_errors(here, found) - missed - false, float(here.sum()))
    return total


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The results as Markdown, one row for each change."""
    sets = list(dict.fromkeys(name for one in found.values() for name in one["sets"]))
    within = [name for name in sets if any("within" in one["sets"][name] for one in found.values())]
    heads = ["", "hours", "million parameters", "loss, unseen voices", *(f"`{name}`" for name in sets)]
    heads += [f"voices in `{name}`" for name in within] + ["voices: all", "clean"]
    lines = [heads, ["---"] * len(heads)]
    for name, one in found.items():
        row = [name, f"{one['hours']:.1f}", f"{one['million parameters']:.2f}", f"{one['unseen']:.3f}" if "unseen" in one else ""]
        row += [_errors(one["sets"][which]) for which in sets]
        row += [f"{one['sets'][which]['within']:.1%}" if "within" in one["sets"][which] else "" for which in within]
        voices = one.get("voices", {})
        row += [f"{voices[key]:.1%}" if key in voices else "" for key in (evaluation.HEAD, f"{evaluation.HEAD}, clean")]
        lines.append(row)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines).replace("%", " %")


def _errors(rates: Mapping[str, float]) -> str:
    parts = [100 * rates[name] for name in ("missed", "false alarm", "confusion")]
    return f"{sum(parts):.1f}% ({'/'.join(f'{one:.1f}' for one in parts)})"
