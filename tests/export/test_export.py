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

import random_checkpoints
from wavlm_diarizer import Diarizer
from wavlm_diarizer.cli import main
from wavlm_diarizer.diarizer import sigmoid
from wavlm_diarizer.errors import CheckpointError, OptionError, OutputError, VerificationError
from wavlm_diarizer.sessions import open_session
from wavlm_diarizer.windows import normalise
from wavlm_export import guard, kinds, quantize, verification
from wavlm_export.checkpoint import load
from wavlm_export.exporter import Options, export
from wavlm_export.speech import load_speech
from wavlm_export.verify import verify

SMALL_KINDS = [kind for kind in random_checkpoints.KINDS if kind != "wavlm-base-plus"]
RATE = 16_000
PORTABLE = Options(graph="portable")


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Saved random checkpoints by kind, each made once."""
    made: dict[str, Path] = {}

    def of(kind: str) -> Path:
        if kind not in made:
            made[kind] = random_checkpoints.save(tmp_path_factory.mktemp(kind) / kind, kind)
        return made[kind]

    return of


@pytest.fixture(scope="session")
def small(checkpoints: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small WavLM, exported as a folder."""
    folder = tmp_path_factory.mktemp("export") / "small"
    export(checkpoints("wavlm-small"), folder)
    return folder


def speech(seconds: float) -> np.ndarray:
    return load_speech("check")[0][1][: round(seconds * RATE)]


def assert_same_answer(diarizer: Diarizer, checkpoint: Path, lengths: tuple[int, ...]) -> None:
    """The runtime's own path against PyTorch, on signals that the export has not seen."""
    reference = load(checkpoint)
    rng = np.random.default_rng(7)
    for length in lengths:
        for samples in (np.resize(speech(20.0), length), (0.05 * rng.standard_normal(length)).astype(np.float32)):
            values = normalise(samples) if reference.do_normalize else samples
            expected, answer = reference.logits(values[None])[0], diarizer.logits(samples)
            assert np.abs(answer - expected).max() <= 1e-3 * max(1.0, expected.std())
            assert np.abs(sigmoid(answer) - sigmoid(expected)).max() <= 1e-4


@pytest.mark.parametrize("kind", SMALL_KINDS)
def test_every_architecture_answers_as_pytorch_does(checkpoints: Any, tmp_path: Path, kind: str) -> None:
    reports = export(checkpoints(kind), tmp_path / "model.onnx", precision="fp32")
    assert reports["fp32"]["fp32"]["verdict"] == "passed"
    diarizer = Diarizer(tmp_path / "model.onnx")
    assert diarizer.settings.architecture == json.loads((checkpoints(kind) / "config.json").read_text())["architectures"][0]
    assert diarizer.settings.do_normalize is random_checkpoints.KINDS[kind][3]
    assert_same_answer(diarizer, checkpoints(kind), (400, 6401, 48_017))


@pytest.mark.full
def test_the_full_size_model_answers_as_pytorch_does_and_its_int8_holds_the_guard(checkpoints: Any, tmp_path: Path) -> None:
    source = checkpoints("wavlm-base-plus")
    reports = export(source, tmp_path / "out")
    assert reports["fp32"]["fp32"]["verdict"] == "passed"
    assert {case["case"].split(" samples")[0] for case in reports["fp32"]["fp32"]["cases"]} >= {"400", "6400", "79999", "479999"}
    assert reports["int8"]["int8"]["verdict"] == "passed"
    assert reports["int8"]["int8"]["relative_rms"] <= 0.06
    assert reports["int8"]["int8"]["share_of_the_work_in_int8"] > 0.8
    assert_same_answer(Diarizer(tmp_path / "out", precision="fp32"), source, (401, 160_001))
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "out" / "onnx").iterdir()}
    assert sizes["model_quantized.onnx"] < 0.4 * sizes["model.onnx"]


