"""Several processes started for real, on this machine and through a stand-in for SLURM."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from sharpvae.core.errors import UserError
from sharpvae.distributed.launch import INTERRUPTED, _verdict, launch
from sharpvae.distributed.processes import ABANDONED
from tests.processes import REPOSITORY, interruptible

TRAIN = [sys.executable, "-m", "stages.train", "improved", "0"]

# What SLURM's commands do of all that they can: two machines, which are this one twice.
SCONTROL = (
    "#!/bin/sh\n[ \"$*\" = 'show hostnames here[1-2]' ] && printf '127.0.0.1\\nlocalhost\\n'\n"
)
SRUN = """#!{python}
import os, signal, subprocess, sys, time
options = [word for word in sys.argv[1:] if word.startswith("--")]
assert options[:3] == ["--nodes=2", "--ntasks=2", "--ntasks-per-node=1"], options
def stop(*_):
    for task in tasks:
        task.terminate()
tasks = []
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, stop)
for node in range(2):
    environment = os.environ | {{"SLURM_NODEID": str(node)}}
    tasks.append(subprocess.Popen(sys.argv[1 + len(options):], env=environment))
while any(task.poll() is None for task in tasks):
    time.sleep(0.05)
    if "--kill-on-bad-exit=1" in options and any(task.poll() for task in tasks):
        stop()
sys.exit(max(abs(task.wait()) for task in tasks))
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job of two machines."""
    for name, text in (("scontrol", SCONTROL), ("srun", SRUN.format(python=sys.executable))):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", str(10_000 + os.getpid()))
    monkeypatch.setenv("SLURM_JOB_NODELIST", "here[1-2]")


@contextmanager
def stage(place: Path, what: str, nodes: int = 1) -> Iterator[subprocess.Popen[str]]:
    """The stage in miniature, in a folder of its own; killed after the block."""
    script = str(REPOSITORY / "tests/distributed/several.py")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(
        interruptible(sys.executable, "-W", "error", script, what, str(nodes)),
        cwd=place, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, output sorted by line, and errors."""
    output, errors = process.communicate(timeout=60)
    return process.returncode, "\n".join(sorted(output.splitlines())), errors


@pytest.mark.slow
def test_processes_find_each_other_and_the_stage_goes_on(tmp_path: Path) -> None:
    with stage(tmp_path, "well") as process:
        code, output, errors = ended(process)
    assert (code, errors) == (0, "")
    assert output == "0 of 2, 2\n1 of 2, 2\nwritten by the stage"


def test_a_killed_process_ends_the_others_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what a launcher that was killed before left of temporary files is removed."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (tmp_path / f".sharpvae-{os.getuid()}.new.left" / "logs").mkdir(parents=True)
    with stage(tmp_path, "killed") as process:
        code, output, errors = ended(process)
    assert not list(tmp_path.glob(".sharpvae-*"))
    assert code == 1 and "written" not in output
    assert errors.startswith("error: train.devices\n")  # and not the others' complaints
    assert "process 1 was ended by SIGKILL" in errors


@pytest.mark.slow
def test_the_message_of_a_failed_process_stands_first_and_unburied(tmp_path: Path) -> None:
    with stage(tmp_path, "mistake") as process:
        code, _, errors = ended(process)
    assert code == 1
    own, launchers = errors.split("error: ")[1:]
    assert own == "loss.beta\n  expected: a number\n  found:    none\n"
    assert "process 1 ended with exit code 1" in launchers
    assert len(errors.splitlines()) == 7


@pytest.mark.slow
def test_a_fault_of_the_program_keeps_its_traceback(tmp_path: Path) -> None:
    with stage(tmp_path, "fault") as process:
        code, _, errors = ended(process)
    assert code == 1
    assert errors.count("Traceback") == 1 and "IndexError: of the program" in errors


@pytest.mark.parametrize(
    ("nodes", "number"),
    [
        pytest.param(1, signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(1, signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(2, signal.SIGINT, marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("slurm")
def test_an_interrupt_lets_the_first_process_keep_what_there_is(
    tmp_path: Path, nodes: int, number: signal.Signals
) -> None:
    with stage(tmp_path, "long", nodes) as process:
        assert process.stdout is not None
        for _ in range(2):
            assert "of 2" in process.stdout.readline()
        time.sleep(0.5)
        process.send_signal(number)
        process.send_signal(number)  # the impatient do not cut it short
        code, output, errors = ended(process)
    assert code == INTERRUPTED
    assert (tmp_path / "checkpoint").read_text() == "of process 0"
    assert "written" not in output and "Traceback" not in errors and "error:" not in errors


@pytest.mark.slow
@pytest.mark.usefixtures("slurm")
def test_a_slurm_job_runs_them_on_each_machine(tmp_path: Path) -> None:
    with stage(tmp_path, "well", nodes=2) as process:
        code, output, errors = ended(process)
    assert (code, errors) == (0, "")
    assert output == "0 of 2, 2\n1 of 2, 2\nwritten by the stage"


@pytest.mark.slow
@pytest.mark.usefixtures("slurm")
def test_a_process_killed_on_one_machine_ends_the_job(tmp_path: Path) -> None:
    with stage(tmp_path, "killed", nodes=2) as process:
        code, output, errors = ended(process)
    assert code == 1 and "written" not in output
    causes = [part.splitlines()[0] for part in errors.split("error: ")[1:]]
    assert causes == ["train.devices", "train.nodes"]
    assert "process 1 was ended by SIGKILL" in errors


@pytest.mark.usefixtures("slurm")
def test_a_job_of_fewer_machines_is_refused() -> None:
    with pytest.raises(UserError, match=r"train\.nodes(?s:.)*at most 2"):
        launch(TRAIN, 1, 3, "cpu")


def test_without_slurm_the_message_holds_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(UserError) as caught:
        launch(TRAIN, 4, 2, "cuda")
    assert caught.value.where == "train.nodes"
    assert "torchrun --nnodes=2 --nproc-per-node=4" in caught.value.fix
    assert "-m stages.train improved 0\n" in caught.value.fix
    assert "dvc commit -f train@improved-0" in caught.value.fix


@pytest.mark.parametrize(("place", "found"), [("auto", 1), ("cuda", 0), ("cuda:1", 8), ("mps", 0)])
def test_each_process_needs_a_device(
    monkeypatch: pytest.MonkeyPatch, place: str, found: int
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: found > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: found)
    with pytest.raises(UserError, match=r"train\.devices"):
        launch(TRAIN, 2, 1, place)


def test_who_lost_the_others_is_no_cause() -> None:
    found = _verdict({0: ABANDONED, 1: -signal.SIGKILL, 2: -signal.SIGTERM, 3: INTERRUPTED}, 1)
    assert isinstance(found, UserError) and found.found == "process 1 was ended by SIGKILL"
    assert isinstance(_verdict({0: INTERRUPTED, 1: ABANDONED}, 1), KeyboardInterrupt)
    lost = _verdict({0: ABANDONED, 1: ABANDONED}, 1)
    assert isinstance(lost, UserError) and "0, 1 lost the connection" in lost.found
    elsewhere = _verdict({0: ABANDONED}, 2)
    assert isinstance(elsewhere, SystemExit) and elsewhere.code == ABANDONED
