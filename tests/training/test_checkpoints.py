"""Checkpoints are whole, few, checked, and survive what happens to disks."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from sharpvae.core.files import write_json
from sharpvae.training import checkpoints as module
from sharpvae.training.checkpoints import Checkpoints, read_ticket


class Sayings(list[str]):
    """What somebody was told."""


@pytest.fixture
def said() -> Sayings:
    return Sayings()


@pytest.fixture
def kept(tmp_path: Path, said: Sayings) -> Iterator[Checkpoints]:
    one = Checkpoints(tmp_path / "run", said.append)
    with one.held():
        yield one


def state(step: int, size: int = 1000) -> dict[str, Any]:
    random = torch.Generator().manual_seed(step)
    tensor = torch.randn(size, generator=random).to(torch.bfloat16)
    return {"step": step, "nested": {"tensor": tensor, "list": [1.5, None, "x"]}}


def same(one: dict[str, Any] | None, other: dict[str, Any]) -> bool:
    return (
        one is not None and one["step"] == other["step"]
        and torch.equal(one["nested"]["tensor"], other["nested"]["tensor"])
        and one["nested"]["list"] == other["nested"]["list"]
    )  # fmt: skip


def files(kept: Checkpoints) -> list[Path]:
    return sorted(kept.directory.glob("*.pt"))


def test_what_is_read_is_what_was_written(kept: Checkpoints) -> None:
    assert kept.newest() is None
    assert kept.save(7, state(7))
    assert same(kept.newest(), state(7))


def test_the_newest_two_stay(kept: Checkpoints) -> None:
    for step in (9, 10, 99, 100):
        kept.save(step, state(step))
    assert [int(path.name[:12]) for path in files(kept)] == [99, 100]
    assert same(kept.newest(), state(100))


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "one bit":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    else:
        path.write_bytes(content + b"\0")


@pytest.mark.parametrize("how", ["truncated", "empty", "one bit", "longer"])
def test_a_damaged_one_falls_back_to_the_one_before(kept, said, how: str) -> None:
    kept.save(1, state(1))
    kept.save(2, state(2))
    damage(files(kept)[1], how)
    assert same(kept.newest(), state(1))
    assert len(said) == 1 and "update 2 is damaged" in said[0]
    damage(files(kept)[0], how)
    assert kept.newest() is None, "and from the beginning where both are"
    assert "update 1" in said[1] and files(kept) == []


def test_a_directory_called_like_a_checkpoint_is_none(kept: Checkpoints) -> None:
    kept.save(3, {"x": 3})
    (kept.directory / f"{10**11:012d}-{'0' * 64}.pt").mkdir()
    assert kept.newest() == {"x": 3}


def test_any_bit_matters(kept: Checkpoints) -> None:
    """PyTorch itself would read a file whose tensors are changed."""
    kept.save(1, state(1))
    (path,) = files(kept)
    with zipfile.ZipFile(path) as archive:
        name = next(info for info in archive.infolist() if info.filename.endswith("/data/0"))
        start = name.header_offset + 300
    content = bytearray(path.read_bytes())
    content[start] ^= 4
    path.write_bytes(content)
    assert kept.newest() is None


def test_reading_runs_no_code(kept: Checkpoints, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "broken in"),)

    kept.save(1, state(1))
    kept.save(2, {"evil": Evil()})
    assert same(kept.newest(), state(1))
    assert not (tmp_path / "broken in").exists()


def test_a_write_that_was_cut_off_leaves_nothing_behind(kept: Checkpoints) -> None:
    kept.save(1, state(1))
    (kept.directory / ".unfinished").write_bytes(b"half")
    assert same(kept.newest(), state(1))
    assert not (kept.directory / ".unfinished").exists()


def test_a_full_disk_keeps_the_one_before_and_says_so(kept, said, monkeypatch) -> None:
    kept.save(1, state(1))
    force = os.fsync

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module.os, "fsync", full)
    assert not kept.save(2, state(2))
    monkeypatch.setattr(module.os, "fsync", force)
    assert "No space left" in said[0] and "update 1 stays" in said[0]
    assert same(kept.newest(), state(1))
    assert kept.save(3, state(3)), "and the next one is written once there is room"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own of 1 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a tmpfs needs root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_is_really_full(small_disk: Path, said: Sayings) -> None:
    kept = Checkpoints(small_disk / "run", said.append)
    with kept.held():
        assert kept.save(1, state(1, 150_000))  # 300 kB
        assert kept.save(2, state(2, 150_000))
        assert not kept.save(3, state(3, 400_000))
        assert "update 2 stays" in said[0]
        assert same(kept.newest(), state(2, 150_000))
        assert len(files(kept)) == 2 and len(list(kept.directory.iterdir())) == 2
        assert kept.save(4, state(4, 100_000))
        assert same(kept.newest(), state(4, 100_000))


def test_the_next_one_is_due_after_its_time_and_never_takes_much_of_it(tmp_path: Path) -> None:
    now = [0.0]
    kept = Checkpoints(tmp_path, print, every=60, clock=lambda: now[0])
    kept.newest()
    assert not kept.due()
    now[0] = 60
    assert kept.due()

    def slow(path: Path, state: object) -> str:
        now[0] += 4  # seconds, so that a checkpoint a minute would be 7 % of the time
        path.write_bytes(b"")
        return "0" * 64

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_write", slow)
        kept.save(1, {})
    now[0] = 64 + 199
    assert not kept.due()
    now[0] = 64 + 200
    assert kept.due()


def test_with_no_time_between_them_each_is_due(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path, print, every=0, clock=lambda: 1.0)
    kept.save(1, {})
    assert kept.due()


def test_two_of_the_same_take_turns(tmp_path: Path, said: Sayings) -> None:
    """The second finds the directory gone, which the first removed, and makes it anew."""
    first, second = (Checkpoints(tmp_path / "run", said.append) for _ in range(2))
    inside = threading.Event()

    def wait() -> None:
        with second.held():
            assert second.newest() is None
            inside.set()

    with first.held():
        first.save(1, {"a": 1})
        other = threading.Thread(target=wait)
        other.start()
        assert not inside.wait(0.3)
        first.remove()
    other.join(10)
    assert inside.is_set() and "another process" in said[0]


@pytest.mark.parametrize("identity", ["a", ["a"], {"config": None}, None, 3])
def test_a_ticket_of_other_types_is_none(tmp_path: Path, identity: object) -> None:
    write_json(tmp_path / "training.json", {
        "variant": "a", "seed": 0, "machine": "cpu", "id": "b", "identity": identity,
    })  # fmt: skip
    assert read_ticket(tmp_path) is None
