from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch")

import fake_model
from wavlm_diarizer.errors import OutputError
from wavlm_export.hub_folder import refuse_other_weights, write_folder

FILES = {"fp32": b"exact", "int8": b"small"}
WHOLE = ["config.json", "onnx", "onnx/model.onnx", "onnx/model_quantized.onnx", "preprocessor_config.json"]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Any:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    for name in ("config.json", "preprocessor_config.json"):
        (folder / name).write_text("{}")
    return SimpleNamespace(folder=folder)


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_the_folder_has_the_hubs_layout_and_nothing_else(tmp_path: Path, checkpoint: Any) -> None:
    for _ in range(2):
        write_folder(tmp_path / "a" / "b", checkpoint, FILES)
        assert names(tmp_path / "a" / "b") == WHOLE
    assert (tmp_path / "a" / "b" / "onnx" / "model_quantized.onnx").read_bytes() == b"small"


@pytest.mark.parametrize("failing", ["write", "rename"])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_folder_that_cannot_be_finished_leaves_nothing_behind(
    tmp_path: Path, checkpoint: Any, monkeypatch: pytest.MonkeyPatch, failing: str, count: int
) -> None:
    method = {"write": "write_bytes", "rename": "replace"}[failing]
    original, calls = getattr(Path, method), []

    def full(path: Path, argument: Any) -> Any:
        calls.append(path)
        if len(calls) > count:
            raise OSError(28, "No space left on device")
        return original(path, argument)

    monkeypatch.setattr(Path, method, full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_folder(tmp_path / "a" / "b", checkpoint, FILES)
    assert len(calls) == count + 1
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_what_is_there_already_is_as_it_was_after_a_failure(tmp_path: Path, checkpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "out"
    write_folder(folder, checkpoint, FILES)
    (folder / "notes.txt").write_text("mine")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError):
        write_folder(folder, checkpoint, {"fp32": b"new", "int8": b"new"})
    assert names(folder) == sorted([*WHOLE, "notes.txt"])
    assert (folder / "onnx" / "model.onnx").read_bytes() == b"exact"


def test_a_target_that_is_a_folder_is_named(tmp_path: Path, checkpoint: Any) -> None:
    (tmp_path / "out" / "config.json").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"config\.json cannot be replaced"):
        write_folder(tmp_path / "out", checkpoint, FILES)
    assert names(tmp_path / "out") == ["config.json"]


def made_from(weights: str, speaker: str = "") -> Any:
    return SimpleNamespace(weights_sha256=weights, speaker=SimpleNamespace(weights_sha256=speaker) if speaker else None)


@pytest.mark.parametrize("place", ["onnx/model_quantized.onnx", "model_int8.onnx"])
def test_an_older_model_of_other_weights_cannot_be_mistaken_for_the_new_one(tmp_path: Path, place: str) -> None:
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    settings = fake_model.settings()
    fake_model.write(path, settings.to_metadata())
    refuse_other_weights(tmp_path, ["fp32"], made_from(settings.weights_sha256))
    refuse_other_weights(tmp_path, ["fp32", "int8"], made_from("1" * 64))
    for other in (made_from("1" * 64), made_from(settings.weights_sha256, "2" * 64)):
        with pytest.raises(OutputError, match="made from these weights"):
            refuse_other_weights(tmp_path, ["fp32"], other)
    path.write_bytes(b"no model")
    with pytest.raises(OutputError, match="made from these weights"):
        refuse_other_weights(tmp_path, ["fp32"], made_from(settings.weights_sha256))
