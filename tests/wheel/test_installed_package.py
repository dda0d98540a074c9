"""What must hold for the installed package alone: no extras, no network, nothing but the built-in model and the sample."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import metadata, version
from pathlib import Path

import pytest

import wavlm_diarizer
from wavlm_diarizer import Diarization, Diarizer

BUILTIN = Path(wavlm_diarizer.__file__).parent / "builtin"
HEAVY = {"torch", "transformers", "onnx", "optimum", "scipy", "wavlm_export", "av", "pyannote", "pandas", "matplotlib"}
NO_NETWORK = "import socket; socket.socket.connect = socket.getaddrinfo = None\n"


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", NO_NETWORK + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "wavlm_diarizer", *arguments], capture_output=True, text=True, check=False)


def test_the_version_is_one() -> None:
    assert version("wavlm-diarizer") == wavlm_diarizer.__version__


def test_the_licences_are_in_the_package() -> None:
    named = metadata("wavlm-diarizer").get_all("License-File") or []
    assert any(name.endswith("LICENSE") for name in named)
    assert "licence" in (BUILTIN / "README.md").read_text(encoding="utf-8").lower()


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = set(json.loads(run("import json, sys, wavlm_diarizer; print(json.dumps(sorted(sys.modules)))")))
    assert not {name.split(".")[0] for name in loaded} & (HEAVY | {"numpy", "onnxruntime", "soundfile", "soxr", "rich"})


def test_diarizing_loads_nothing_but_the_runtimes_dependencies() -> None:
    code = """
import json, sys
from wavlm_diarizer import Diarizer
from wavlm_diarizer.model_file import SAMPLE
assert Diarizer()(SAMPLE).turns
print(json.dumps(sorted(sys.modules)))
"""
    assert not {name.split(".")[0] for name in json.loads(run(code))} & HEAVY


def test_the_sample_is_diarized_as_its_reference_says() -> None:
    reference = Diarization.load(BUILTIN / "sample.rttm")
    result = Diarizer()(BUILTIN / "sample.flac")
    assert result.complete
    assert len(result.speakers) == len(reference.speakers)
    speech, found = sum(turn.duration for turn in reference.turns), sum(turn.duration for turn in result.turns)
    assert found == pytest.approx(speech, rel=0.4)


def test_the_command_line_diarizes_the_sample() -> None:
    done = cli("diarize", "--sample")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(line.startswith("SPEAKER sample 1 ") for line in done.stdout.splitlines())
    assert len(done.stdout.splitlines()) > 3


def test_the_command_line_shows_the_built_in_model() -> None:
    done = cli("info", "--json")
    assert done.returncode == 0
    facts = json.loads(done.stdout)
    assert facts["precision"] == "int8"
    assert facts["verification"]
    assert facts["license"] != "unknown"


def test_what_needs_an_extra_says_which(tmp_path: Path) -> None:
    code = "import sys\nfor name in ('torch', 'transformers'): sys.modules[name] = None\nfrom wavlm_diarizer.cli import main\n"
    done = subprocess.run(
        [sys.executable, "-c", code + f"sys.exit(main(['export', {str(tmp_path)!r}, '-o', {str(tmp_path / 'x.onnx')!r}]))"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "wavlm-diarizer[export]" in done.stderr
    assert "Traceback" not in done.stderr