@pytest.mark.hub
def test_the_real_checkpoint_answers_as_pytorch_does_and_as_published(tmp_path: Path) -> None:
    """Needs microsoft/wavlm-base-plus-sd and anton-l/superb_dummy (``sd``) from the hub: transformers' own test_inference_diarization."""
    datasets = pytest.importorskip("datasets")
    export("microsoft/wavlm-base-plus-sd", tmp_path / "model.onnx", precision="fp32")
    diarizer = Diarizer(tmp_path / "model.onnx")
    reference = load("microsoft/wavlm-base-plus-sd")
    recordings = datasets.load_dataset("anton-l/superb_dummy", "sd", split="test")[:4]["speech"]
    rows = [np.asarray(row, dtype=np.float32) for row in recordings]
    published = [
        [[-5.9566, -8.6554], [-5.7137, -8.9386], [-5.7906, -7.0973], [-5.7829, -5.9999]],
        [[-5.2086, -7.7878], [-4.8890, -7.9312], [-4.2004, -3.9101], [-5.4480, -4.6932]],
        [[-4.6105, -6.7178], [-5.1930, -6.1635], [-2.6228, -4.1123], [-2.7646, -3.1576]],
        [[-4.4477, -7.9206], [-3.9339, -7.3707], [-4.9528, -4.8242], [-3.6921, -2.9687]],
    ]
    longest = max(map(len, rows))
    for index, samples in enumerate(rows):
        values = normalise(samples) if reference.do_normalize else samples
        answer = diarizer.logits(samples)
        assert np.abs(answer - reference.logits(values[None])[0]).max() <= 1e-3 * max(1.0, answer.std())
        # The published batch is padded with a mask, which the graph has not: only rows of full length can be compared with it.
        if len(samples) == longest:
            np.testing.assert_allclose(answer[:4], published[index], rtol=1e-2, atol=1e-2)
            if index == 0:
                assert (answer > 0).sum(axis=0).tolist() == [258, 647]


def test_int8_holds_the_guard_and_says_so_in_the_file(small: Path) -> None:
    # By name: on some machines the fp32 file of so small a model is the faster one, and "auto" opens that.
    settings = Diarizer(small, precision="int8").settings
    report = settings.verification["int8"]
    assert (settings.precision, settings.batch_independent, settings.graph) == ("int8", True, "fast")
    assert report["relative_rms"] <= 0.06
    assert report["labels_equal"] >= 0.995
    assert report["seconds"] >= 60
    assert report["verdict"] == "passed"
    assert settings.verification["fp32"]["verdict"] == "passed"
    assert set(settings.verification["fp32"]["versions"]) >= {"torch", "transformers", "onnxruntime"}


def test_the_file_is_what_other_tools_expect(small: Path) -> None:
    for name in ("model.onnx", "model_quantized.onnx"):
        model = onnx.load(small / "onnx" / name, load_external_data=False)
        onnx.checker.check_model(model)
        assert [item.name for item in model.graph.input] == ["input_values"]
        assert [item.name for item in model.graph.output] == ["logits"]
        axes = model.graph.input[0].type.tensor_type.shape.dim
        assert [axis.dim_param for axis in axes] == ["batch_size", "sequence_length"]
        assert model.ir_version <= 9
        assert {(domain.domain in {"", "com.microsoft"}) for domain in model.opset_import} == {True}
        assert max(domain.version for domain in model.opset_import if domain.domain == "") <= 20
        assert not any(tensor.external_data for tensor in model.graph.initializer)


def test_the_products_are_really_int8_and_nothing_is_computed_from_weight_norm(checkpoints: Any, tmp_path: Path) -> None:
    export(checkpoints("wavlm-small"), tmp_path / "model.onnx", options=PORTABLE)
    assert Diarizer(tmp_path / "model.onnx").settings.graph == "portable"
    assert not Diarizer(tmp_path / "model.onnx").settings.batch_independent
    graph = onnx.load(tmp_path / "model.onnx").graph
    operators = [node.op_type for node in graph.node]
    layers = 3
    # Three attention inputs, one output and two feed-forward products a layer, and the projection.
    assert operators.count("MatMulInteger") == 6 * layers + 1
    # What is left: the gate of each layer, two products of activations in each, the classifier.
    assert operators.count("MatMul") == 3 * layers + 1
    assert operators.count("Gemm") == 0
    assert operators.count("Conv") == 8
    assert not any("original0" in tensor.name or "weight_g" in tensor.name for tensor in graph.initializer)


