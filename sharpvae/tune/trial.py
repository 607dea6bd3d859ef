"""One trial: a folder in which the stages train, sample and score one choice of settings."""

from __future__ import annotations

import ctypes
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from sharpvae.config.experiment import VariantConfig, stage_files
from sharpvae.core.artefacts import Artefact, Finite, load_artefact
from sharpvae.core.devices import select
from sharpvae.core.errors import UserError
from sharpvae.core.files import write_json
from sharpvae.core.threads import use_threads
from sharpvae.images.packed import load_card
from sharpvae.training.checkpoints import FOLDER, NAMES, read_state, step_of
from sharpvae.training.config import TrainStage
from sharpvae.training.run import FIRST
from sharpvae.tune.rungs import Rungs
from sharpvae.tune.space import Space, worst

RUNGS = (25, 50)  # percent of the updates after which a trial is compared with others
DONE = 100
STAGES = {"train": "models", "sample": "data/samples", "evaluate": "reports/scores"}
RECORD, LOG = "trial.json", "trial.log"
SHARED = ("data/prepared", "models/critic", "models/reference")  # which all trials read
_POLL = 0.2  # seconds
_COURTESY = 30.0  # seconds in which a training writes its last checkpoint
_CHECKPOINTS = 1.0  # seconds from one to the next, so that there is one near each rung
_LIBRARY = Path(__file__).parents[2]
_DIE = 1  # PR_SET_PDEATHSIG

Status = Literal["running", "stopped", "done", "failed"]
UNFINISHED = ("running", "failed")  # which the next call tries again


class Record(NamedTuple):
    """trial.json

    Attributes:
        values: dotted key -> what was tried.
        status: `stopped` early, as worse than others at `progress`.
        scores: objective -> value: of evaluate where `done`, of the last rung otherwise.
        progress: percent of the updates.
        seconds: of all runs.
        why: it failed.
    """

    number: int
    values: dict[str, Any]
    status: Status
    scores: dict[str, float]
    progress: int
    seconds: float
    why: str = ""


class Validated(Artefact):
    """scores.json, of which a search looks at no score of the test split."""

    validation: dict[str, Finite | None]


