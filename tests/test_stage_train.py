"""A training as a stage: whatever stops it, the next one goes on to the same bytes."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch._inductor.exc import InvalidCxxCompiler

from sharpvae.core.console import exit_code
from sharpvae.core.errors import UserError
from sharpvae.core.files import read_json
from sharpvae.trained.model import load
from sharpvae.vae.config import ModelConfig
from sharpvae.vae.vae import VAE
from stages import train
from tests.processes import interruptible
from tests.toy import environment, passes, stage, toy

EPOCHS = 6


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything before the training of `improved`, which takes EPOCHS epochs."""
    place = toy(tmp_path_factory.mktemp("toy"))
    for name in ("configure", "prepare", "critic"):
        passes(place, name)
    alter(place, updates=None, epochs=EPOCHS, checkpoint_every=0.0, ema=0.9)
    return place


@pytest.fixture(scope="module")
def expected(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The outputs of a training that nothing interrupted, and that writes no checkpoints."""
    place = tmp_path_factory.mktemp("whole") / "copy"
    shutil.copytree(prepared, place)
    alter(place, checkpoint_every=1e6)
    passes(place, "train", "improved", "0")
    assert outputs(place)
    return outputs(place)


@pytest.fixture
def place(prepared: Path, tmp_path: Path) -> Path:
    shutil.copytree(prepared, tmp_path / "copy")
    return tmp_path / "copy"


def alter(place: Path, **keys: object) -> None:
    """Change keys of the section train in what `configure` wrote, or `logging` as a whole."""
    path = place / "configs/improved/train.json"
    config = json.loads(path.read_text())
    for key, value in keys.items():
        section = config if key in config else config["train"]
        assert key in section
        section[key] = value
    path.write_text(json.dumps(config))


def outputs(place: Path) -> dict[str, bytes]:
    """Every file that the stage promises, by its place, but the one that says how long it took."""
    return {
        str(path.relative_to(place)): path.read_bytes()
        for folder in ("models/improved/0", "reports/film/improved/0", "reports/live/improved/0")
        for path in sorted((place / folder).rglob("*"))
        if path.is_file() and path.name != "cost.json"
    }


@contextmanager
def training(place: Path) -> Iterator[subprocess.Popen[str]]:
    """A training under way, its words on a pipe."""
    command = interruptible(sys.executable, "-u", "-m", "stages.train", "improved", "0")
    with subprocess.Popen(
        command, cwd=place, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    ) as process:  # fmt: skip
        yield process


def until(process: subprocess.Popen[str], words: str) -> list[str]:
    """Read its lines up to one with these words."""
    lines = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if words in line:
            return lines
    raise AssertionError("".join(lines))


def checkpoints(place: Path) -> list[Path]:
    return sorted(place.glob(".checkpoints/*/*.pt"))


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_an_interrupted_training_goes_on_to_the_same_bytes(place, expected, number) -> None:
    alter(place, checkpoint_every=1e6)  # so that the only checkpoint is that of the interruption
    with training(place) as process:
        until(process, "epoch   2/6")
        process.send_signal(number)
        _, complaint = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted: in epoch" in complaint and "dvc repro" in complaint
    assert "Traceback" not in complaint
    assert not (place / "models/improved/0").exists(), "nothing half done is put out"
    (checkpoint,) = checkpoints(place)
    assert load(checkpoint, "cpu").image_size == 16, "it can be looked at"
    spent = json.loads((checkpoint.parent / "seconds.json").read_text())["seconds"]
    said = passes(place, "train", "improved", "0")
    assert "going on from the checkpoint at update" in said and "epoch   1/6" not in said
    cost = json.loads((place / "reports/live/improved/0/cost.json").read_text())
    assert cost["seconds"] > spent > 0, "of both parts"
    assert "cpu" in cost["device"]
    assert outputs(place) == expected
    assert not list((place / ".checkpoints").iterdir()), "removed on success, so that -f retrains"


@pytest.mark.slow
def test_a_finished_training_starts_over_when_it_is_forced(place, expected) -> None:
    for _ in range(2):
        said = passes(place, "train", "improved", "0")
        assert "going on" not in said and "epoch   1/6" in said
    assert outputs(place) == expected


def killed(place: Path, when: str) -> None:
    with training(place) as process:
        until(process, when)
        process.kill()


@pytest.mark.slow
def test_a_damaged_checkpoint_falls_back_to_the_one_before(place, expected) -> None:
    killed(place, "epoch   3/6")
    newest = checkpoints(place)[-1]
    newest.write_bytes(newest.read_bytes()[:-100])
    said = passes(place, "train", "improved", "0")
    assert f"update {int(newest.name[:12])} is damaged" in said and "going on from" in said
    assert outputs(place) == expected


@pytest.mark.slow
def test_a_changed_training_never_goes_on_from_an_old_one(place) -> None:
    killed(place, "epoch   2/6")
    alter(place, lr=0.002)
    said = passes(place, "train", "improved", "0")
    assert "going on" not in said and "but since then config changed" in said
    assert checkpoints(place), "the other one's are still there"


@pytest.mark.slow
def test_the_same_bytes_whatever_omp_num_threads_says(place, expected) -> None:
    def trained(threads: int, said: str) -> dict[str, bytes]:
        alter(place, threads=threads, checkpoint_every=1e6)
        command = [sys.executable, "-m", "stages.train", "improved", "0"]
        own = {**environment(), "OMP_NUM_THREADS": said}
        subprocess.run(command, cwd=place, env=own, check=True, capture_output=True)
        cost = read_json(place / "reports/live/improved/0/cost.json")
        assert cost["device"] == f"cpu ({threads} threads)"
        return outputs(place)

    assert trained(1, "2") == expected, "the toy's own number, where the shell said 1"
    assert trained(2, "1") == trained(2, "2")


@pytest.mark.slow
def test_who_watches_may_change_in_between(place, expected) -> None:
    killed(place, "epoch   2/6")
    alter(place, logging={"every": 7, "dvclive": True, "tensorboard": True, "wandb": None})
    assert "going on" in passes(place, "train", "improved", "0")
    assert outputs(place) == expected
    assert list((place / "logs/tensorboard/improved/0").iterdir())


def begin_with(place: Path, **keys: object) -> None:
    """Let `improved` be trained first as it is, but for two epochs and these keys."""
    path = place / "configs/improved/train.json"
    config = json.loads(path.read_text())
    config["before"] = {"loss": config["loss"], "train": {**config["train"], "epochs": 2, **keys}}
    path.write_text(json.dumps(config))


def test_what_is_trained_first_is_where_the_rest_begins(place, tmp_path) -> None:
    alone = tmp_path / "alone"
    shutil.copytree(place, alone)
    alter(alone, epochs=2, ema=0.0)
    passes(alone, "train", "improved", "0")
    begin_with(place, ema=0.0)
    alter(place, lr=1e-12, scheduler="none")  # from there it does not move
    said = passes(place, "train", "improved", "0")
    assert said.index("training improved, first") < said.index("training improved, seed 0")
    found, expected = (
        load_file(folder / "models/improved/0/weights.safetensors") for folder in (place, alone)
    )
    for name, value in expected.items():
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(found[name], value, rtol=0, atol=1e-6)
    assert not list((place / ".checkpoints").iterdir())


@pytest.mark.slow
def test_both_parts_go_on_where_they_were_interrupted(place, tmp_path) -> None:
    begin_with(place)
    whole = tmp_path / "whole"
    shutil.copytree(place, whole)
    passes(whole, "train", "improved", "0")
    for when, goes_on in (("epoch   1/2", 1), ("epoch   2/6", 2)):
        with training(place) as process:
            until(process, when)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
        assert process.returncode == 130, goes_on
    spent = [read_json(path)["seconds"] for path in place.glob(".checkpoints/*/seconds.json")]
    said = passes(place, "train", "improved", "0")
    assert "first" not in said, "that part is done"
    assert outputs(place) == outputs(whole)
    cost = read_json(place / "reports/live/improved/0/cost.json")
    assert cost["seconds"] > max(spent) > 0, "of both parts"


@pytest.mark.slow
def test_two_processes_train_both_parts(place) -> None:
    begin_with(place, devices=2)
    alter(place, devices=2)
    said = passes(place, "train", "improved", "0")
    assert said.count("first, as `before` says") == 1
    assert outputs(place)


def test_checkpoints_lie_in_the_repository_that_dvc_was_called_in(place, tmp_path) -> None:
    """As in `dvc exp run --temp`, whose own folder is gone afterwards."""
    repository = tmp_path / "repository"
    repository.mkdir()
    command = [sys.executable, "-u", "-m", "stages.train", "improved", "0"]
    with subprocess.Popen(
        command, cwd=place, env={**environment(), "DVC_ROOT": str(repository)},
        stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        until(process, "epoch   2/6")
        process.kill()
    assert not (place / ".checkpoints").exists()
    assert len(checkpoints(repository)) == 2


def test_a_training_whose_dvc_has_died_ends_with_a_checkpoint(place, expected) -> None:
    """Or it would go on writing what the next `dvc repro` removes."""
    command = [sys.executable, "-m", "stages.train", "improved", "0"]
    program = f"import subprocess; subprocess.run({command!r})"
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=place, stdout=subprocess.PIPE, text=True,
        stderr=subprocess.STDOUT, env={**environment(), "DVC_ROOT": str(place)},
    ) as dvc:  # fmt: skip
        until(dvc, "epoch")
        dvc.kill()
        assert dvc.stdout is not None
        assert "interrupted: in epoch" in dvc.stdout.read(), "which ends with the training"
    assert checkpoints(place)
    assert "going on from" in passes(place, "train", "improved", "0")
    assert outputs(place) == expected


def test_what_is_not_finite_can_be_seen_again(place) -> None:
    alter(place, lr=1e30)
    done = stage(place, "train", "improved", "0")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    (evidence,) = place.glob(".checkpoints/*/not_finite.pt")
    assert evidence.name in done.stderr and "epoch 1" in done.stderr
    found = torch.load(evidence, weights_only=True)
    config = read_json(place / "configs/improved/train.json")
    vae = VAE(ModelConfig.model_validate(config["model"]), 1, 16)
    vae.load_state_dict(found["vae"])
    assert all(weight.isfinite().all() for weight in vae.parameters())
    images, noise = found["images"], found["noise"]
    assert found["lr"] == 1e30 and images.shape == (32, 1, 16, 16) and noise.shape == (32, 512)
    reconstructions, posterior = vae.train()(images, noise)
    terms = (reconstructions, posterior.mean.square(), posterior.log_var.exp())
    assert not all(term.sum().isfinite() for term in terms), "and here it is"


def test_a_full_disk_is_told_and_loses_nothing(place, monkeypatch, capsys) -> None:
    """The film lies on the same disk as the checkpoints, and cannot do without."""
    monkeypatch.chdir(place)
    save = Image.Image.save

    def full(image: Image.Image, path: Path) -> None:
        if path.name == "2.png":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        save(image, path)

    monkeypatch.setattr(Image.Image, "save", full)
    assert exit_code(lambda: train.main("improved", "0")) == 1
    assert "the disk is full" in capsys.readouterr().err
    assert checkpoints(place), "the next one goes on from here"


@pytest.mark.parametrize("folder", ["models", "reports/film"])
def test_an_output_that_cannot_be_written_is_told_before_the_training(
    place, monkeypatch, capsys, folder: str
) -> None:
    monkeypatch.chdir(place)
    Path(folder).mkdir(parents=True, exist_ok=True)
    Path(folder, "improved").write_text("no folder")
    assert exit_code(lambda: train.main("improved", "0")) == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith(f"error: {folder}/improved")


def test_a_network_that_no_memory_holds_is_told(place, monkeypatch, capsys) -> None:
    path = place / "configs/improved/train.json"
    config = json.loads(path.read_text())
    config["model"]["widths"] = [1_000_000, 1_000_000]  # whose weights between them take 64 TB
    path.write_text(json.dumps(config))
    monkeypatch.chdir(place)
    assert exit_code(lambda: train.main("improved", "0")) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: variants.improved.train.batch_size\n")
    assert "weights, gradients and Adam" in said and "model.width_scale" in said


def test_a_compiler_that_is_missing_is_told(place, monkeypatch) -> None:
    alter(place, compile=True)
    monkeypatch.chdir(place)

    def compiled(*_: object, **__: object) -> object:
        def broken(*_: object) -> object:
            raise InvalidCxxCompiler

        return broken

    monkeypatch.setattr(torch, "compile", compiled)
    with pytest.raises(UserError, match=r"improved\.train\.compile"):
        train.main("improved", "0")


@pytest.mark.slow
def test_a_posterior_that_collapses_is_told_with_the_knob(place) -> None:
    path = place / "configs/improved/train.json"
    config = json.loads(path.read_text())
    config["loss"]["beta"] = 1e4
    config["loss"]["schedules"]["beta"]["length"] = 0.0
    path.write_text(json.dumps(config))
    said = passes(place, "train", "improved", "0")
    assert said.count("warning: posterior collapse") == 1
    assert "lower loss.beta (now 10000)" in said


@pytest.mark.slow
def test_two_processes_train_as_one(place, expected) -> None:
    """Through the launcher; and again where Ctrl-C came in between."""
    alter(place, devices=2)
    passes(place, "train", "improved", "0")
    whole = outputs(place)
    assert whole.keys() == expected.keys()
    losses = [rows(files["models/improved/0/history.csv"]) for files in (whole, expected)]
    for key, value in losses[1].items():
        assert losses[0][key] == pytest.approx(value, rel=0.02, abs=0.02), key
    shutil.rmtree(place / "models/improved")
    alter(place, checkpoint_every=1e6)
    with training(place) as process:
        until(process, "epoch   2/6")
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in complaint, complaint
    assert complaint.count("dvc repro goes on from here") == 1
    said = passes(place, "train", "improved", "0")
    assert said.count("going on from the checkpoint") == 1
    assert outputs(place) == whole


def rows(history: bytes) -> dict[str, float]:
    """Losses of history.csv, by epoch and split."""
    split = (line.split(",") for line in history.decode().splitlines()[1:])
    return {f"{epoch} {of}": float(v) for epoch, _, of, term, v in split if term == "loss"}


@pytest.mark.slow
def test_a_dead_process_ends_the_others_with_a_clear_error(place) -> None:
    alter(place, devices=2, epochs=100_000)
    with training(place) as process:
        until(process, "epoch   1/")
        workers = psutil.Process(process.pid).children()
        newest = max(workers, key=lambda worker: worker.create_time())
        newest.kill()
        began = time.monotonic()
        _, complaint = process.communicate(timeout=60)
    assert time.monotonic() - began < 30
    assert process.returncode == 1 and "Traceback" not in complaint, complaint
    assert "train.devices" in complaint and "was ended by SIGKILL" in complaint


@pytest.mark.slow
def test_a_mistake_that_all_processes_make_is_told_once(place) -> None:
    alter(place, devices=2, lr=1e30)
    done = stage(place, "train", "improved", "0")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.count("a finite number") == 1, done.stderr
    assert len(list(place.glob(".checkpoints/*/not_finite.pt"))) == 1
