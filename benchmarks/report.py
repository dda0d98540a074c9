"""What a benchmark found, kept: one JSON file with everything, one Markdown file for people, and that text in the README.

The README shows ``results/NAME.md`` between two markers; whoever runs a benchmark into that folder renews both, so they cannot differ.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

RESULTS = Path(__file__).resolve().parent / "results"
README = Path(__file__).resolve().parent / "README.md"


def keep(name: str, content: dict[str, Any], markdown: str, folder: Path) -> None:
    """Write both files, and the README's part if the folder is the repository's own."""
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / f"{name}.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    write(folder / f"{name}.md", markdown)
    if folder.resolve() == RESULTS:
        write(README, shown(README.read_text(encoding="utf-8"), name, markdown))
    print(markdown)


def shown(page: str, name: str, markdown: str) -> str:
    """The page with a result between its markers."""
    section = re.compile(rf"(<!-- begin: {name} -->\n).*?(<!-- end: {name} -->)", re.DOTALL)
    if not section.search(page):
        raise ValueError(f"The README has no section for {name}.")
    return section.sub(lambda found: found.group(1) + markdown + found.group(2), page)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def megabytes(count: float) -> str:
    """A number of bytes in MB (10^6)."""
    return f"{count / 1e6:.1f}" if count < 1e8 else f"{count / 1e6:.0f}"


def write(path: Path, text: str) -> None:
    """Write a text file aside and rename it."""
    aside = path.with_name(f".{path.name}.part")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)
