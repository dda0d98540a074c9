from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from wavlm_diarizer import sessions
from wavlm_diarizer.errors import ModelFormatError, OptionError
from wavlm_diarizer.machine import Cpu


@pytest.mark.parametrize(("before", "after"), [(None, "1"), ("0", "0")])
def test_telemetry_is_off_before_onnxruntime_is_loaded_unless_the_user_wants_it(before: str | None, after: str) -> None:
    code = """
import os, sys
from wavlm_diarizer.sessions import run_options
assert "onnxruntime" not in sys.modules
run_options()
print(os.environ["ORT_DISABLE_TELEMETRY"])
"""
    environment = {key: value for key, value in os.environ.items() if key != sessions.NO_TELEMETRY}
    if before is not None:
        environment[sessions.NO_TELEMETRY] = before
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == after


def test_threads_are_always_set_and_never_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "usable_cores", lambda: 3)
    options = sessions.session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert sessions.session_options(threads=1, spin=True).intra_op_num_threads == 1
    assert sessions.session_options(spin=True).get_session_config_entry("session.intra_op.allow_spinning") == "1"


@pytest.mark.parametrize("threads", [0, -1, True])
def test_a_number_of_threads_that_makes_no_sense_is_refused(threads: int) -> None:
    with pytest.raises(OptionError, match="threads"):
        sessions.session_options(threads=threads)


@pytest.mark.parametrize(("vnni", "exact"), [(False, True), (None, True), (True, False)])
def test_int8_is_exact_on_cpus_that_saturate(monkeypatch: pytest.MonkeyPatch, vnni: bool | None, exact: bool) -> None:
    monkeypatch.setattr(sessions, "cpu", lambda: Cpu("x86", avx2=True, avx512=False, vnni=vnni))
    options = sessions.session_options()
    if exact:
        assert options.get_session_config_entry(sessions.EXACT_INT8) == "1"
    else:
        with pytest.raises(RuntimeError):
            options.get_session_config_entry(sessions.EXACT_INT8)


@pytest.mark.parametrize("low_memory", [False, True])
def test_the_low_memory_profile_gives_the_same_answer(fake: Path, low_memory: bool) -> None:
    session = sessions.open_session(fake, low_memory=low_memory)
    samples = np.linspace(-1, 1, 5000, dtype=np.float32)[None]
    (answer,) = session.run(None, {"input_values": samples}, sessions.run_options(low_memory=low_memory))
    (expected,) = sessions.open_session(fake.read_bytes()).run(None, {"input_values": samples})
    assert np.array_equal(answer, expected)


@pytest.mark.parametrize("content", [b"", b"not a model", b"RIFF\x00\x00\x00\x00WAVE"])
def test_what_is_not_a_model_is_named_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelFormatError, match=r"model\.onnx is not an ONNX model") as error:
        sessions.open_session(path)
    assert "\n" not in str(error.value)


def test_a_truncated_model_is_refused(fake: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes(fake.read_bytes()[:-200])
    with pytest.raises(ModelFormatError, match=r"cut\.onnx"):
        sessions.open_session(path)


def test_data_outside_the_models_folder_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(np.ones(4, dtype=np.float32).tobytes())
    weight = TensorProto(name="weight", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "../secret.bin"), ("offset", "0"), ("length", "16")):
        weight.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "weight"], ["y"])],
        "outside",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])],
        [weight],
    )
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    )
    assert onnx.load(folder / "model.onnx", load_external_data=False).graph.initializer[0].external_data
    with pytest.raises(ModelFormatError):
        sessions.open_session(folder / "model.onnx")


def test_operators_of_unknown_domains_are_refused(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Evil", ["x"], ["y"], domain="com.example")],
        "custom",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)], ir_version=8)
    (tmp_path / "custom.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelFormatError):
        sessions.open_session(tmp_path / "custom.onnx")
