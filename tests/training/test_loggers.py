"""Loggers: what each is told arrives where its reader looks for it, once, and nothing else."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sharpvae.core.errors import UserError
from sharpvae.training.config import LoggingConfig
from sharpvae.training.loggers import (
    DvcLiveLogger,
    LoggedRun,
    Logger,
    TensorBoardLogger,
    WandbLogger,
    open_loggers,
)
from sharpvae.training.loop import Epoch
from tests.training.records import epoch_record, training
from tests.training.wandb_file import records

HISTORY = [
    epoch_record(1),
    epoch_record(2, fid=31.25),
    epoch_record(3, train={"mse": 1.5, "adversarial": 0.1, "loss": float("nan")}),
]


def config(**some: object) -> LoggingConfig:
    off = {"every": 2, "dvclive": False, "tensorboard": False, "wandb": None}
    return LoggingConfig.model_validate({**off, **some})


def tree(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def tell(logger: Logger, epochs: int, steps: int, done: int = 0, until: int | None = None) -> None:
    """All records of a training between two numbers of updates."""
    for record in training(epochs, steps, done=done):
        if until is not None and record.step > until:
            return
        logger.epoch(record) if isinstance(record, Epoch) else logger.step(record)


@pytest.fixture
def paintings(tmp_path: Path) -> tuple[Path, Path]:
    """A reconstruction and a sample, grey, 6 by 4 pixels."""
    paths = tmp_path / "reconstruction.png", tmp_path / "sample.png"
    for value, path in enumerate(paths, 1):
        Image.fromarray(np.full((4, 6), 100 * value, np.uint8)).save(path)
    return paths


# DVCLive


def test_dvclive_writes_a_row_an_epoch_of_each_curve(tmp_path: Path) -> None:
    logger = DvcLiveLogger(tmp_path / "live")
    for record in HISTORY:
        logger.epoch(record)
    curves = tmp_path / "live/plots/metrics"
    assert (curves / "validation/fid.tsv").read_text() == "step\tfid\n2\t31.25\n"
    assert (curves / "train/loss.tsv").read_text().splitlines()[-1] == "3\tnan"
    assert (curves / "train/adversarial.tsv").read_text() == "step\tadversarial\n3\t0.1\n"
    rows = (curves / "validation/kl.tsv").read_text().splitlines()
    assert rows == ["step\tkl", "1\t3.0", "2\t4.0", "3\t5.0"]
    names = {str(path.relative_to(curves)) for path in curves.rglob("*.tsv")}
    assert {"schedule/beta.tsv", "schedule/lr.tsv", "train/gradient.tsv",
            "validation/active_units.tsv"} <= names  # fmt: skip
    latest = json.loads((tmp_path / "live/metrics.json").read_text())
    assert latest["step"] == 3 and latest["train"]["adversarial"] == 0.1


def test_dvclive_shows_each_epoch_as_soon_as_it_is_told(tmp_path: Path) -> None:
    logger = DvcLiveLogger(tmp_path / "live")
    for count, record in enumerate(HISTORY, 1):
        logger.epoch(record)
        assert len((tmp_path / "live/plots/metrics/train/mse.tsv").read_text().splitlines()) == (
            1 + count
        )
        assert json.loads((tmp_path / "live/metrics.json").read_text())["step"] == count


def test_the_dimensions_are_ranked_by_their_kl(tmp_path: Path) -> None:
    DvcLiveLogger(tmp_path).epoch(epoch_record(1, kl_per_dimension=[0.0, 2.0, 0.25, 2.0]))
    assert (tmp_path / "kl_per_dimension.csv").read_text() == (
        "rank,dimension,nats\n1,1,2\n2,3,2\n3,2,0.25\n4,0,0\n"
    )


@pytest.mark.parametrize("interrupted", [0, 1, 2, 3])
def test_a_replayed_history_gives_the_bytes_of_an_uninterrupted_training(
    tmp_path: Path, interrupted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where an earlier training's curves lie, and the environment asks to go on from them."""
    whole = DvcLiveLogger(tmp_path / "whole")
    tell_epochs(whole, HISTORY)
    DvcLiveLogger(tmp_path / "again").epoch(epoch_record(9, train={"old": 1.0, "loss": 1.0}))
    monkeypatch.setenv("DVCLIVE_RESUME", "true")
    again = DvcLiveLogger(tmp_path / "again")
    again.replay(HISTORY[:interrupted])
    tell_epochs(again, HISTORY[interrupted:])
    assert tree(tmp_path / "again") == tree(tmp_path / "whole")


