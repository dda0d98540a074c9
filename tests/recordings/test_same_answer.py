"""The first promise, on fetched recordings: the command answers as the checkpoint does in PyTorch, in int8 too."""

from __future__ import annotations

from pathlib import Path

import pytest

from wavlm_diarizer.cli import main
from wavlm_diarizer.diarization import Diarization
from wavlm_diarizer.scoring import Policy, score, total

torch_pipeline = pytest.importorskip("torch_pipeline", reason="needs the export extra")
exporter = pytest.importorskip("wavlm_export.exporter")
checkpoints = pytest.importorskip("wavlm_export.checkpoint")
builtin_model = pytest.importorskip("wavlm_export.builtin_model")

pytestmark = pytest.mark.recordings

SETS = ("real", "mix")
COLLARS = (0.0, 0.25, 0.5)
POINTS_TO_PYTORCH = 0.005
"""The command's DER may differ from the checkpoint's in PyTorch by half a point,"""
POINTS_TO_FP32 = 0.01
"""and the shipped int8 file's from fp32's by one."""


def der(folder: Path, results: dict[str, Diarization], collar: float) -> float:
    scores = [score(Diarization.load(path), results[path.stem], policy=Policy(collar)) for path in sorted(folder.glob("*.rttm"))]
    assert scores
    return total(scores).der


def by_command(folder: Path, out: Path, *options: str) -> dict[str, Diarization]:
    assert main(["diarize", "-q", str(folder), "-o", f"{out}/", *options]) == 0
    names = [path.stem for path in folder.glob("*.flac")]
    return {name: Diarization.load(out / f"{name}.rttm") for name in names}


@pytest.fixture(scope="module")
def fp32(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fp32 file of the built-in model's checkpoint, with the built-in model's windows."""
    path = tmp_path_factory.mktemp("fp32") / "model.onnx"
    exporter.export(builtin_model.CHECKPOINT, path, precision="fp32", options=builtin_model.OPTIONS)
    return path


@pytest.mark.parametrize("part", SETS)
def test_the_command_answers_as_the_checkpoint_in_pytorch(part: str, recordings: Path, tmp_path: Path) -> None:
    from wavlm_diarizer.diarizer import Diarizer

    settings = Diarizer().settings
    checkpoint = checkpoints.load(builtin_model.CHECKPOINT)
    assert settings.weights_sha256 == checkpoint.weights_sha256, "the built-in model is not made from its checkpoint"
    folder = recordings / part
    command = by_command(folder, tmp_path / "command")
    pytorch = {path.stem: torch_pipeline.diarize(checkpoint, path, settings) for path in sorted(folder.glob("*.flac"))}
    for collar in COLLARS:
        assert der(folder, command, collar) == pytest.approx(der(folder, pytorch, collar), abs=POINTS_TO_PYTORCH)


@pytest.mark.parametrize("part", SETS)
def test_the_shipped_int8_answers_as_fp32(part: str, recordings: Path, fp32: Path, tmp_path: Path) -> None:
    folder = recordings / part
    shipped, full = by_command(folder, tmp_path / "int8"), by_command(folder, tmp_path / "fp32", "-m", str(fp32))
    for collar in COLLARS:
        assert der(folder, shipped, collar) == pytest.approx(der(folder, full, collar), abs=POINTS_TO_FP32)


@pytest.mark.parametrize("part", SETS)
def test_fp32_gives_pytorchs_turns_to_the_frame(part: str, recordings: Path, fp32: Path, tmp_path: Path) -> None:
    from wavlm_diarizer.diarizer import Diarizer

    checkpoint, settings = checkpoints.load(builtin_model.CHECKPOINT), Diarizer(fp32).settings
    folder = recordings / part
    full = by_command(folder, tmp_path, "-m", str(fp32))
    for path in sorted(folder.glob("*.flac")):
        reference = torch_pipeline.diarize(checkpoint, path, settings)
        assert score(reference, full[path.stem]).der <= 0.002, path.stem