def test_the_folder_runs_in_optimum(small: Path) -> None:
    ort = pytest.importorskip("optimum.onnxruntime")
    import torch

    samples = speech(3.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, precision in (("model.onnx", "fp32"), ("model_quantized.onnx", "int8")):
            model = ort.ORTModelForAudioFrameClassification.from_pretrained(small, subfolder="onnx", file_name=name)
            logits = model(input_values=torch.from_numpy(samples[None])).logits
            assert np.abs(np.asarray(logits)[0] - Diarizer(small, precision=precision).logits(samples)).max() < 1e-4


def test_a_folder_that_optimum_exported_runs_unchanged(checkpoints: Any, tmp_path: Path) -> None:
    from optimum.exporters.onnx import main_export

    from wavlm_export.quiet import quiet

    with quiet():
        main_export(str(checkpoints("wavlm-small")), tmp_path, task="audio-frame-classification", do_validation=False)
    diarizer = Diarizer(tmp_path)
    assert diarizer.settings.graph == "foreign"
    assert_same_answer(diarizer, checkpoints("wavlm-small"), (400, 16_001))


def test_the_same_checkpoint_gives_the_same_file(checkpoints: Any, tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        export(checkpoints("wavlm-small"), tmp_path / name)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_nothing_of_this_machine_is_in_the_file(small: Path, checkpoints: Any) -> None:
    settings = Diarizer(small).settings
    assert settings.source == "wavlm-small"
    for path in (small / "onnx").iterdir():
        data = path.read_bytes()
        assert str(checkpoints("wavlm-small").parent).encode() not in data
        assert str(Path.home()).encode() not in data or len(str(Path.home())) < 6


def test_chosen_settings_are_in_the_file(checkpoints: Any, tmp_path: Path) -> None:
    arguments = ["--window", "6", "--overlap", "2", "--single-pass", "8", "--onset", "0.6", "--min-on", "0.1", "--precision", "fp32", "-q"]
    assert main(["export", str(checkpoints("wavlm-small")), "-o", str(tmp_path / "m.onnx"), *arguments]) == 0
    settings = Diarizer(tmp_path / "m.onnx").settings
    assert (settings.window_seconds, settings.overlap_seconds, settings.single_pass_seconds) == (6.0, 2.0, 8.0)
    assert (settings.decoding.onset, settings.decoding.offset, settings.decoding.min_on) == (0.6, 0.5, 0.1)


def sabotaged(path: Path) -> Any:
    """The reference graph with one weight of the last layer's output changed a little."""

    def graph(checkpoint: Any) -> onnx.ModelProto:
        from wavlm_export.reference import reference_graph

        model = reference_graph(checkpoint)
        tensor = next(item for item in model.graph.initializer if item.name.endswith("classifier.bias"))
        values = onnx.numpy_helper.to_array(tensor).copy()
        values[0] += 0.02
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
        return model

    assert path
    return graph


def test_a_graph_that_differs_from_pytorch_is_not_written(checkpoints: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kinds.KINDS, "portable", replace(kinds.KINDS["portable"], fp32=sabotaged(tmp_path)))
    target = tmp_path / "out" / "model.onnx"
    target.parent.mkdir()
    for output in (target, tmp_path / "folder"):
        with pytest.raises(VerificationError, match=r"differs from PyTorch, most at .*label 0"):
            export(checkpoints("wavlm-small"), output, options=PORTABLE)
    assert list(target.parent.iterdir()) == []
    assert not (tmp_path / "folder").exists()


def test_an_int8_graph_that_misses_the_guard_is_not_written_unless_limits_are_looser(
    checkpoints: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(guard, "Limits", guard.Limits)
    strict = guard.Limits(relative_rms=1e-5)
    with pytest.raises(VerificationError, match="misses the guard on speech"):
        export(checkpoints("wavlm-small"), tmp_path / "m.onnx", options=Options(limits=strict))
    assert list(tmp_path.iterdir()) == []
    source = str(checkpoints("wavlm-small"))
    assert main(["export", source, "-o", str(tmp_path / "m.onnx"), "--limit", "relative_rms=0.5"]) == 0
    report = Diarizer(tmp_path / "m.onnx").settings.verification["int8"]
    assert (report["limits"]["relative_rms"], report["loosened_by_the_user"]) == (0.5, ["relative_rms"])
    assert "written" in capsys.readouterr().err
    assert main(["export", source, "-o", str(tmp_path / "n.onnx"), "--limit", "speed=2"]) == 2


def test_parts_that_cost_too_much_stay_in_fp32_until_the_guard_holds(checkpoints: Any, tmp_path: Path) -> None:
    whole = export(checkpoints("wavlm-small"), tmp_path / "all.onnx", options=PORTABLE)["int8"]["int8"]
    limit = guard.Limits(relative_rms=0.9 * max(whole["relative_rms"], whole["calibration"]["relative_rms"]))
    report = export(checkpoints("wavlm-small"), tmp_path / "some.onnx", options=replace(PORTABLE, limits=limit))["int8"]["int8"]
    assert report["left_in_fp32"]
    assert report["share_of_the_work_in_int8"] < whole["share_of_the_work_in_int8"] == 1
    assert report["relative_rms"] < whole["relative_rms"]
    costs = report["relative_rms_of_each_part_alone"]
    work = report["share_of_the_work_of_each_part"]
    assert sum(work.values()) == pytest.approx(1)
    assert report["left_in_fp32"][0] == max(costs, key=lambda part: costs[part] ** 2 / work[part])
    kept = {name: onnx.load(tmp_path / name).graph.node for name in ("all.onnx", "some.onnx")}
    counts = {name: sum(node.op_type == "MatMulInteger" for node in nodes) for name, nodes in kept.items()}
    assert counts["some.onnx"] < counts["all.onnx"]


def test_the_guard_sees_flipped_labels_and_lacking_evidence() -> None:
    rng = np.random.default_rng(0)
    time = np.arange(4000)
    logits = np.stack([4 * np.sin(time / 90), 4 * np.cos(time / 70)], axis=1) + 0.1 * rng.standard_normal((4000, 2))
    same = guard.measure([logits], [logits + 0.01], 50)
    assert (same.relative_rms, same.labels_equal) == (pytest.approx(0.0, abs=1e-9), 1.0)
    assert same.verdict(guard.Limits()) == "passed"
    flipped = logits.copy()
    flipped[:60, 0] = -flipped[:60, 0]
    assert guard.measure([logits], [flipped], 50).verdict(guard.Limits(relative_rms=1.0)) == "failed"
    noisy = logits + 0.5 * rng.standard_normal(logits.shape)
    measured = guard.measure([logits], [noisy], 50)
    assert measured.relative_rms == pytest.approx(0.5 / (4 / np.sqrt(2)), rel=0.05)
    assert measured.verdict(guard.Limits()) == "failed"
    rare = np.stack([logits[:, 0], np.full(4000, -3.0) + 0.1 * rng.standard_normal(4000)], axis=1)
    assert guard.measure([rare], [rare], 50).verdict(guard.Limits()) == "not enough evidence"
    assert guard.measure([logits[:2000]], [logits[:2000]], 50).verdict(guard.Limits()) == "not enough evidence"
    broken = np.full_like(logits, np.nan)
    assert guard.measure([logits], [broken], 50).verdict(guard.Limits()) == "failed"


def test_a_graph_that_answers_with_nan_fails(checkpoints: Any) -> None:
    checkpoint = load(checkpoints("wavlm-small"))

    class Broken:
        def run(self, _: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
            batch, samples = feed["input_values"].shape
            return [np.full((batch, 1 + (samples - 400) // 320, 3), np.nan, dtype=np.float32)]

    with pytest.raises(VerificationError, match="differs from PyTorch"):
        verification.verify_graph(Broken(), checkpoint)  # type: ignore[arg-type]


def test_verify_repeats_the_comparison_on_the_users_audio(
    small: Path, checkpoints: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import soundfile

    soundfile.write(tmp_path / "mine.wav", speech(7.3), RATE)
    source = checkpoints("wavlm-small")
    report = verify(small, against=source, audio=[tmp_path / "mine.wav"], precision="fp32")
    assert report["cases"][-1]["case"] == "mine from 0 s"
    arguments = ["verify", str(small), "--against", str(source), str(tmp_path / "mine.wav"), "--json"]
    assert main(arguments) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["verdict"] == "passed"
    assert shown["seconds"] > 126


def test_verify_fails_for_another_checkpoint(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = random_checkpoints.save(tmp_path / "other", "wavlm-small", seed=5)
    assert main(["verify", str(small), "--against", str(other)]) == 1
    assert "other weights" in capsys.readouterr().err


def test_a_checkpoint_folder_as_model_is_exported_once_into_the_cache(
    checkpoints: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from wavlm_diarizer.cli import checkpoints as door

    monkeypatch.setenv("WAVLM_DIARIZER_CACHE", str(tmp_path / "cache"))
    command = ["diarize", "--sample", "-m", str(checkpoints("wavlm-small"))]
    assert main(command) == 0
    first = capsys.readouterr()
    assert "exporting" in first.err
    (folder,) = (path for path in (tmp_path / "cache").iterdir() if path.is_dir())
    assert {path.name for path in (folder / "onnx").iterdir()} == {"model.onnx", "model_quantized.onnx"}
    monkeypatch.setattr(door, "load_exporter", lambda: pytest.fail("exported twice"))
    assert main(command) == 0
    assert capsys.readouterr().out == first.out


def test_a_hub_id_in_the_local_cache_is_exported_without_a_network(
    checkpoints: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "models--microsoft--wavlm-base-plus-sd"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("c" * 40)
    shutil.copytree(checkpoints("wavlm-small"), folder / "snapshots" / ("c" * 40))
    export("microsoft/wavlm-base-plus-sd", tmp_path / "model.onnx", precision="fp32")
    settings = Diarizer(tmp_path / "model.onnx").settings
    assert (settings.source, settings.revision) == ("microsoft/wavlm-base-plus-sd", "c" * 40)
    assert settings.license.startswith("CC-BY-SA-3.0")


def test_the_users_own_calibration_speech_is_used(checkpoints: Any, tmp_path: Path) -> None:
    import soundfile

    (tmp_path / "mine").mkdir()
    soundfile.write(tmp_path / "mine" / "a.wav", speech(12.0), RATE)
    first = export(checkpoints("wavlm-small"), tmp_path / "a.onnx")["int8"]["int8"]["calibration"]
    second = export(checkpoints("wavlm-small"), tmp_path / "b.onnx", options=Options(calibration=tmp_path / "mine"))["int8"]["int8"][
        "calibration"
    ]
    assert first != second


@pytest.mark.parametrize(
    ("options", "error", "reason"),
    [
        ({"precision": "fp16"}, OptionError, "fp32 or int8"),
        ({"options": Options(graph="magic")}, OptionError, "no graph"),
        ({"options": Options(overlap_seconds=9.0)}, OptionError, "overlap"),
        ({"output": "missing/model.onnx"}, OutputError, "does not exist"),
        ({"output": "file.txt"}, OutputError, "is a file"),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_work(
    checkpoints: Any, tmp_path: Path, options: dict[str, Any], error: type[Exception], reason: str
) -> None:
    (tmp_path / "file.txt").write_text("")
    output = tmp_path / options.pop("output", "model.onnx")
    with pytest.raises(error, match=reason):
        export(checkpoints("wavlm-small"), output, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]


def test_a_full_disk_leaves_nothing_half_written(checkpoints: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError):
        export(checkpoints("wavlm-small"), tmp_path / "model.onnx", precision="fp32")
    assert list(tmp_path.iterdir()) == []


def test_dynamic_quantization_leaves_small_products_alone(checkpoints: Any) -> None:
    from wavlm_export.reference import reference_graph

    groups = quantize.quantizable(reference_graph(load(checkpoints("wavlm-small"))))
    assert {name: len(nodes) for name, nodes in groups.items()} == {
        "projection": 1,
        "attention inputs": 9,
        "attention output": 3,
        "feed forward in": 3,
        "feed forward out": 3,
    }


def test_another_convolution_stack_is_compared_from_its_own_shortest_input_and_counted_in_its_own_frames(tmp_path: Path) -> None:
    stack = {"conv_kernel": (10, 3, 3, 3, 3, 4, 4), "conv_stride": (5, 2, 2, 2, 2, 2, 1)}
    source = random_checkpoints.save(tmp_path / "other-stack", "wavlm-small", **stack)
    reports = export(source, tmp_path / "model.onnx")["int8"]
    settings = Diarizer(tmp_path / "model.onnx").settings
    # 1 + 9 + 2 x 5 x (1 + 2 + 4 + 8) + 3 x 80 + 3 x 160 samples.
    assert (settings.hop, settings.receptive_field) == (160, 880)
    assert reports["fp32"]["cases"][0]["case"] == "880 samples, noise"
    assert 115 < reports["int8"]["seconds"] < 121


def test_a_model_too_small_for_int8_is_said_to_be(tmp_path: Path) -> None:
    size = {"hidden_size": 32, "intermediate_size": 64, "conv_dim": (32,) * 7}
    source = random_checkpoints.save(tmp_path / "tiny", "wavlm-small", **size)
    with pytest.raises(CheckpointError, match="export fp32"):
        export(source, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_verify_notices_a_file_that_is_used_with_another_normalisation(small: Path, checkpoints: Any, tmp_path: Path) -> None:
    source = shutil.copytree(checkpoints("wavlm-small"), tmp_path / "normalised")
    path = source / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"do_normalize": True}))
    with pytest.raises(VerificationError, match="do_normalize False"):
        verify(small, against=source)


def test_a_batch_answers_as_its_windows_do_in_fp32(small: Path) -> None:
    session = open_session(small / "onnx" / "model.onnx")
    batch = np.stack([speech(2.0), 0.1 * speech(2.0)[::-1], np.zeros(2 * RATE, dtype=np.float32)])
    together = verification.run(session, batch)
    for row, window in enumerate(batch):
        assert np.abs(together[row] - verification.run(session, window[None])[0]).max() < 1e-4


def test_checkpoint_errors_are_not_swallowed(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        export(tmp_path / "nothing", tmp_path / "model.onnx")
