"""What all tests share: the fake model, the markers' conditions, and versions in the report's header."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

import fake_model

try:
    from hypothesis import settings
except ImportError:  # the tests of the wheel alone have no need of it
    pass
else:
    # By default an example that takes 0.2 s fails, as any does on a machine that has other things to do.
    settings.register_profile("untimed", deadline=None)
    settings.load_profile("untimed")

RECORDINGS = "WAVLM_DIARIZER_RECORDINGS"


def pytest_report_header() -> str:
    """The versions that matter when a figure changes."""

    def of(name: str) -> str:
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            return f"{name} missing"

    names = ("onnxruntime", "numpy", "soxr", "soundfile", "onnx", "torch", "transformers", "optimum", "optimum-onnx", "av")
    return ", ".join(map(of, names))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs something that is not here."""
    for item in items:
        if item.get_closest_marker("recordings") and not os.environ.get(RECORDINGS):
            item.add_marker(pytest.mark.skip(reason=f"set {RECORDINGS} to the folder of fetched recordings"))
        if item.get_closest_marker("hub") and not os.environ.get("WAVLM_DIARIZER_HUB_TESTS"):
            item.add_marker(pytest.mark.skip(reason="set WAVLM_DIARIZER_HUB_TESTS=1 where the hub or its cache can be reached"))


@pytest.fixture(scope="session")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fake model as a file that this project exported."""
    return fake_model.write(tmp_path_factory.mktemp("fake") / "model.onnx", fake_model.settings().to_metadata())


@pytest.fixture(scope="session")
def fake_with_voices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fake model with a speaker head."""
    path = tmp_path_factory.mktemp("fake") / "voices.onnx"
    return fake_model.write(path, fake_model.voice_settings().to_metadata(), voices=True)


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of fetched recordings (``real/``, ``single/``, ``mix/``)."""
    return Path(os.environ[RECORDINGS])
