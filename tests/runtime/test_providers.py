"""Other execution providers: chosen by name, compared with the CPU once, refused when they answer otherwise.

No other provider is installed where the tests run, so a stand-in plays one: the CPU's own session under another name.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest

import fake_model
from wavlm_diarizer import Diarizer, providers
from wavlm_diarizer.cache import VARIABLE
from wavlm_diarizer.cli import main
from wavlm_diarizer.errors import MissingExtraError, ModelFormatError, OptionError, VerificationError
from wavlm_diarizer.model_file import SAMPLE

NAME = "OpenVINOExecutionProvider"


class StandIn:
    """A session that says it runs on OpenVINO, and adds ``error`` to every logit of label 0."""

    error = 0.0
    started = True
    opened = 0

    def __init__(self, path: str, sess_options: Any, **_: Any) -> None:
        type(self).opened += 1
        self._session = onnxruntime.InferenceSession(path, sess_options, providers=["CPUExecutionProvider"])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def get_providers(self) -> list[str]:
        return [NAME, "CPUExecutionProvider"] if self.started else ["CPUExecutionProvider"]

    def run(self, *arguments: Any) -> list[Any]:
        logits, *voices = self._session.run(*arguments)
        rng = np.random.default_rng(0)
        return [(logits + type(self).error * rng.standard_normal(logits.shape)).astype(np.float32), *voices]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[StandIn]:
    """An onnxruntime with the stand-in built in, and a cache of its own."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    kind = type("StandIn", (StandIn,), {})
    runtime = SimpleNamespace(InferenceSession=kind, get_available_providers=lambda: [NAME, "CPUExecutionProvider"], __version__="1")
    monkeypatch.setattr(providers, "load_onnxruntime", lambda: runtime)
    return kind


def test_a_provider_that_answers_as_the_cpu_does_is_used(stand_in: type[StandIn]) -> None:
    assert Diarizer(provider="openvino")(SAMPLE) == Diarizer()(SAMPLE)
    assert stand_in.opened == 1


def test_a_provider_that_answers_otherwise_is_refused_every_time(stand_in: type[StandIn], capsys: pytest.CaptureFixture[str]) -> None:
    stand_in.error = 2.0
    for _ in range(2):
        with pytest.raises(VerificationError, match="answers otherwise than the CPU on the built-in model"):
            Diarizer(provider="openvino")
    assert main(["diarize", "--sample", "--provider", "openvino"]) == 1
    assert "use the CPU" in capsys.readouterr().err


def test_it_is_compared_once(stand_in: type[StandIn], monkeypatch: pytest.MonkeyPatch) -> None:
    Diarizer(provider=NAME)
    monkeypatch.setattr(providers, "compare", lambda *_: pytest.fail("compared twice"))
    Diarizer(provider="OpenVINO")
    assert stand_in.opened == 2


def test_a_folders_fp32_file_is_the_one_that_other_providers_get(stand_in: type[StandIn], tmp_path: Path) -> None:
    for name, precision in (("model.onnx", "fp32"), ("model_quantized.onnx", "int8")):
        fake_model.write(tmp_path / "model" / "onnx" / name, fake_model.settings(precision=precision).to_metadata())
    assert Diarizer(tmp_path / "model", provider="openvino").settings.precision == "fp32"
    assert Diarizer(tmp_path / "model", provider="openvino", precision="int8").settings.precision == "int8"
    assert stand_in.opened == 2


def test_a_provider_that_does_not_start_is_not_taken_for_the_cpu(stand_in: type[StandIn]) -> None:
    stand_in.started = False
    with pytest.raises(ModelFormatError, match="did not start here"):
        Diarizer(provider="openvino")


@pytest.mark.parametrize(("provider", "package"), [("openvino", "onnxruntime-ep-openvino"), ("cuda", "onnxruntime-gpu")])
def test_a_provider_that_is_not_installed_names_its_package(provider: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, f"onnxruntime_ep_{provider}", None)
    with pytest.raises(MissingExtraError, match=f"pip install {package}"):
        Diarizer(provider=provider)


def test_a_name_that_is_no_provider_is_refused() -> None:
    with pytest.raises(OptionError, match="There is no provider 'gpu'; there are cpu, openvino"):
        Diarizer(provider="gpu")
    assert Diarizer(provider="CPU").settings == Diarizer().settings


@pytest.mark.parametrize("devices", [0, 1])
def test_a_plugin_package_is_registered_and_its_devices_asked_for(devices: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plugin = ModuleType("onnxruntime_ep_openvino")
    plugin.get_library_path = lambda: "/library"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, plugin.__name__, plugin)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    registered: list[Any] = []
    added: list[Any] = []

    def known() -> list[Any]:
        return [SimpleNamespace(ep_name=NAME)] * devices if registered else []

    runtime = SimpleNamespace(
        InferenceSession=StandIn,
        get_available_providers=lambda: ["CPUExecutionProvider"],
        register_execution_provider_library=lambda *arguments: registered.append(arguments),
        get_ep_devices=known,
        __version__="1",
    )
    options = onnxruntime.SessionOptions

    class Options(options):  # type: ignore[misc, valid-type]
        def add_provider_for_devices(self, *arguments: Any) -> None:
            added.append(arguments)

    monkeypatch.setattr(providers, "load_onnxruntime", lambda: runtime)
    monkeypatch.setattr(providers, "session_options", lambda **_: Options())
    if devices:
        Diarizer(provider="openvino")
        assert len(added) == 1
    else:
        with pytest.raises(MissingExtraError, match="finds no device on this machine"):
            Diarizer(provider="openvino")
    assert registered == [(NAME, "/library")]
