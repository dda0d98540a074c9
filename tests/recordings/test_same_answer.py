"""The first promise, on fetched recordings: the command answers as the checkpoint does in PyTorch, in int8 too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from wavlm_diarizer.cli import main
from wavlm_diarizer.diarization import Diarization
from wavlm_diarizer.diarizer import Diarizer
from wavlm_diarizer.scoring import Policy, score, total

torch_pipeline = pytest.importorskip("torch_pipeline", reason="needs the export extra")
exporter = pytest.importorskip("wavlm_export.exporter")
checkpoints = pytest.importorskip("wavlm_export.checkpoint")
building = pytest.importorskip("wavlm_export.builtin.building")
model = pytest.importorskip("wavlm_export.builtin.model")
config = pytest.importorskip("wavlm_export.builtin.config")
speaker_model = pytest.importorskip("wavlm_export.speaker_model")

pytestmark = pytest.mark.recordings

RECIPE = Path(__file__).parents[2] / "export" / "recipes" / "builtin.toml"
"""What the built-in model was built with."""
COLLARS = (0.0, 0.25, 0.5)
POINTS_TO_PYTORCH = 0.005
"""The command's DER may differ from the checkpoint's in PyTorch by half a point,"""
POINTS_TO_FP32 = 0.01
"""and the shipped int8 file's from fp32's by one."""
TIED_FRAMES = 0.002
"""Share of the speech at which fp32 may decide otherwise than PyTorch: probabilities that rounding carries over the threshold."""


@dataclass(frozen=True)
class Answers:
    """The turns of every recording of one set, three ways."""

    references: dict[str, Diarization]
    pytorch: dict[str, Diarization]
    fp32: dict[str, Diarization]
    int8: dict[str, Diarization]
    """The built-in model's."""

    def der(self, results: dict[str, Diarization], collar: float) -> float:
        return total(score(reference, results[name], policy=Policy(collar)) for name, reference in self.references.items()).der


@pytest.fixture(scope="module", params=["real", "mix"])
def answers(request: pytest.FixtureRequest, recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """All answers on one set: the command's with the built-in model and with its fp32 file, and PyTorch's."""
    folder, scratch = recordings / request.param, tmp_path_factory.mktemp("answers")
    files = sorted(folder.glob("*.flac"))
    assert files
    settings = Diarizer().settings
    checkpoint = speaker_model.with_speaker(checkpoints.load(building.CHECKPOINT), model.voice_folder(building.CHECKPOINT))
    assert settings.weights_sha256 == checkpoint.weights_sha256, "the built-in model is not made from its checkpoint"
    exporter.export(
        building.CHECKPOINT,
        scratch / "fp32.onnx",
        precision="fp32",
        speaker_model=model.voice_folder(building.CHECKPOINT),
        options=building.export_options(config.read(RECIPE).evaluation),
    )

    def command(name: str, *options: str) -> dict[str, Diarization]:
        assert main(["diarize", "-q", str(folder), "-o", f"{scratch / name}/", *options]) == 0
        return {path.stem: Diarization.load(scratch / name / f"{path.stem}.rttm") for path in files}

    return Answers(
        references={path.stem: Diarization.load(path.with_suffix(".rttm")) for path in files},
        pytorch={path.stem: torch_pipeline.diarize(checkpoint, path, settings) for path in files},
        fp32=command("fp32", "-m", str(scratch / "fp32.onnx")),
        int8=command("int8"),
    )


@pytest.mark.parametrize("collar", COLLARS)
def test_the_commands_error_is_the_checkpoints_in_pytorch(answers: Answers, collar: float) -> None:
    assert answers.der(answers.int8, collar) == pytest.approx(answers.der(answers.pytorch, collar), abs=POINTS_TO_PYTORCH)


@pytest.mark.parametrize("collar", COLLARS)
def test_the_shipped_int8_errs_as_fp32_does(answers: Answers, collar: float) -> None:
    assert answers.der(answers.int8, collar) == pytest.approx(answers.der(answers.fp32, collar), abs=POINTS_TO_FP32)


def test_fp32_gives_pytorchs_turns(answers: Answers) -> None:
    differing = {name: score(result, answers.fp32[name]).der for name, result in answers.pytorch.items()}
    assert max(differing.values()) <= TIED_FRAMES, differing
