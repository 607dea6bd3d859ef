"""`python -m stages.prepare` as DVC runs it: exit codes, messages, and what survives."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sharpvae.config.experiment import stage_files
from sharpvae.config.resolve import resolve_file
from sharpvae.images.packed import load_card, load_split
from tests.datasets.samples import MIRROR, REPOSITORY, fill
from tests.processes import interruptible

LIMIT = 3.0  # seconds from the start of a stage to the message of a mistake


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A working directory with something already prepared."""
    (tmp_path / "data" / "prepared").mkdir(parents=True)
    (tmp_path / "data" / "prepared" / "old.txt").write_text("from before")
    return tmp_path


def configure(place: Path, **changes: Any) -> None:
    experiment = resolve_file(REPOSITORY / "params.yaml").experiment
    values = stage_files(experiment)["prepare.json"].model_dump()
    minimum = changes.pop("minimum", {"train": 10, "validation": 1, "test": 10})
    values = {"data": {**values["data"], **changes}, "minimum": minimum}
    (place / "configs").mkdir(exist_ok=True)
    (place / "configs" / "prepare.json").write_text(json.dumps(values))


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "SHARPVAE_MIRROR"}
    return {**kept, "PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "error"}


def stage(place: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stages.prepare"],
        cwd=place, capture_output=True, text=True, env=environment(), check=False,
    )  # fmt: skip


def mistake(place: Path) -> str:
    """Run, and hold the stage to the form of a mistake; returns its message."""
    start = time.monotonic()
    done = stage(place)
    assert time.monotonic() - start < LIMIT
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert "expected:" in done.stderr
    assert "found:" in done.stderr
    assert_as_before(place)
    return done.stderr


def assert_as_before(place: Path) -> None:
    assert [path.name for path in (place / "data").iterdir() if path.name != "raw"] == ["prepared"]
    assert [path.name for path in (place / "data" / "prepared").iterdir()] == ["old.txt"]


def test_the_default_data(place: Path) -> None:
    configure(place, subset=300)
    done = stage(place)
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("train", "216 images", "60 images", "24 images", "32 x 32", "grey", "skipped"):
        assert word in done.stdout
    prepared = place / "data" / "prepared"
    assert sorted(path.name for path in prepared.iterdir()) == [
        "card.json", "sheet.png", "test.npy", "test_labels.npy", "train.npy",
        "train_labels.npy", "validation.npy", "validation_labels.npy",
    ]  # fmt: skip
    assert load_card(prepared).counts == {"train": 216, "validation": 24, "test": 60}
    assert load_split(prepared, "train").images.shape == (216, 32, 32, 1)
    first = {path.name: path.read_bytes() for path in prepared.iterdir()}
    assert stage(place).returncode == 0
    assert {path.name: path.read_bytes() for path in prepared.iterdir()} == first


def test_skipped_files_are_shown(place: Path) -> None:
    fill(place / "images", 40)
    for index in range(7):
        (place / "images" / f"bad {index}.png").write_bytes(b"")
    configure(place, name="folder", path="images", test_fraction=0.3)
    done = stage(place)
    assert done.returncode == 0
    assert "7 files" in done.stdout
    assert "skipped bad 0.png: an empty file" in done.stdout
    assert "... and 2 more: data/prepared/card.json" in done.stdout


def test_no_configuration(place: Path) -> None:
    assert "configs/prepare.json" in mistake(place)


def test_an_unknown_dataset(place: Path) -> None:
    configure(place, name="mnist6k")
    assert "did you mean 'mnist5k'?" in mistake(place)


def test_no_path(place: Path) -> None:
    configure(place, name="folder")
    assert mistake(place).startswith("error: data.path\n")


def test_an_empty_folder(place: Path) -> None:
    (place / "images").mkdir()
    configure(place, name="folder", path="images")
    assert mistake(place).startswith("error: images\n")


def test_a_folder_of_two_thousand_broken_images(place: Path) -> None:
    (place / "images").mkdir()
    for index in range(2000):
        (place / "images" / f"{index}.jpg").write_bytes(b"\xff\xd8\xff\xe0 no photograph")
    configure(place, name="folder", path="images")
    assert "none usable of 2000 files" in mistake(place)


def test_a_broken_archive(place: Path) -> None:
    (place / "images.zip").write_bytes(b"PK\x03\x04 and no more")
    configure(place, name="folder", path="images.zip")
    assert mistake(place).startswith("error: images.zip\n")


def test_an_empty_class_folder(place: Path) -> None:
    fill(place / "pets" / "dog", 3)
    (place / "pets" / "cat").mkdir()
    configure(place, name="folder", path="pets")
    assert mistake(place).startswith("error: pets/cat\n")


def test_too_few_images(place: Path) -> None:
    configure(place, subset=100, minimum={"train": 50, "validation": 1, "test": 50})
    message = mistake(place)
    assert message.startswith("error: data.subset\n")
    assert "at least 101 images" in message


@pytest.mark.skipif(not MIRROR.is_dir(), reason="../shared/mirror is not there")
def test_too_few_images_of_a_class_of_full_mnist(place: Path) -> None:
    configure(
        place, name="mnist", mirror=str(MIRROR), classes=["3"],
        minimum={"train": 64, "validation": 1, "test": 2000},
    )  # fmt: skip
    message = mistake(place)
    assert message.startswith("error: data.classes\n")
    assert "1010 (the splits hold" in message


def test_a_mirror_that_is_not_there(place: Path) -> None:
    configure(place, name="mnist", mirror="unmounted")
    assert mistake(place).startswith("error: data.mirror\n")


def test_ctrl_c_leaves_everything_as_it_was(place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never answers
        mirror = f"http://127.0.0.1:{silent.getsockname()[1]}"
        configure(place, name="fashion-mnist", mirror=mirror)
        stage = subprocess.Popen(
            interruptible(sys.executable, "-m", "stages.prepare"),
            cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(),
        )  # fmt: skip
        with stage as process:
            while not list((place / "data").glob(".prepared.*")):
                assert process.poll() is None
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in stderr
    assert_as_before(place)


def test_data_of_the_right_size_is_prepared_without_pytorch(place: Path) -> None:
    """PyTorch takes seconds to import, and padding needs none of it."""
    configure(place, subset=600)
    code = "import sys; from stages.prepare import main; main(); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=place, capture_output=True, text=True, env=environment(), check=False,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1:] == ["False"], done.stderr
