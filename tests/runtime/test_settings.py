from __future__ import annotations

import json
from dataclasses import replace

import pytest

import fake_model
from wavlm_diarizer.decoding import Decoding
from wavlm_diarizer.errors import ModelFormatError, ModelSettingsError, ModelVersionError
from wavlm_diarizer.settings import PREFIX, ModelSettings, convolution_geometry

SETTINGS = replace(
    fake_model.settings(),
    decoding=Decoding(0.6, 0.4, 0.22, 0.1, 0.1),
    labels=("Zoë", "B"),
    verification={"verdict": "passed", "cases": [1.5]},
)


def test_settings_survive_the_model_file() -> None:
    assert ModelSettings.from_metadata(SETTINGS.to_metadata(), "x.onnx") == SETTINGS


def test_text_is_written_as_it_is_and_all_else_as_json() -> None:
    metadata = SETTINGS.to_metadata()
    assert metadata[PREFIX + "source"] == "tests/fake"
    assert json.loads(metadata[PREFIX + "labels"]) == ["Zoë", "B"]
    assert metadata[PREFIX + "do_normalize"] == "false"
    assert set(map(type, metadata.values())) == {str}


def test_a_file_without_our_metadata_has_none() -> None:
    assert ModelSettings.from_metadata({"producer": "someone"}, "x.onnx") is None


def test_a_newer_format_asks_for_an_upgrade() -> None:
    with pytest.raises(ModelVersionError, match="upgrade"):
        ModelSettings.from_metadata(SETTINGS.to_metadata() | {PREFIX + "format_version": "2"}, "x.onnx")


def test_keys_of_a_newer_minor_version_are_left_alone() -> None:
    assert ModelSettings.from_metadata(SETTINGS.to_metadata() | {PREFIX + "novelty": "[1]"}, "x.onnx") == SETTINGS


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format_version", "one"),
        ("do_normalize", "1"),
        ("hop", "true"),
        ("hop", "0"),
        ("labels", '"A"'),
        ("labels", "[]"),
        ("decoding", '{"onset": 2}'),
        ("decoding", '{"unknown": 0.5}'),
        ("window_seconds", "[10]"),
        ("overlap_seconds", "9.0"),
        ("verification", "{"),
        ("head", "powerset"),
    ],
)
def test_damaged_metadata_is_named(key: str, value: str) -> None:
    with pytest.raises(ModelFormatError, match=r"x\.onnx"):
        ModelSettings.from_metadata(SETTINGS.to_metadata() | {PREFIX + key: value}, "x.onnx")


def test_missing_metadata_is_named() -> None:
    metadata = SETTINGS.to_metadata()
    del metadata[PREFIX + "do_normalize"]
    with pytest.raises(ModelFormatError, match="do_normalize"):
        ModelSettings.from_metadata(metadata, "x.onnx")


def hub_config(**changes: object) -> dict[str, object]:
    values: dict[str, object] = {
        "architectures": ["WavLMForAudioFrameClassification"],
        "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
        "conv_stride": [5, 2, 2, 2, 2, 2, 2],
        "id2label": {"0": "LABEL_0", "1": "LABEL_1"},
    }
    return values | changes


def test_the_hubs_json_is_enough() -> None:
    settings = ModelSettings.from_hub_json(hub_config(), {"do_normalize": False, "sampling_rate": 16_000}, "folder")
    assert (settings.hop, settings.receptive_field, settings.labels) == (320, 400, ("LABEL_0", "LABEL_1"))
    assert (settings.graph, settings.window_seconds, settings.overlap_seconds, settings.single_pass_seconds) == ("foreign", 10.0, 5.0, 30.0)


def test_labels_are_in_the_order_of_their_numbers() -> None:
    labels = {str(number): f"L{number}" for number in (10, 2, 0, 1, 3, 4, 5, 6, 7, 8, 9)}
    assert ModelSettings.from_hub_json(hub_config(id2label=labels), {"do_normalize": True}, "x").labels == tuple(f"L{n}" for n in range(11))


@pytest.mark.parametrize("architecture", ["WavLMForXVector", "Wav2Vec2ForCTC", ""])
def test_a_checkpoint_of_another_task_is_refused(architecture: str) -> None:
    with pytest.raises(ModelSettingsError, match="only ForAudioFrameClassification"):
        ModelSettings.from_hub_json(hub_config(architectures=[architecture]), {"do_normalize": False}, "folder")


def test_not_knowing_whether_to_normalise_is_an_error() -> None:
    with pytest.raises(ModelSettingsError, match="do_normalize"):
        ModelSettings.from_hub_json(hub_config(), {}, "folder")


def test_the_geometry_of_convolutions() -> None:
    assert convolution_geometry([10, 3, 3, 3, 3, 2, 2], [5, 2, 2, 2, 2, 2, 2]) == (320, 400)
    assert convolution_geometry([4], [2]) == (2, 4)
