"""int8 on CPUs whose byte products saturate: weights stand where onnxruntime makes exact products of them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from wavlm_diarizer import sessions
from wavlm_diarizer.errors import ModelFormatError
from wavlm_diarizer.exact_int8 import with_weights_in_bodies
from wavlm_diarizer.machine import Cpu
from wavlm_diarizer.model_file import BUILTIN

WITHOUT_VNNI = Cpu("x86", avx2=True, avx512=False, vnni=False)
EMULATOR = shutil.which("qemu-x86_64")
NOISE = (0.1 * np.random.default_rng(0).standard_normal((1, 16_000))).astype(np.float32)
IN_AN_EMULATOR = """
import sys, numpy as np
from wavlm_diarizer import sessions
from wavlm_diarizer.machine import Cpu
# The emulator shows programs the real CPU's flags where Linux lists them.
sessions.cpu = lambda: Cpu("x86", avx2=True, avx512=False, vnni=sys.argv[3] == "unaware")
session = sessions.open_session(sys.argv[1], threads=1)
noise = (0.1 * np.random.default_rng(0).standard_normal((1, 16_000))).astype(np.float32)
np.save(sys.argv[2], session.run(["logits"], {"input_values": noise})[0])
"""


def test_every_byte_weight_stands_beside_its_products() -> None:
    onnx = pytest.importorskip("onnx")
    moved = with_weights_in_bodies(BUILTIN.read_bytes())
    assert moved is not None
    model = onnx.load_from_string(moved)
    assert not [tensor.name for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.INT8]
    assert model.metadata_props == onnx.load(BUILTIN).metadata_props

    def bodies(graph: onnx.GraphProto) -> list[onnx.GraphProto]:
        inner = [attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")]
        return [*inner, *(body for one in inner for body in bodies(one))]

    products = 0
    for body in bodies(model.graph):
        own = {tensor.name for tensor in body.initializer}
        weights = [node.input[1] for node in body.node if node.op_type == "MatMulIntegerToFloat"]
        assert set(weights) == own
        products += len(weights)
    # After the first, which stays; the projector and the TDNN.
    convolutions, layers, voices = 2, 6, 1 + 7
    assert products == convolutions + 1 + 8 + 6 * layers + voices


def test_a_model_without_byte_weights_in_loops_is_left_alone(fake: Path) -> None:
    assert with_weights_in_bodies(fake.read_bytes()) is None
    assert with_weights_in_bodies(b"no model") is None


def test_the_answer_does_not_change(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    expected = sessions.open_session(BUILTIN, threads=1).run(["logits"], {"input_values": NOISE})[0]
    monkeypatch.setattr(sessions, "cpu", lambda: WITHOUT_VNNI)
    for model in (BUILTIN, BUILTIN.read_bytes()):
        answer = sessions.open_session(model, threads=1).run(["logits"], {"input_values": NOISE})[0]
        np.testing.assert_array_equal(answer, expected)
    with pytest.raises(ModelFormatError):
        sessions.open_session(tmp_path / "none.onnx")


@pytest.mark.skipif(EMULATOR is None, reason="needs qemu-x86_64 (Debian package qemu-user), which plays a CPU without VNNI")
def test_a_cpu_without_vnni_gives_the_answer_of_one_that_has_it(tmp_path: Path) -> None:
    """Emulated, because only such a CPU can show it: the plain model saturates there, the one with moved weights does not."""
    expected = sessions.open_session(BUILTIN, threads=1).run(["logits"], {"input_values": NOISE})[0]

    def emulated(awareness: str) -> np.ndarray:
        paths = [sysconfig.get_paths()["purelib"], *(entry for entry in sys.path if entry.endswith(("runtime", "export")))]
        python = str(Path(sys.executable).resolve())
        command = [str(EMULATOR), "-cpu", "Haswell", python, "-c", IN_AN_EMULATOR, str(BUILTIN), str(tmp_path / "answer.npy"), awareness]
        subprocess.run(command, check=True, capture_output=True, env={"PYTHONPATH": ":".join(paths)}, timeout=300)
        answer: np.ndarray = np.load(tmp_path / "answer.npy")
        return answer

    saturated = np.abs(emulated("unaware") - expected).max()
    exact = np.abs(emulated("aware") - expected).max()
    assert saturated > 1e-2
    assert exact < 1e-4
