from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402

import random_checkpoints  # noqa: E402
from wavlm_diarizer.errors import CheckpointError  # noqa: E402
from wavlm_export.checkpoint import digest, load  # noqa: E402

KIND = "unispeech-sat"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return random_checkpoints.save(tmp_path / "checkpoint", KIND)


def edit(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not ...}))


def answer(folder: Path) -> np.ndarray:
    return load(folder).logits(np.random.default_rng(0).normal(0, 0.1, (1, 4000)).astype(np.float32))


def test_every_form_of_weights_is_the_same_model(folder: Path, tmp_path: Path) -> None:
    expected = answer(folder)
    assert np.array_equal(answer(random_checkpoints.save(tmp_path / "bin", KIND, safe=False)), expected)
    sharded = tmp_path / "sharded"
    random_checkpoints.make(KIND).save_pretrained(sharded, max_shard_size="100KB")
    (sharded / "preprocessor_config.json").write_bytes((folder / "preprocessor_config.json").read_bytes())
    assert len(list(sharded.glob("*.safetensors"))) > 1
    assert np.array_equal(answer(sharded), expected)
    assert len(load(sharded).weights_sha256) == 64
    (next(sharded.glob("*-00002-*.safetensors"))).unlink()
    with pytest.raises(CheckpointError, match="lacks model-00002"):
        load(sharded)


@pytest.mark.parametrize(
    "index", [{}, {"weight_map": ["a"]}, {"weight_map": {"a": 5}}, {"weight_map": {"a": "../other/model.safetensors"}}]
)
def test_an_index_that_names_no_files_beside_it_is_refused(folder: Path, index: dict[str, Any]) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="does not say which files"):
        load(folder)


def test_what_a_cache_lacks_besides_the_weights_is_fetched(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    repository = tmp_path / "cache" / "models--somebody--model"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("d" * 40)
    snapshot = shutil.copytree(folder, repository / "snapshots" / ("d" * 40))
    (snapshot / "preprocessor_config.json").unlink()

    def unreachable(*_: object, **__: object) -> str:
        raise OSError("no network")

    def download(*_: object, **__: object) -> str:
        shutil.copy(folder / "preprocessor_config.json", snapshot)
        return str(snapshot)

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    with pytest.raises(CheckpointError, match=r"somebody/model has no preprocessor_config\.json"):
        load("somebody/model")
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert load("somebody/model").revision == "d" * 40


def test_both_spellings_of_weight_norm_are_read(folder: Path) -> None:
    expected = answer(folder)
    path = folder / "model.safetensors"
    weights = load_file(path)
    spelled = {
        key.replace("parametrizations.weight.original0", "weight_g").replace("parametrizations.weight.original1", "weight_v"): value
        for key, value in weights.items()
    }
    assert set(spelled) != set(weights)
    save_file(spelled, path, metadata={"format": "pt"})
    assert np.array_equal(answer(folder), expected)


def test_what_is_known_of_a_checkpoint(folder: Path) -> None:
    checkpoint = load(folder)
    assert (checkpoint.source, checkpoint.revision, checkpoint.license) == ("checkpoint", "", "unknown: see the source")
    assert (checkpoint.architecture, checkpoint.labels) == ("UniSpeechSatForAudioFrameClassification", ("LABEL_0", "LABEL_1"))
    assert (checkpoint.hop, checkpoint.receptive_field, checkpoint.do_normalize) == (320, 400, False)
    assert (
        checkpoint.weights_sha256
        == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
        == digest([folder / "model.safetensors"])
    )
    (folder / "README.md").write_text("---\nlanguage: en\nlicense: cc-by-4.0\n---\n# A model\n")
    assert load(folder).license == "cc-by-4.0"


@pytest.mark.parametrize(
    "labels", [["SPEAKER_0", "SPEAKER_1"], ["spk1", "spk2"], ["A", "B"], ["0", "1"], ["Speaker A", "Speaker B"], ["person 1", "person 2"]]
)
def test_labels_that_are_speakers_are_fine(folder: Path, labels: list[str]) -> None:
    edit(folder / "config.json", id2label=dict(enumerate(labels)), label2id={label: index for index, label in enumerate(labels)})
    assert load(folder).labels == tuple(labels)


@pytest.mark.parametrize("labels", [["angry", "happy"], ["yes", "no"], ["spk1", "spk1+spk2"], ["silence", "A"], ["speech", "noise"]])
def test_labels_that_are_something_else_are_refused_unless_the_user_says_so(folder: Path, labels: list[str]) -> None:
    edit(folder / "config.json", id2label=dict(enumerate(labels)), label2id={label: index for index, label in enumerate(labels)})
    with pytest.raises(CheckpointError, match="--head sigmoid"):
        load(folder)
    assert load(folder, head="sigmoid").labels == tuple(labels)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"architectures": ["UniSpeechSatForCTC"]}, "only ForAudioFrameClassification"),
        ({"architectures": ["WavLMForXVector"]}, "only ForAudioFrameClassification"),
        ({"architectures": []}, "unnamed class"),
        ({"architectures": 5}, "unnamed class"),
        ({"architectures": ["Data2VecAudioForAudioFrameClassification"], "model_type": "data2vec-audio"}, "supported are"),
        ({"model_type": "wavlm"}, "supported are"),
        ({"add_adapter": True}, "adapter"),
    ],
)
def test_checkpoints_of_other_kinds_are_refused(folder: Path, changes: dict[str, Any], reason: str) -> None:
    edit(folder / "config.json", **changes)
    with pytest.raises(CheckpointError, match=reason):
        load(folder)


def test_what_the_preprocessor_has_to_say(folder: Path) -> None:
    path = folder / "preprocessor_config.json"
    edit(path, sampling_rate=8000)
    with pytest.raises(CheckpointError, match="8000 Hz"):
        load(folder)
    edit(path, sampling_rate=16_000, do_normalize=...)
    with pytest.raises(CheckpointError, match="do_normalize"):
        load(folder)
    path.write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read as JSON"):
        load(folder)
    path.unlink()
    with pytest.raises(CheckpointError, match=r"has no preprocessor_config\.json"):
        load(folder)


def test_a_tensor_that_is_missing_or_of_another_shape_is_never_made_up(folder: Path) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    save_file({key: value for key, value in weights.items() if "classifier.weight" not in key}, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="classifier"):
        load(folder)
    save_file(weights | {"classifier.weight": torch.zeros(5, 7)}, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="size mismatch"):
        load(folder)


def test_damaged_and_missing_weights_are_named(folder: Path) -> None:
    path = folder / "model.safetensors"
    data = path.read_bytes()
    for content in (data[: len(data) // 2], b"", b"not weights"):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="cannot be loaded") as error:
            load(folder)
        assert "\n" not in str(error.value)
    path.unlink()
    with pytest.raises(CheckpointError, match="has no weights"):
        load(folder)


class Attack:
    """Runs code when it is unpickled without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("form", ["torch", "pickle"])
def test_a_pickle_that_holds_code_is_refused_and_not_run(folder: Path, tmp_path: Path, form: str) -> None:
    (folder / "model.safetensors").unlink()
    trace = tmp_path / "was here"
    content = {"classifier.weight": Attack(trace)}
    if form == "torch":
        torch.save(content, folder / "pytorch_model.bin")
    else:
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps(content))
    with pytest.raises(CheckpointError, match="could run code"):
        load(folder)
    assert not trace.exists()


def test_paths_that_are_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "file.onnx").write_bytes(b"")
    with pytest.raises(CheckpointError, match="is a file"):
        load(tmp_path / "file.onnx")
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        load(tmp_path)
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        load(tmp_path / "missing")
