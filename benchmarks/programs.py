"""A contender's program, from the side of the benchmark: started, asked in turns, ended. See ``contenders/dialogue.py``."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

CONTENDERS = Path(__file__).resolve().parent / "contenders"


class Program:
    """A running program."""

    def __init__(self, command: Sequence[str | Path]) -> None:
        words = [str(word) for word in command]
        self._command = " ".join(words)
        self._process = subprocess.Popen(words, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.facts: dict[str, Any] = self._read()
        """What it said first."""

    def ask(self, **request: Any) -> dict[str, Any]:
        """Its answer to a request."""
        print(json.dumps(request, default=str), file=self._process.stdin, flush=True)
        return self._read()

    def end(self) -> int:
        """End it; the most memory that it held, in bytes."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        peak = int(self._read()["peak_bytes"])
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        return peak

    def _read(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not line:
            raise SystemExit(f"{self._command} ended early; run it alone to see why")
        answer: dict[str, Any] = json.loads(line)
        return answer
