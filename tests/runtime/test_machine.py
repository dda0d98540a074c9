from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from wavlm_diarizer import machine
from wavlm_diarizer.machine import Cpu


def cgroup(tmp_path: Path, files: dict[str, str], process: str) -> tuple[Path, Path]:
    root = tmp_path / "cgroup"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    own = tmp_path / "self"
    own.write_text(process)
    return root, own


@pytest.mark.parametrize(
    ("files", "process", "cores"),
    [
        ({"cpu.max": "150000 100000\n"}, "0::/\n", 1.5),
        ({"cpu.max": "max 100000\n"}, "0::/\n", None),
        ({"a/b/cpu.max": "max 100000\n", "a/cpu.max": "200000 100000\n"}, "0::/a/b\n", 2.0),
        ({"cpu,cpuacct/box/cpu.cfs_quota_us": "50000\n", "cpu,cpuacct/box/cpu.cfs_period_us": "100000\n"}, "3:cpu,cpuacct:/box\n", 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, "3:cpu,cpuacct:/box\n", None),
        ({"cpu.max": "nonsense"}, "0::/\n", None),
        ({}, "", None),
    ],
)
def test_the_quota_is_read_from_either_version_of_cgroups(tmp_path: Path, files: dict[str, str], process: str, cores: float | None) -> None:
    assert machine.cgroup_quota(*cgroup(tmp_path, files, process)) == cores


def test_without_cgroups_there_is_no_quota(tmp_path: Path) -> None:
    assert machine.cgroup_quota(tmp_path / "none", tmp_path / "none") is None


@pytest.mark.parametrize(("quota", "affinity", "cores"), [(None, 8, 8), (2.0, 8, 2), (3.9, 8, 3), (0.5, 8, 1), (16.0, 4, 4)])
def test_threads_are_the_lesser_of_affinity_and_quota(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, affinity: int, cores: int
) -> None:
    monkeypatch.setattr(machine, "cgroup_quota", lambda: quota)
    monkeypatch.setattr(machine, "affinity_cores", lambda: affinity)
    assert machine.usable_cores() == cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no CPU affinity")
def test_the_affinity_of_the_process_is_respected() -> None:
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); from wavlm_diarizer import machine; print(machine.usable_cores())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "1"


def test_where_there_is_no_affinity_all_cores_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert machine.affinity_cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert machine.affinity_cores() == 1


def look(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, flags: str | None, system: str = "linux") -> Cpu:
    info = tmp_path / "cpuinfo"
    if flags is not None:
        info.write_text(f"processor : 0\nflags\t\t: {flags}\n")
    monkeypatch.setattr(machine, "CPU_INFO", info)
    monkeypatch.setattr(platform, "machine", lambda: kind)
    monkeypatch.setattr(sys, "platform", system)
    return machine.cpu.__wrapped__()


@pytest.mark.parametrize(
    ("flags", "vnni", "saturates"),
    [("sse avx2", False, True), ("avx2 avx512f", False, True), ("avx2 avx_vnni", True, False), ("avx2 avx512f avx512_vnni", True, False)],
)
def test_linux_tells_whether_int8_may_saturate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: str, vnni: bool, saturates: bool
) -> None:
    cpu = look(monkeypatch, tmp_path, "x86_64", flags)
    assert (cpu.kind, cpu.avx2, cpu.vnni, cpu.may_saturate) == ("x86", True, vnni, saturates)


@pytest.mark.parametrize("kind", ["aarch64", "arm64", "ARM64"])
def test_arm_never_saturates(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str) -> None:
    assert not look(monkeypatch, tmp_path, kind, None).may_saturate


def test_an_intel_mac_is_asked_by_sysctl(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answer = subprocess.CompletedProcess([], 0, stdout="FPU SSE4.2 AVX1.0\nAVX2 AVX512F AVX512VNNI\n")
    monkeypatch.setattr(machine.subprocess, "run", lambda *_a, **_k: answer)
    cpu = look(monkeypatch, tmp_path, "x86_64", None, system="darwin")
    assert (cpu.avx2, cpu.avx512, cpu.vnni) == (True, True, True)


def test_a_mac_without_sysctl_falls_back_to_numpy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(*_a: object, **_k: object) -> None:
        raise FileNotFoundError("sysctl")

    monkeypatch.setattr(machine.subprocess, "run", missing)
    monkeypatch.setattr(machine, "_numpy_cpu", lambda: Cpu("x86", avx2=True, avx512=False, vnni=None))
    assert look(monkeypatch, tmp_path, "x86_64", None, system="darwin").may_saturate


@pytest.mark.parametrize(("found", "vnni"), [(["AVX2"], None), (["AVX2", "AVX512F", "AVX512_ICL"], True)])
def test_windows_falls_back_to_what_numpy_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, found: list[str], vnni: bool | None
) -> None:
    import numpy as np

    monkeypatch.setattr(np, "show_config", lambda **_k: {"SIMD Extensions": {"baseline": ["SSE"], "found": found}})
    cpu = look(monkeypatch, tmp_path, "AMD64", None, system="win32")
    assert (cpu.avx2, cpu.vnni) == (True, vnni)


def test_what_cannot_be_found_out_counts_as_a_cpu_that_saturates(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import numpy as np

    monkeypatch.setattr(np, "show_config", lambda **_k: None)
    assert look(monkeypatch, tmp_path, "AMD64", None, system="win32") == Cpu("x86", avx2=None, avx512=None, vnni=None)
    assert Cpu("x86", avx2=None, avx512=None, vnni=None).may_saturate


def test_an_unknown_kind_of_cpu_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert look(monkeypatch, tmp_path, "riscv64", None) == Cpu("riscv64", avx2=None, avx512=None, vnni=None)
