"""A trained checkpoint in, the model file that ships with the package out, through the same export as any other checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wavlm_diarizer.model_file import BUILTIN
from wavlm_export.builtin.model import voice_folder
from wavlm_export.builtin.training import trained
from wavlm_export.exporter import Options, export

if TYPE_CHECKING:
    from collections.abc import Callable

    from wavlm_export.builtin.config import Evaluation, Recipe

CHECKPOINT = Path(__file__).parents[2] / "checkpoints" / "builtin-sd"
"""In a checkout: what the model file of the package is made from."""


def build(recipe: Recipe, checkpoint: str | None, output: str | None, report: Callable[[str], None]) -> Path:
    """Export the run's ``sd`` checkpoint, or the one named, as int8 under the exporter's guard, with the voices of the ``sv`` beside it.

    The file's path.
    """
    source = trained(recipe, checkpoint)
    target = Path(output or BUILTIN)
    export(
        source,
        target,
        precision="int8",
        speaker_model=voice_folder(source),
        options=export_options(recipe.evaluation),
        progress=report,
    )
    return target


def export_options(settings: Evaluation) -> Options:
    """What a checkpoint is evaluated with. Its windows are those that it was trained on: it knows no longer ones."""
    return Options(
        decoding=settings.decoding,
        clustering=settings.clustering,
        window_seconds=settings.window_seconds,
        overlap_seconds=settings.overlap_seconds,
        single_pass_seconds=settings.window_seconds,
    )
