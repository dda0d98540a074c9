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
        process = subprocess.Popen(words, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("A program was started without pipes.")
        self._process, self._requests, self._answers = process, process.stdin, process.stdout
        self.facts: dict[str, Any] = self._read()
        """What it said first."""

    def ask(self, **request: Any) -> dict[str, Any]:
        """Its answer to a request."""
        print(json.dumps(request, default=str), file=self._requests, flush=True)
        return self._read()

    def end(self) -> int:
        """End it; the most memory that it held, in bytes."""
        self._requests.close()
        peak = int(self._read()["peak_bytes"])
        self._close()
        return peak

    def _read(self) -> dict[str, Any]:
        line = self._answers.readline()
        if not line:
            self._close()
            raise SystemExit(f"{self._command} ended early; run it alone to see why")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _close(self) -> None:
        self._requests.close()
        self._answers.close()
        self._process.wait()