class Run:
    """The stages of a trial, one after the other, as processes of their own.

    What a stage has written is not computed again; a training goes on from its last checkpoint.
    Samples of N(0, I) are scored here, without `sample` and `evaluate`, which do more than that.
    A process ends, with a last checkpoint, where this one dies (on Linux).

    Args:
        root: the repository, whose prepared images, critic and judges are read.
        place: the folder of this trial.
        number: counted from 1.
        values: dotted key -> setting.

    Raises:
        UserError: a variant with these settings cannot be trained.
    """

    def __init__(
        self, space: Space, root: Path, place: Path, number: int, values: Mapping[str, Any]
    ) -> None:
        self.space, self.place, self.number = space, place, number
        self.values, self.variant = dict(values), space.config.variant
        resolved = space.resolved(values)
        self.settings: VariantConfig = resolved.experiment.variants[self.variant]
        self.metrics, self.device = resolved.experiment.metrics, resolved.experiment.device
        self._lay(root, stage_files(resolved.experiment))
        self.waiting = list(STAGES)
        self.process: subprocess.Popen[bytes] | None = None  # of the first of these
        self.rungs: Rungs | None = None
        earlier = read_record(self.place)
        self.spent = 0.0 if earlier is None else earlier.seconds
        self.progress = 0 if earlier is None else min(earlier.progress, max(RUNGS))
        self.began = time.monotonic()
        self.scores: dict[str, float] = {}
        self._write("running")

    def _lay(self, root: Path, files: Mapping[str, Any]) -> None:
        for name in SHARED:
            link = self.place / name
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(root.resolve() / name)
        for name, stage in files.items():
            path = self.place / "configs" / name
            if not name.startswith(f"{self.variant}/"):
                continue
            if isinstance(stage, TrainStage):
                often = stage.train.model_copy(update={"checkpoint_every": _CHECKPOINTS})
                quiet = {"dvclive": False, "tensorboard": False, "wandb": None}
                logging = stage.logging.model_copy(update=quiet)
                stage = self.stage = stage.model_copy(update={"train": often, "logging": logging})
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, stage.model_dump())

    def _output(self, stage: str) -> Path:
        return self.place / STAGES[stage] / self.variant / str(self.space.training)

    def next(self) -> Record:
        """Go on to the next rung, or to the end: the record of it, also written.

        Raises:
            UserError: a stage failed; the last lines of its log.
        """
        while self.waiting:
            stage = self.waiting[0]
            if self.process is None and not self._output(stage).exists():
                self.process = self._start(stage)
            while self.process is not None and self.process.poll() is None:
                if stage == "train" and (rung := self._rung()):
                    return rung
                time.sleep(_POLL)
            code = 0 if self.process is None else self.process.returncode
            self.process = None
            if code:
                why = _last_lines(self.place / LOG)
                self._write("failed", why)
                fix = f"see {self.place / LOG}; --resume tries it again"
                raise UserError(f"trial {self.number}", f"{stage} to end well", why, fix)
            self.waiting.pop(0)
            if stage == "train" and self.settings.sample.prior == "normal":
                scores = self._judge().at_the_end(self._output("train"))
                return self._reached(DONE, scores, "done")
        scored = load_artefact(self._output("evaluate") / "scores.json", Validated)
        return self._reached(DONE, scored.validation, "done")

    def _start(self, stage: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"stages.{stage}", self.variant, str(self.space.training)]
        paths = [str(_LIBRARY), os.environ.get("PYTHONPATH", "")]
        own = {key: value for key, value in os.environ.items() if key != "DVC_ROOT"}
        with (self.place / LOG).open("ab") as log:
            return subprocess.Popen(
                command, cwd=self.place, env=own | {"PYTHONPATH": os.pathsep.join(paths)},
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                preexec_fn=_end_with_parent,
            )  # fmt: skip

    def _rung(self) -> Record | None:
        """The record of the next rung, where a checkpoint has come to it."""
        found = list(self.place.glob(f"{FOLDER}/*/{NAMES}"))
        if self.stage.before is not None:  # until that is done there is nothing to compare
            found = [path for path in found if path.with_name(FIRST).exists()]
        newest = max(found, default=None)
        images = load_card(self.place / "data/prepared").counts["train"]
        total = self.stage.train.span(images).steps
        share = 0 if newest is None else DONE * step_of(newest) // total
        passed = [rung for rung in RUNGS if self.progress < rung <= share]
        state = read_state(newest) if newest is not None and passed else None
        if state is None:  # or a newer one has taken its place in the meantime
            return None
        return self._reached(max(passed), self._judge()(state), "running")

    def _judge(self) -> Rungs:
        if self.rungs is None:
            use_threads(self.stage.threads)  # as the stages; sums in others end in other bits
            self.rungs = Rungs(
                self.stage, self.settings.sample, self.metrics, self.place, self.space.training,
                select(self.device),
            )  # fmt: skip
        return self.rungs

    def _reached(self, progress: int, scores: Mapping[str, float | None], status: Status) -> Record:
        """A score that does not exist counts as the worst."""
        self.progress = progress
        self.scores = {}
        for name in self.space.config.objectives:
            value = scores.get(name)
            self.scores[name] = worst(name) if value is None else value
        return self._write(status)

    def _write(self, status: Status, why: str = "") -> Record:
        seconds = round(self.spent + time.monotonic() - self.began, 1)
        told = {name: value for name, value in self.scores.items() if math.isfinite(value)}
        record = Record(self.number, self.values, status, told, self.progress, seconds, why)
        write_record(self.place, record)
        return record

    def stop(self) -> None:
        """End the stage that runs, which saves what it has."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(_COURTESY)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None


def place(folder: Path, number: int) -> Path:
    """The folder of one trial below that of all."""
    return folder / f"{number:04d}"


def read_record(place: Path) -> Record | None:
    """What a trial has written of itself; None before it began."""
    path = place / RECORD
    return load_artefact(path, Record) if path.exists() else None


def write_record(place: Path, record: Record) -> None:
    """Write trial.json."""
    write_json(place / RECORD, record._asdict())


def records(folder: Path) -> list[Record]:
    """Of all trials, in their order."""
    found = (read_record(path.parent) for path in sorted(folder.glob(f"*/{RECORD}")))
    return [record for record in found if record is not None]


_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def _end_with_parent() -> None:
    """In a new process: have SIGTERM sent when the parent is gone, however it went."""
    if _LIBC is not None:
        _LIBC.prctl(_DIE, signal.SIGTERM)


def _last_lines(log: Path, count: int = 6) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return "\n".join(lines[-count:]) or "no output"
