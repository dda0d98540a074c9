"""``--speaker-model``: two checkpoints in, one file with voices out, or a sentence that says why not."""

from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import load_file, save_file

import random_checkpoints
from wavlm_diarizer import Diarizer
from wavlm_diarizer.cli import main
from wavlm_diarizer.errors import CheckpointError, OutputError, VerificationError
from wavlm_diarizer.sessions import open_session
from wavlm_diarizer.voices import Voice, Voices, similarity
from wavlm_export import pooling, verification
from wavlm_export.checkpoint import load
from wavlm_export.exporter import export
from wavlm_export.given_activity import with_given_activity
from wavlm_export.graph import x_vector
from wavlm_export.kinds import KINDS
from wavlm_export.speaker_model import with_speaker
from wavlm_export.speech import load_speech
from wavlm_export.verify import verify
from wavlm_export.voices import answered, compare


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A small frame classifier and a speaker model on the same backbone."""
    return random_checkpoints.save_pair(tmp_path_factory.mktemp("pair"), "wavlm-small")


@pytest.fixture(scope="session")
def exported(pair: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both, exported as a folder."""
    folder = tmp_path_factory.mktemp("export") / "both"
    export(pair[0], folder, speaker_model=pair[1])
    return folder


def samples(seconds: float) -> np.ndarray:
    return load_speech("check")[0][1][None, : round(seconds * 16_000)]


def changed(source: Path, target: Path, name: str, change: Any) -> Path:
    """A copy of a checkpoint with the tensors whose names hold ``name`` changed."""
    shutil.copytree(source, target)
    tensors = load_file(target / "model.safetensors")
    found = [key for key in tensors if name in key]
    assert found
    for key in found:
        tensors[key] = change(tensors[key])
    save_file(tensors, target / "model.safetensors", {"format": "pt"})
    return target


def edited(folder: Path, name: str = "config.json", **changes: Any) -> Path:
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def test_voices_of_one_precision_are_known_to_the_other(exported: Path) -> None:
    diarizers = [Diarizer(exported, precision=precision) for precision in ("fp32", "int8")]
    heard = [one.local_speakers(one.heard((load_speech("check")[0][1], 16_000))) for one in diarizers]
    assert heard[0] is not None
    assert heard[1] is not None
    both = (heard[0].solo >= 50) & (heard[1].solo >= 50)
    first, second = (one.embeddings[both] for one in heard if one is not None)
    assert len(first) >= 2
    assert np.abs(similarity(first, first) - similarity(second, first)).max() <= 0.02
    settings = diarizers[0].settings
    voices = Voices((Voice("Ada", first[0], 5.0),), settings.weights_sha256, settings.speaker_weights_sha256)
    voices.check_model(diarizers[1].settings, "the int8 file")


def test_the_file_says_what_its_voices_are_and_how_they_compared(exported: Path, pair: tuple[Path, Path]) -> None:
    for precision in ("fp32", "int8"):
        diarizer = Diarizer(exported, precision=precision)
        settings = diarizer.settings
        assert (settings.embedding_size, settings.speaker_source) == (48, "sv")
        assert len(settings.speaker_weights_sha256) == 64
        assert settings.speaker_weights_sha256 != settings.weights_sha256
        compared = settings.verification["fp32"]["embeddings"]
        assert compared["lowest_cosine"] >= 0.99999
        assert compared["compared"] > 20
        assert compared["backbone"] == "shared: one pass"
        assert diarizer.logits(samples(3.0)[0]).shape == (149, 3)
    int8 = settings.verification["int8"]
    assert int8["verdict"] == "passed"
    assert int8["embeddings"]["lowest_cosine"] >= 0.99
    assert int8["embeddings"]["compared"] > 0
    with_voices, without = (load(pair[0]), with_speaker(load(pair[0]), pair[1]))
    assert with_voices.weights_sha256 == without.weights_sha256