def tell_epochs(logger: Logger, history: list[Epoch]) -> None:
    for step in training(1, 4):  # which a resumed training does not do again
        if not isinstance(step, Epoch):
            logger.step(step)
    for record in history:
        logger.epoch(record)


def test_a_history_read_back_from_eight_digits_gives_the_same_curves(tmp_path: Path) -> None:
    exact = epoch_record(1, train={"mse": 1 / 3, "loss": 2 / 3})
    read = epoch_record(1, train={"mse": float(f"{1 / 3:.8g}"), "loss": float(f"{2 / 3:.8g}")})
    for name, record in (("exact", exact), ("read", read)):
        DvcLiveLogger(tmp_path / name).replay([record])
    assert tree(tmp_path / "exact/plots") == tree(tmp_path / "read/plots")


def test_dvclive_leaves_git_dvc_network_and_terminal_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As in the middle of `dvc exp run` by somebody with a token of DVC Studio."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    before = tree(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "DVC_ROOT": str(tmp_path), "DVC_EXP_BASELINE_REV": "0" * 40, "DVC_EXP_NAME": "mine",
        "DVC_STUDIO_TOKEN": "secret", "DVC_STUDIO_REPO_URL": "git@localhost:a/b.git",
        "DVC_STUDIO_URL": "http://127.0.0.1:9",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("the network was used"))
    threads = threading.active_count()
    with open_loggers(config(dvclive=True), logged(tmp_path)) as (logger,):
        for record in HISTORY:
            logger.epoch(record)
    assert threading.active_count() == threads
    after = {name: data for name, data in tree(tmp_path).items() if not name.startswith("live/")}
    assert after == before
    assert capfd.readouterr() == ("", "")


# TensorBoard


def accumulated(directory: Path) -> Any:
    """What TensorBoard's reader makes of the events in `directory`."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader = EventAccumulator(str(directory), size_guidance={"scalars": 0, "images": 0})
    return reader.Reload()


def test_tensorboard_is_told_everything(tmp_path: Path, paintings: tuple[Path, Path]) -> None:
    logger = TensorBoardLogger(tmp_path / "events", 0)
    tell(logger, epochs=2, steps=4)
    logger.pictures(2, 8, *paintings)
    shown = accumulated(tmp_path / "events")  # flushed, though nothing is closed yet
    logger.close(failed=False)
    losses = [(point.step, point.value) for point in shown.Scalars("updates/loss")]
    assert losses == [(n, pytest.approx(1 / n)) for n in (2, 4, 6, 8)]
    kl = [(point.step, point.value) for point in shown.Scalars("validation/kl")]
    assert kl == [(4, 3.0), (8, 4.0)]
    assert shown.Histograms("latent/kl_per_dimension")[-1].histogram_value.num == 3
    picture = shown.Images("pictures/samples")[0]
    assert (picture.step, picture.width, picture.height) == (8, 6, 4)


def test_tensorboard_shows_each_update_once_after_an_interruption(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, 0)
    tell(logger, epochs=3, steps=4, until=10)  # died there, with a checkpoint after the sixth
    logger.close(failed=True)
    logger = TensorBoardLogger(tmp_path, 6)
    tell(logger, epochs=3, steps=4, done=6)
    logger.close(failed=False)
    shown = accumulated(tmp_path)
    assert [p.step for p in shown.Scalars("updates/loss")] == [2, 4, 6, 8, 10, 12]
    assert [p.step for p in shown.Scalars("train/mse")] == [4, 8, 12]


def test_tensorboard_starts_anew_without_the_curves_of_the_last_training(tmp_path: Path) -> None:
    for epochs in (3, 1):
        logger = TensorBoardLogger(tmp_path, 0)
        tell(logger, epochs, steps=4)
        logger.close(failed=False)
    assert [p.step for p in accumulated(tmp_path).Scalars("train/mse")] == [4]


# Weights & Biases

# In a process of its own, for W&B keeps a service and a session for as long as a process lives.
_OFFLINE = """
import sys
from pathlib import Path
from sharpvae.training.loggers import LoggedRun, WandbLogger
from sharpvae.training.loop import Epoch, Step
place, picture = Path(sys.argv[1]), Path(sys.argv[2])
settings = {"loss.beta": 0.5, "widths": [1, 2]}
logger = WandbLogger(LoggedRun("improved", 0, "an-id", place, place, settings), "offline")
logger.pictures(0, 0, picture, picture)
logger.step(Step(1, 2, 2, 2, 8, {"loss": 0.5, "lr": 0.001}))
logger.epoch(Epoch(1, 2, {"mse": 2.0}, {"kl": 3.0}, [0.0, 1.0, 1.0], 2, 31.25, 1.0, 0.001, 0.5,
                   True, True, False))
