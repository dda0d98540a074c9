from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import fake_model
from wavlm_diarizer import hub, model_file
from wavlm_diarizer.errors import ModelFormatError, ModelNotFoundError, ModelSettingsError, OptionError
from wavlm_diarizer.sessions import open_session

CONFIG = {"architectures": ["WavLMForAudioFrameClassification"], "id2label": {"0": "LABEL_0", "1": "LABEL_1"}}
PREPROCESSOR = {"do_normalize": True, "sampling_rate": 16_000}


def hub_folder(folder: Path, *names: str) -> Path:
    for name in names:
        fake_model.write(folder / name)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub's client, which is not installed."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    return tmp_path / "cache"


@pytest.mark.parametrize(
    ("names", "precision", "expected"),
    [
        (("onnx/model.onnx", "onnx/model_quantized.onnx"), "auto", "onnx/model_quantized.onnx"),
        (("onnx/model.onnx", "onnx/model_quantized.onnx"), "fp32", "onnx/model.onnx"),
        (("onnx/model.onnx", "onnx/model_int8.onnx"), "int8", "onnx/model_int8.onnx"),
        (("model.onnx",), "auto", "model.onnx"),
        (("renamed.onnx",), "auto", "renamed.onnx"),
    ],
)
def test_a_folder_is_read_in_the_hubs_order(tmp_path: Path, names: tuple[str, ...], precision: str, expected: str) -> None:
    assert model_file.find(hub_folder(tmp_path, *names), precision=precision).path == tmp_path / expected


def test_the_json_files_are_found_beside_the_model_or_one_folder_up(tmp_path: Path) -> None:
    for name in ("model.onnx", "onnx/model.onnx"):
        file = model_file.find(hub_folder(tmp_path / name.replace("/", "_"), name))
        settings = file.settings(open_session(file.path))
        assert (settings.do_normalize, settings.graph) == (True, "foreign")


def test_embedded_metadata_wins_over_json(tmp_path: Path) -> None:
    folder = hub_folder(tmp_path)
    file = model_file.ModelFile(fake_model.write(folder / "model.onnx", fake_model.settings().to_metadata()))
    assert file.settings(open_session(file.path)).do_normalize is False


def test_without_metadata_and_json_the_error_says_what_is_missing(tmp_path: Path) -> None:
    file = model_file.ModelFile(fake_model.write(tmp_path / "deep" / "model.onnx"))
    with pytest.raises(ModelSettingsError, match=r"no config\.json beside it or one folder up"):
        file.settings(open_session(file.path))


@pytest.mark.parametrize("text", ["{", "[1]", "\xff"])
def test_damaged_json_is_named(tmp_path: Path, text: str) -> None:
    folder = hub_folder(tmp_path, "model.onnx")
    (folder / "preprocessor_config.json").write_bytes(text.encode("latin-1"))
    file = model_file.find(folder)
    with pytest.raises(ModelSettingsError, match=r"preprocessor_config\.json"):
        file.settings(open_session(file.path))


def test_an_asked_for_precision_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"onnx/model\.onnx"):
        model_file.find(hub_folder(tmp_path, "onnx/model.onnx"), precision="int8")
    with pytest.raises(OptionError, match="fp16"):
        model_file.find(tmp_path, precision="fp16")


def test_a_folder_without_a_model_and_a_missing_path_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="holds no ONNX model"):
        model_file.find(tmp_path)
    with pytest.raises(ModelNotFoundError, match="There is no model at"):
        model_file.find(tmp_path / "missing.onnx")


def test_a_checkpoint_folder_says_how_to_export_it(tmp_path: Path) -> None:
    folder = hub_folder(tmp_path)
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelFormatError, match="wavlm-diarizer export"):
        model_file.find(folder)


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"names": ("waveform", "logits")}, "takes waveform"), ({"names": ("input_values", "text")}, "answers with text")],
)
def test_a_model_with_other_inputs_or_outputs_is_refused(tmp_path: Path, options: dict[str, tuple[str, str]], reason: str) -> None:
    path = fake_model.write(tmp_path / "model.onnx", **options)
    with pytest.raises(ModelFormatError, match=reason):
        model_file.ModelFile(path).settings(open_session(path))


def snapshot(cache: Path, hub_id: str, reference: str = "main", commit: str = "a" * 40) -> Path:
    folder = cache / ("models--" + hub_id.replace("/", "--"))
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / reference).write_text(commit)
    return hub_folder(folder / "snapshots" / commit, "onnx/model_quantized.onnx")


