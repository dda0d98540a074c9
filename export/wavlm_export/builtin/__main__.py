"""The commands of the recipe."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from wavlm_diarizer.errors import DiarizerError
from wavlm_export.builtin import config


def main(arguments: list[str] | None = None) -> int:
    """Run one command; errors are one sentence on the error stream."""
    parser = argparse.ArgumentParser(prog="python -m wavlm_export.builtin", description=__doc__)
    commands = ("voices", "noises", "prepare", "takes", "bands", "train", "average", "project", "plain", "evaluate", "build", "compare")
    parser.add_argument("command", choices=commands)
    parser.add_argument("--config", required=True, metavar="FILE.toml", help="the recipe: see export/recipes/builtin.toml")
    parser.add_argument(
        "--checkpoint",
        help="bands: the Hugging Face folder that gets a filter bank; project, plain, evaluate and build: one instead of the run's own",
    )
    parser.add_argument(
        "--of",
        nargs="+",
        default=[],
        metavar="WHAT",
        help="average: the sd folders of two or more checkpoints; compare: the names of the changes to try (default: all)",
    )
    parser.add_argument(
        "--output", help="build: where the model file goes (default: the package's own place); bands, average, project, plain: a folder"
    )
    options = parser.parse_args(arguments)
    try:
        if options.command == "compare":
            from wavlm_export.builtin import comparing

            comparing.compare(options.config, _say, options.of)
        else:
            _run(options, config.read(options.config))
    except DiarizerError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _run(options: argparse.Namespace, recipe: config.Recipe) -> None:
    from wavlm_export.builtin import (
        averaging,
        bands,
        building,
        evaluation,
        noise_recordings,
        plain_head,
        prepare,
        projection,
        synthesis,
        takes,
        training,
    )

    if options.command == "voices":
        synthesis.voices(recipe.data, _say)
    elif options.command == "noises":
        noise_recordings.fetch(recipe.data, _say)
    elif options.command == "prepare":
        prepare.prepare(recipe.data, _say)
    elif options.command == "takes":
        takes.make(recipe, _say)
    elif options.command == "bands":
        bands.bands(recipe, options.checkpoint, options.output or Path(recipe.training.folder) / "bands", _say)
    elif options.command == "train":
        training.train(recipe, _say)
    elif options.command == "average":
        averaging.average(options.of, options.output or Path(recipe.training.folder) / "mean", _say)
    elif options.command == "project":
        projection.project(recipe, options.checkpoint, options.output or Path(recipe.training.folder) / "projected", _say)
    elif options.command == "plain":
        plain_head.plain(recipe, options.checkpoint, options.output or Path(recipe.training.folder) / "plain", _say)
    elif options.command == "evaluate":
        evaluation.evaluate(recipe, options.checkpoint, _say)
    else:
        building.build(recipe, options.checkpoint, options.output, _say)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