def test_the_folder_with_voices_still_runs_in_optimum_and_its_graphs_are_plain(exported: Path) -> None:
    ort = pytest.importorskip("optimum.onnxruntime")
    speech = samples(3.0)
    for name, precision in (("model.onnx", "fp32"), ("model_quantized.onnx", "int8")):
        graph = onnx.load(exported / "onnx" / name)
        onnx.checker.check_model(graph)
        assert [item.name for item in graph.graph.output] == ["logits", "embeddings", "embedding_frames"]
        assert {domain.domain for domain in graph.opset_import} <= {"", "com.microsoft"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = ort.ORTModelForAudioFrameClassification.from_pretrained(exported, subfolder="onnx", file_name=name)
            logits = model(input_values=torch.from_numpy(speech)).logits
        assert np.abs(np.asarray(logits)[0] - Diarizer(exported, precision=precision).logits(speech[0])).max() < 1e-4


def test_info_and_verify_tell_of_the_voices(
    exported: Path, pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", str(exported), "--precision", "fp32"]) == 0
    shown = capsys.readouterr().out
    assert "48 numbers for each speaker, by sv" in shown
    assert "0.99999\n" in shown
    assert main(["verify", str(exported), "--against", str(pair[0]), "--speaker-model", str(pair[1]), "--precision", "int8", "--json"]) == 0
    assert 1 > json.loads(capsys.readouterr().out)["embeddings"]["lowest_cosine"] >= 0.99
    other = changed(pair[1], tmp_path / "sv", "projector.bias", lambda tensor: tensor + 0.01)
    with pytest.raises(VerificationError, match="come from other weights"):
        verify(exported, against=pair[0], speaker_model=other)


def test_backbones_that_differ_are_refused_in_one_sentence(pair: tuple[Path, Path], tmp_path: Path) -> None:
    name = "encoder.layers.1.attention.q_proj.weight"
    one = changed(pair[1], tmp_path / "one", name, lambda tensor: tensor + 2.0**-10)
    with pytest.raises(CheckpointError, match=rf"{name} differs by up to 0\.00098 \(it alone of \d+ tensors\); pass --two-passes"):
        export(pair[0], tmp_path / "m.onnx", speaker_model=one)
    many = changed(pair[1], tmp_path / "many", "attention", lambda tensor: tensor * 1.5)
    with pytest.raises(CheckpointError, match=r"\(and \d+ more of"):
        with_speaker(load(pair[0]), many)
    normalised = edited(shutil.copytree(pair[1], tmp_path / "normalised"), "preprocessor_config.json", do_normalize=True)
    with pytest.raises(CheckpointError, match="do_normalize is False and True"):
        with_speaker(load(pair[0]), normalised)
    epsilon = edited(shutil.copytree(pair[1], tmp_path / "epsilon"), layer_norm_eps=1e-3)
    with pytest.raises(CheckpointError, match=r"layer_norm_eps is 1e-05 and 0\.001"):
        with_speaker(load(pair[0]), epsilon)
    assert not (tmp_path / "m.onnx").exists()


def test_what_only_training_uses_and_how_a_weight_is_written_tell_no_backbones_apart(pair: tuple[Path, Path], tmp_path: Path) -> None:
    longer = changed(pair[1], tmp_path / "longer", "weight.original1", lambda tensor: 3 * tensor)
    assert with_speaker(load(pair[0]), longer).speaker.shared
    folder = shutil.copytree(pair[1], tmp_path / "older")
    tensors = load_file(folder / "model.safetensors")
    spelled = {
        key.replace("parametrizations.weight.original", "weight_").replace("weight_0", "weight_g").replace("weight_1", "weight_v"): value
        for key, value in tensors.items()
    }
    assert spelled.keys() != tensors.keys()
    spelled["wavlm.masked_spec_embed"] = torch.ones(96)
    del spelled["objective.weight"]
    save_file(spelled, folder / "model.safetensors", {"format": "pt"})
    edited(folder, mask_time_prob=0.05)
    assert with_speaker(load(pair[0]), folder).speaker.shared


@pytest.mark.parametrize("graph", ["fast", "portable"])
def test_two_backbones_run_in_two_passes_if_that_is_asked_for(pair: tuple[Path, Path], tmp_path: Path, graph: str) -> None:
    other = random_checkpoints.make_speaker("wavlm-small", seed=9, num_hidden_layers=2, hidden_size=64)
    other.save_pretrained(tmp_path / "sv")
    shutil.copy(pair[1] / "preprocessor_config.json", tmp_path / "sv")
    edited(tmp_path / "sv", "preprocessor_config.json", do_normalize=True)
    checkpoint = with_speaker(load(pair[0]), tmp_path / "sv", two_passes=True)
    assert checkpoint.speaker.apart == "do_normalize is False and True"
    fp32 = KINDS[graph].fp32(checkpoint)
    speech = samples(4.0) + 0.5
    logits, voices = answered(open_session(fp32.SerializeToString()), speech)
    assert np.abs(logits - checkpoint.logits(speech)).max() < 1e-3
    # The speaker model alone, on samples as its own feature extractor gives them.
    normal = ((speech - speech.mean()) / np.sqrt(speech.var() + 1e-7)).astype(np.float32)
    reference = replace(checkpoint.speaker, normalises=False).embeddings(normal, logits)
    assert compare(zip(reference, [voices], strict=True)).lowest_cosine >= 0.99999
    quantizer = KINDS[graph].quantizer(checkpoint, fp32, [speech[0]])
    assert graph == "portable" or {"speaker projector", "second pass attention inputs"} < set(quantizer.groups)
    given = open_session(with_given_activity(quantizer.graph(())).SerializeToString())
    assert compare([(voices, answered(given, speech, logits)[1])]).lowest_cosine >= 0.99


def test_samples_that_are_normalised_already_cannot_be_had_as_they_were(pair: tuple[Path, Path], tmp_path: Path) -> None:
    normalised = edited(shutil.copytree(pair[0], tmp_path / "sd"), "preprocessor_config.json", do_normalize=True)
    with pytest.raises(CheckpointError, match="one graph cannot have"):
        with_speaker(load(normalised), pair[1], two_passes=True)


def test_backbones_with_other_frames_cannot_share_a_graph(pair: tuple[Path, Path], tmp_path: Path) -> None:
    other = random_checkpoints.make_speaker("wavlm-small", conv_stride=(5, 2, 2, 2, 2, 2, 1))
    other.save_pretrained(tmp_path / "sv")
    shutil.copy(pair[1] / "preprocessor_config.json", tmp_path / "sv")
    with pytest.raises(CheckpointError, match="conv_stride is"):
        with_speaker(load(pair[0]), tmp_path / "sv", two_passes=True)


def test_what_is_no_speaker_model_is_named(pair: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="sd is a WavLMForAudioFrameClassification; speaker models are WavLMForXVector, UniSpeechSat"):
        export(pair[0], tmp_path / "m.onnx", speaker_model=pair[0])
    hubert = edited(shutil.copytree(pair[1], tmp_path / "hubert"), model_type="hubert", architectures=["HubertForXVector"])
    with pytest.raises(CheckpointError, match="hubert is a HubertForXVector; speaker models are"):
        export(pair[0], tmp_path / "m.onnx", speaker_model=hubert)
    with pytest.raises(CheckpointError, match="only ForAudioFrameClassification models diarize"):
        export(pair[1], tmp_path / "m.onnx", speaker_model=pair[1])


def test_a_graph_that_pools_other_frames_is_not_written(pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Shifted(pooling.Context):
        offset = 6

    monkeypatch.setattr(x_vector, "Context", Shifted)
    monkeypatch.setattr(verification, "cases", lambda *_: iter([verification.Case("2 s of speech", samples(2.0))]))
    with pytest.raises(VerificationError, match=r"other voices than sv in PyTorch, first at 2 s of speech"):
        export(pair[0], tmp_path / "m.onnx", speaker_model=pair[1], precision="fp32")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_does_not_mix_files_with_and_without_voices(exported: Path, pair: tuple[Path, Path]) -> None:
    with pytest.raises(OutputError, match="made from these weights"):
        export(pair[0], exported, precision="fp32")


@pytest.mark.hub
def test_the_real_pair_answers_as_pytorch_does(tmp_path: Path) -> None:
    """Needs microsoft/wavlm-base-plus-sd and -sv: in one pass if their backbones are the same, which is what this tells."""
    source, speaker = "microsoft/wavlm-base-plus-sd", "microsoft/wavlm-base-plus-sv"
    reports = export(source, tmp_path / "model.onnx", speaker_model=speaker, two_passes=True)["int8"]
    assert reports["fp32"]["embeddings"]["lowest_cosine"] >= 0.99999
    assert reports["int8"]["embeddings"]["lowest_cosine"] >= 0.99
    assert Diarizer(tmp_path / "model.onnx").settings.embedding_size == 512
