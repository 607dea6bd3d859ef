"""Starts the processes of one training, on this machine or on those of a SLURM job.

PyTorch's elastic launcher starts and watches them. Each worker leads a session of its own, so that
Ctrl-C in a terminal reaches the launcher alone, which passes SIGINT on to all of them.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import torch

from sharpvae.core.console import INTERRUPTED
from sharpvae.core.errors import UserError
from sharpvae.core.files import scratch_directory
from sharpvae.distributed.processes import ABANDONED, handled

if TYPE_CHECKING:
    from torch.distributed.launcher.api import LaunchConfig

RENDEZVOUS = "SHARPVAE_RENDEZVOUS"  # <host>:<port>, for the launchers on the machines of a job
GRACE = 30  # seconds that PyTorch's launcher gives interrupted processes before it kills them
_ENDED = "all processes have ended"
_FIRST_PORT, _PORTS = 20000, 10000  # below those that Linux hands out by itself, from 32768


def launch(command: list[str], devices: int, nodes: int, place: str) -> None:
    """Run `command` in `devices` processes on each of `nodes` machines, until all have ended.

    With several nodes it calls `srun`, which runs `command` once on each machine of the SLURM job;
    there this function starts the processes of that machine and exits with them.

    Args:
        command: such as `[sys.executable, "-m", "stages.train", variant, seed]`.
        devices: `train.devices`.
        nodes: `train.nodes`.
        place: where tensors live, the key `device`: auto, cpu, cuda ...

    Raises:
        UserError: there are too few GPUs, several machines but no SLURM, or a process failed.
        KeyboardInterrupt: Ctrl-C or SIGTERM, once the processes have ended.
    """
    rendezvous = os.environ.get(RENDEZVOUS)
    if nodes > 1 and rendezvous is None:
        _on_all_machines(command, devices, nodes)
        return
    with _quiet(nodes):
        _check_devices(devices, place)
        _on_this_machine(command, devices, nodes, rendezvous)
    if rendezvous is not None:  # the stage continues only in the process that called srun
        raise SystemExit(0)


def _check_devices(devices: int, place: str) -> None:
    """Raise unless each process can have a device of its own; the CPU can be shared."""
    kind, _, index = place.partition(":")
    cuda = kind == "cuda" or (kind == "auto" and torch.cuda.is_available())
    if devices > 1 and (index or kind == "mps"):
        expected = f"1 with device: {place}, which is one device"
        fix = "set device: cuda, of which each process takes one, or device: cpu"
        raise UserError("train.devices", expected, str(devices), fix)
    if cuda and devices > torch.cuda.device_count():
        expected = f"at most {torch.cuda.device_count()}, the GPUs that PyTorch sees here"
        fix = "set it lower, or look at CUDA_VISIBLE_DEVICES and, under SLURM, at --gpus-per-node"
        raise UserError("train.devices", expected, str(devices), fix)


def _on_all_machines(command: list[str], devices: int, nodes: int) -> None:
    job, machines = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_JOB_NODELIST")
    if not job or not machines:
        run = (
            f"torchrun --nnodes={nodes} --nproc-per-node={devices} --rdzv-backend=c10d "
            f"--rdzv-endpoint=<first machine>:29500 --rdzv-id=sharpvae {' '.join(command[1:])}"
        )
        by_hand = (
            "submit it with sbatch (docs/machines.md), or run the stages before it by `dvc repro "
            f"critic`, then on each machine, in the same folder,\n    {run}\n  and then, once, "
            f"`dvc commit -f train@{'-'.join(command[-2:])}`"
        )
        raise UserError("train.nodes", "1 outside of a SLURM job", str(nodes), by_hand)
    missing = [name for name in ("srun", "scontrol") if shutil.which(name) is None]
    if missing:
        raise UserError("train.nodes", "SLURM's commands on PATH", f"no {' and no '.join(missing)}")
    listing = ["scontrol", "show", "hostnames", machines]
    hosts = subprocess.run(listing, check=True, capture_output=True, text=True).stdout.split()
    if len(hosts) < nodes:
        expected = f"at most {len(hosts)}, the machines of SLURM job {job}"
        raise UserError("train.nodes", expected, str(nodes))
    port = _FIRST_PORT + int(job) % _PORTS
    tasks = [f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
    step = ["srun", *tasks, "--kill-on-bad-exit=1", *command]
    code = _followed(step, {**os.environ, RENDEZVOUS: f"{hosts[0]}:{port}"})
    if code:
        raise UserError("train.nodes", "srun to end well", _ending(code), "see the messages above")


def _followed(step: list[str], environment: dict[str, str]) -> int:
    """The exit code of `step`; a signal reaches it as SIGTERM, since `srun` only reports its state
    at a single SIGINT.
    """
    with _first_signal_raises(KeyboardInterrupt):
        process = subprocess.Popen(step, env=environment, start_new_session=True)
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.terminate()
            try:
                process.wait(2 * GRACE)  # the launchers on the machines take up to one of them
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            raise KeyboardInterrupt(_ENDED) from None


def _on_this_machine(command: list[str], devices: int, nodes: int, rendezvous: str | None) -> None:
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous import RendezvousError
    from torch.distributed.launcher.api import elastic_launch

    interrupted = partial(SignalException, "interrupted", signal.SIGINT)  # which workers are sent
    logs = Path(tempfile.gettempdir()) / f"sharpvae-{os.getuid()}"
    with scratch_directory(logs) as folder, _first_signal_raises(interrupted):
        settings = _settings(devices, nodes, rendezvous, str(folder))
        try:
            elastic_launch(settings, command[0])(*command[1:])
        except SignalException:
            raise KeyboardInterrupt(_ENDED) from None
        except ChildFailedError as error:
            earliest = min(failure.timestamp for failure in error.failures.values())
            soon = {
                rank: failure.exitcode
                for rank, failure in error.failures.items()
                if failure.timestamp < earliest + GRACE // 2  # later ones were killed for it
            }
            raise _verdict(soon, nodes) from None
        except RendezvousError as error:
            expected = f"{nodes} launchers to meet at {rendezvous}"
            found = f"{type(error).__name__}: {error}"
            fix = "see that the machines reach each other by name and that no firewall is between"
            raise UserError("train.nodes", expected, found, fix) from None


def _settings(devices: int, nodes: int, rendezvous: str | None, logs: str) -> LaunchConfig:
    """Of PyTorch's launcher: no restarts, every machine from the start."""
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.launcher.api import LaunchConfig

    meeting: dict[str, object] = {"join_timeout": 300}
    if rendezvous is not None:
        meeting["is_host"] = os.environ.get("SLURM_NODEID") == "0"
    return LaunchConfig(
        min_nodes=nodes,
        max_nodes=nodes,
        nproc_per_node=devices,
        run_id=os.environ.get("SLURM_JOB_ID", "sharpvae"),
        rdzv_backend="c10d",
        rdzv_endpoint=rendezvous or "127.0.0.1:0",
        rdzv_configs=meeting,
        max_restarts=0,
        logs_specs=DefaultLogsSpecs(log_dir=logs),
        local_addr="127.0.0.1" if rendezvous is None else None,
        signals_to_handle="SIGQUIT",  # the others are handled here, see _first_signal_raises
    )