def test_a_hub_id_in_the_local_cache_needs_no_network_and_no_client(cache: Path) -> None:
    folder = snapshot(cache, "someone/model")
    assert model_file.find("someone/model").path == folder / "onnx" / "model_quantized.onnx"
    other = snapshot(cache, "someone/model", "v1", "b" * 40)
    assert model_file.find("someone/model", revision="v1").path.is_relative_to(other)
    assert model_file.find("someone/model", revision="b" * 40).path.is_relative_to(other)


@pytest.mark.usefixtures("cache")
def test_a_hub_id_that_is_not_cached_names_the_client_to_install() -> None:
    with pytest.raises(ModelNotFoundError, match="pip install huggingface_hub"):
        model_file.find("someone/model")


@pytest.mark.usefixtures("cache")
def test_with_the_client_a_hub_id_is_downloaded_and_its_failure_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Client:
        @staticmethod
        def snapshot_download(hub_id: str, *, revision: str | None, allow_patterns: list[str]) -> str:
            if hub_id != "someone/model":
                raise ConnectionError("no\nroute")
            assert revision == "v2"
            asked.append(allow_patterns)
            return str(hub_folder(tmp_path / "got", "onnx/model.onnx"))

    monkeypatch.setitem(sys.modules, "huggingface_hub", Client)
    assert model_file.find("someone/model", revision="v2").path == tmp_path / "got" / "onnx" / "model.onnx"
    # int8 first, and only the files of one precision at a time.
    assert ["onnx/model_quantized.onnx" in patterns for patterns in asked] == [True, False]
    assert ["onnx/model.onnx" in patterns for patterns in asked] == [False, True]
    assert all("config.json" in patterns and not any("*" in pattern for pattern in patterns) for patterns in asked)
    with pytest.raises(ModelNotFoundError, match=r"has no model_quantized\.onnx"):
        model_file.find("someone/model", precision="int8", revision="v2")
    with pytest.raises(ModelNotFoundError, match="ConnectionError: no route") as error:
        model_file.find("someone/else")
    assert "\n" not in str(error.value)


def test_what_is_in_the_cache_is_taken_before_anything_is_downloaded(cache: Path) -> None:
    folder = snapshot(cache, "someone/model")
    (folder / "onnx" / "model_quantized.onnx").rename(folder / "onnx" / "model.onnx")
    assert model_file.find("someone/model").path == folder / "onnx" / "model.onnx"


def test_an_existing_path_wins_over_a_hub_id(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot(cache, "someone/model")
    monkeypatch.chdir(tmp_path)
    local = hub_folder(tmp_path / "someone" / "model", "model.onnx")
    assert model_file.find("someone/model").path.resolve() == local / "model.onnx"


@pytest.mark.parametrize(
    ("name", "is_id"),
    [("microsoft/wavlm-base-plus-sd", True), ("a/b.onnx", False), ("./a/b", False), ("a", False), ("a/b/c", False), ("/a/b", False)],
)
def test_what_looks_like_a_hub_id(name: str, is_id: bool) -> None:
    assert hub.is_hub_id(name) is is_id


def test_the_cache_is_where_the_hubs_client_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    assert hub.cache_folder() == Path("~/.cache/huggingface/hub").expanduser()
    monkeypatch.setenv("HF_HOME", "/somewhere")
    assert hub.cache_folder() == Path("/somewhere/hub")


def test_a_file_that_promises_voices_has_to_give_them(tmp_path: Path) -> None:
    metadata = fake_model.settings(embedding_size=48, speaker_source="sv").to_metadata()
    file = model_file.ModelFile(fake_model.write(tmp_path / "model.onnx", metadata))
    with pytest.raises(ModelFormatError, match=r"promises voice embeddings .* has no embedding_frames and no embeddings"):
        file.settings(open_session(file.path))


def test_a_file_from_before_there_were_voices_has_none(tmp_path: Path) -> None:
    metadata = {key: value for key, value in fake_model.settings().to_metadata().items() if "embedding" not in key and "speaker" not in key}
    file = model_file.ModelFile(fake_model.write(tmp_path / "model.onnx", metadata))
    settings = file.settings(open_session(file.path))
    assert (settings.embedding_size, settings.speaker_source, settings.speaker_weights_sha256) == (0, "", "")