logger.close(failed=False)
"""


def test_wandb_offline_needs_neither_network_nor_login_and_is_told_everything(
    tmp_path: Path, paintings: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", _OFFLINE, tmp_path / "logs", paintings[0]],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        with pytest.raises(BlockingIOError):  # nobody has knocked
            server.accept()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (file,) = tmp_path.glob("logs/wandb/offline-run-*-an-id/run-an-id.wandb")
    kept = list(records(file))
    (run,) = (record.run for record in kept if record.HasField("run"))
    assert (run.run_id, run.project, run.display_name) == ("an-id", "sharpvae", "improved-0")
    settings = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert settings["loss.beta"] == 0.5 and settings["widths"] == [1, 2]
    logged: dict[str, Any] = {}
    for record in kept:
        for item in record.history.item if record.HasField("history") else ():
            logged["/".join([item.key or "", *item.nested_key]).lstrip("/")] = item.value_json
    for name, value in {
        "update": 2, "updates/loss": 0.5, "epoch": 1, "train/mse": 2, "validation/kl": 3,
        "validation/active_units": 2, "validation/fid": 31.25, "train/gradient": 0.5, "film": 0,
        "pictures/samples/_type": "image-file",
    }.items():  # fmt: skip
        assert json.loads(logged[name]) == value
    assert sum(json.loads(logged["latent/kl_per_dimension/values"])) == 3


def test_wandb_online_without_a_login_says_so_and_asks_nobody(tmp_path: Path) -> None:
    code = "from pathlib import Path\n" + _OFFLINE.replace('"offline"', '"online"').replace(
        "from sharpvae", "from sharpvae.core.errors import UserError\nfrom sharpvae", 1
    ).replace("logger = ", "try: logger = ").replace(
        "logger.pictures", "except UserError as e: print(e); raise SystemExit(3)\nlogger.pictures"
    )
    environment = {
        "PATH": "", "HOME": str(tmp_path), "WANDB_BASE_URL": "http://127.0.0.1:9",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, tmp_path / "logs", tmp_path],
        env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "logging.wandb" in done.stdout and "wandb login" in done.stdout
    assert "no key was found" in done.stdout


class FakeWandb:
    """As much of W&B as the logger asks for; a resumed run comes with its summary."""

    class errors:  # noqa: N801
        class Error(Exception):
            """As wandb.errors.Error."""

    def __init__(self, summary: dict[str, float], refuses: str = "") -> None:
        self.summary, self.refuses = summary, refuses
        self.logged: list[dict[str, Any]] = []
        self.exit_code: int | None = None

    def init(self, **asked: Any) -> FakeWandb:
        if self.refuses:
            raise self.errors.Error(self.refuses)
        self.asked = asked
        return self

    def Settings(self, **_: Any) -> None:  # noqa: N802
        """As wandb.Settings."""

    def setup(self, **_: Any) -> None:
        """As wandb.setup."""

    def login(self, prompt: bool) -> bool:
        return not prompt

    def define_metric(self, *_: Any, **__: Any) -> None:
        """As Run.define_metric."""

    def Histogram(self, values: list[float]) -> list[float]:  # noqa: N802
        return values

    def log(self, values: dict[str, Any]) -> None:
        self.logged.append(values)

    def finish(self, exit_code: int) -> None:
        self.exit_code = exit_code


def test_wandb_is_not_told_again_what_it_knew_before_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeWandb({"update": 10, "epoch": 2})
    monkeypatch.setitem(sys.modules, "wandb", fake)  # type: ignore[arg-type]
    logger = WandbLogger(LoggedRun("improved", 0, "an-id", tmp_path, tmp_path), "online")
    tell(logger, epochs=3, steps=4, done=6)
    assert [row["update"] for row in fake.logged if "update" in row] == [12]
    assert [row["epoch"] for row in fake.logged if "epoch" in row] == [3]
    assert (fake.asked["id"], fake.asked["resume"], fake.asked["mode"]) == (
        "an-id", "allow", "online",
    )  # fmt: skip


def test_wandb_that_cannot_be_reached_is_a_mistake_of_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", FakeWandb({}, "timed out"))  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"logging\.wandb[\s\S]*timed out[\s\S]*offline"):
        WandbLogger(LoggedRun("improved", 0, "an-id", tmp_path, tmp_path), "online")


# All of them


def logged(root: Path, **some: Any) -> LoggedRun:
    return LoggedRun("improved", 3, "id", root / "live", root / "logs", **some)


@pytest.mark.parametrize(
    ("key", "value", "package"),
    [("dvclive", True, "dvclive"), ("tensorboard", True, "tensorboard"),
     ("wandb", "offline", "wandb")],
)  # fmt: skip
def test_a_missing_package_names_its_key_and_its_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: object, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # type: ignore[arg-type]
    for imported in ("dvclive.live", "torch.utils.tensorboard"):
        monkeypatch.delitem(sys.modules, imported, raising=False)
    with pytest.raises(UserError) as caught, open_loggers(
        config(**{key: value}), logged(tmp_path)
    ):  # fmt: skip
        pass
    assert caught.value.where == f"logging.{key}"
    assert "pip install -e" in caught.value.fix and f"logging.{key}: " in caught.value.fix
    assert not (tmp_path / "live").exists()


def test_what_is_off_is_not_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from sharpvae.training.loggers import *\n"
        "from sharpvae.training.config import LoggingConfig\n"
        "off = LoggingConfig(every=1, dvclive=False, tensorboard=False, wandb=None)\n"
        "with open_loggers(off, LoggedRun('v', 0, 'id', Path(), Path())): pass\n"
        "print(sorted({'dvclive', 'tensorboard', 'wandb', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_all_are_told_and_closed_and_learn_whether_the_training_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error, code in ((None, 0), (KeyboardInterrupt, 1)):
        fake = FakeWandb({})
        monkeypatch.setitem(sys.modules, "wandb", fake)  # type: ignore[arg-type]
        logging = config(dvclive=True, tensorboard=True, wandb="offline")
        run = logged(tmp_path, settings={"loss.beta": 1.0})
        try:
            with open_loggers(logging, run) as loggers:
                for logger in loggers:
                    tell(logger, epochs=2, steps=3)
                if error is not None:
                    raise error
        except KeyboardInterrupt:
            pass
        assert fake.exit_code == code
        assert fake.asked["name"] == "improved-3" and fake.asked["config"] == {"loss.beta": 1.0}
        assert [row["update"] for row in fake.logged if "update" in row] == [2, 4, 6]
        assert "2\t" in (tmp_path / "live/plots/metrics/train/mse.tsv").read_text()
        events = accumulated(tmp_path / "logs/tensorboard/improved/3/id")
        assert len(events.Scalars("updates/loss")) == 3


def test_loggers_that_were_open_are_closed_when_the_next_one_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[bool] = []
    monkeypatch.setattr(DvcLiveLogger, "close", lambda self, failed: closed.append(failed))
    monkeypatch.setitem(sys.modules, "wandb", None)  # type: ignore[arg-type]
    with pytest.raises(UserError), open_loggers(
        config(dvclive=True, wandb="offline"), logged(tmp_path)
    ):  # fmt: skip
        pass
    assert closed == [True]
