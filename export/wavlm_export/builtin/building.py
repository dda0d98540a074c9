"""A trained checkpoint in, the model file that ships with the package out, through the same export as any other checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wavlm_diarizer.model_file import BUILTIN
from wavlm_export.exporter import Options, export

if TYPE_CHECKING:
    from collections.abc import Callable

    from wavlm_export.builtin.config import Recipe


def build(recipe: Recipe, checkpoint: str | None, output: str | None, report: Callable[[str], None]) -> Path:
    """Export the run's ``sd`` checkpoint, or the one named, as int8 under the exporter's guard; the file's path."""
    source = Path(checkpoint or Path(recipe.training.folder) / "checkpoint" / "sd")
    target = Path(output or BUILTIN)
    settings = recipe.evaluation
    options = Options(
        window_seconds=settings.window_seconds,
        overlap_seconds=settings.overlap_seconds,
        single_pass_seconds=settings.window_seconds,
    )
    export(source, target, precision="int8", options=options, progress=report)
    return target
