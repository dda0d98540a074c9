"""The README's command-line section is what ``--help`` says. ``python tests/cli/test_readme.py`` writes it anew."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

from wavlm_diarizer.cli import COMMANDS, parser

README = Path(__file__).parents[2] / "README.md"
SECTION = re.compile(r"(<!-- begin: help -->\n).*?(<!-- end: help -->)", re.DOTALL)
COLUMNS = "100"


def help_section() -> str:
    """Every command's help, as it is on a terminal of 100 columns."""
    before, os.environ["COLUMNS"] = os.environ.get("COLUMNS"), COLUMNS
    try:
        top = parser()
        commands = next(action for action in top._actions if isinstance(action, argparse._SubParsersAction)).choices
        blocks = [
            f"`wavlm-diarizer {name}`: {COMMANDS[name]}.\n\n```text\n{command.format_help()}```\n" for name, command in commands.items()
        ]
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
    return "\n".join(blocks)


def test_the_readme_shows_the_help_of_every_command() -> None:
    section = SECTION.search(README.read_text(encoding="utf-8"))
    assert section is not None
    shown = section.group(0).removeprefix(section.group(1)).removesuffix(section.group(2))
    # argparse heads options and wraps usage lines in other ways in other Python versions; words and their order stay.
    assert shown.split() == help_section().split()


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    README.write_text(SECTION.sub(lambda found: found.group(1) + help_section() + found.group(2), text), encoding="utf-8")
