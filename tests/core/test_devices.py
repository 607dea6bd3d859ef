"""What tensors gave back is used again, where malloc is glibc's."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from sharpvae.core import devices
from tests.processes import REPOSITORY

GLIBC = sys.platform == "linux" and hasattr(ctypes.CDLL(None), "gnu_get_libc_version")

# Updates of a small network, after ten to warm up; prints page faults an update and the weights.
UPDATES = """
import resource, sys, torch
from sharpvae.core.devices import keep_memory
if sys.argv[1] == "keep":
    assert keep_memory()
torch.set_num_threads(1)
torch.manual_seed(0)
network = torch.nn.Sequential(
    torch.nn.Conv2d(1, 32, 3), torch.nn.ReLU(), torch.nn.Conv2d(32, 1, 3)
)
images = torch.rand(64, 1, 48, 48)
optimizer = torch.optim.Adam(network.parameters())
def update():
    optimizer.zero_grad()
    network(images).square().mean().backward()
    optimizer.step()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    update()
before = faults()
for _ in range(20):
    update()
print((faults() - before) / 20, [weight.sum().item().hex() for weight in network.parameters()])
"""


def run(setting: str) -> tuple[float, str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", UPDATES, setting],
        capture_output=True, text=True, cwd=REPOSITORY,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    faults, weights = done.stdout.split(maxsplit=1)
    return float(faults), weights


@pytest.mark.skipif(not GLIBC, reason="only glibc's malloc has these settings")
def test_an_update_touches_no_fresh_memory_and_gives_the_same_weights() -> None:
    (eager, weights), (kept, same) = run("give back"), run("keep")
    assert eager > 1000  # or the setting would have nothing to mend
    assert kept < eager / 50
    assert same == weights


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices.sys, "platform", "darwin")
    assert devices.keep_memory() is False


@pytest.mark.skipif(sys.platform != "linux", reason="asks which C library Linux has")
def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices.ctypes, "CDLL", lambda name: object())
    assert devices.keep_memory() is False