def _verdict(codes: dict[int, int], nodes: int) -> BaseException:
    """What a failed run ends with.

    Args:
        codes: exit code of each process of this machine that failed by itself or was ended for it,
            by rank; negative for a signal.
    """
    where, expected = "train.devices", "every process to come to the end"
    effects = (ABANDONED, -signal.SIGTERM, INTERRUPTED)
    causes = {rank: code for rank, code in sorted(codes.items()) if code not in effects}
    if causes:
        found = ", ".join(f"process {rank} {_ending(code)}" for rank, code in causes.items())
        remedy = "see its message above"
        if -signal.SIGKILL in causes.values():
            remedy = "the system kills what takes too much memory: lower train.batch_size or "
            remedy += "train.devices"
        return UserError(where, expected, found, remedy)
    if INTERRUPTED in codes.values():
        return KeyboardInterrupt(_ENDED)
    if nodes > 1:  # the launcher of the machine where it began has the message
        return SystemExit(ABANDONED)
    lost = f"processes {', '.join(map(str, sorted(codes)))} lost the connection to the others, or "
    return UserError(where, expected, lost + "waited too long for them")


def _ending(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


@contextmanager
def _first_signal_raises(exception: Callable[[], BaseException]) -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP raise once within the block; ignored ones stay so, as in nohup."""
    all_three = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    names = [name for name in all_three if signal.getsignal(name) is not signal.SIG_IGN]

    def handle(number: int, frame: FrameType | None) -> None:
        for name in names:
            signal.signal(name, signal.SIG_IGN)
        raise exception()

    kept = {signal.SIGQUIT: signal.getsignal(signal.SIGQUIT)}  # PyTorch's launcher sets it
    with handled({**dict.fromkeys(names, handle), **kept}):
        yield


@contextmanager
def _quiet(nodes: int) -> Iterator[None]:
    """The environment of the workers, and PyTorch's launcher without its logs."""
    before = dict(os.environ)
    os.environ.setdefault("PYTHONUNBUFFERED", "1")  # or lines would come late and out of order
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    loopback = {name for _, name in socket.if_nameindex()} & {"lo", "lo0"}
    if nodes == 1 and loopback:  # where no other machine takes part
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback.pop())
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(level)
        os.environ.clear()
        os.environ.update(before)
