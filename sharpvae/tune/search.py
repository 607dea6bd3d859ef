"""The search itself: Ray Tune runs the trials, Optuna chooses them, ASHA gives up on some."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

# Read when Ray is imported: no report to its makers, no output of its own.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import optuna
import ray
from ray import tune
from ray.tune.schedulers import AsyncHyperBandScheduler
from ray.tune.search.optuna import OptunaSearch

from sharpvae.config.tune import Range
from sharpvae.core.errors import UserError
from sharpvae.tune.space import OBJECTIVES, Space, rounded, text, worst
from sharpvae.tune.trial import (
    DONE,
    RUNGS,
    UNFINISHED,
    Record,
    Run,
    place,
    read_record,
    records,
    write_record,
)

RAY = "ray"  # the folder of Ray's own state while it runs, beside those of the trials
STUDY = "search"
_KEEP = 2  # one in so many goes on at each rung
_AT_RANDOM = 8  # trials before the first that learns from them
_RETRIES = 2  # of a trial whose worker died


class Limits(NamedTuple):
    """When a search ends, and where it runs."""

    trials: int
    seconds: float | None
    jobs: int  # trials at a time
    address: str | None  # of a Ray cluster whose machines share this folder; None: this machine


class Trial(tune.Trainable):
    """A trial as Ray drives it: a step is the way to the next rung."""

    run: Run | None = None

    def setup(  # type: ignore[override]
        self, config: dict[str, Any], space: Space, root: Path, folder: Path
    ) -> None:
        """Lay its folder, or find it as an earlier call left it."""
        number = number_of(self.trial_name)
        values, own = decoded(space, config), place(folder, number)
        try:
            self.run = Run(space, root, own, number, values)
        except UserError as error:  # each value is possible, but not these together
            write_record(own, Record(number, values, "failed", {}, 0, 0.0, str(error)))
            raise

    def step(self) -> dict[str, Any]:
        """Scores at the next rung or at the end."""
        assert self.run is not None
        record = self.run.next()
        return {**self.run.scores, "progress": record.progress, "done": record.progress == DONE}

    def cleanup(self) -> None:
        """End what still runs, after the last step, when given up and on an interruption."""
        if self.run is not None:
            self.run.stop()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: the folder of the trial has everything."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing, for the same reason."""


class _Told(tune.Callback):
    """Notes which trials were given up, and hands each that ended to a function."""

    def __init__(self, folder: Path, on_end: Callable[[Record], None]) -> None:
        self.folder, self.on_end = folder, on_end

    def _tell(self, trial: Any) -> None:
        folder = place(self.folder, number_of(str(trial)))
        record = read_record(folder)
        if record is None:
            return
        if record.status == "running":
            record = record._replace(status="stopped")
            write_record(folder, record)
        self.on_end(record)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Of one that came to its end or was given up."""
        self._tell(trial)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Of one that failed for good."""
        self._tell(trial)


class _Optuna(OptunaSearch):
    """Optuna, which is told of trials that were given up, too: see `values`."""

    def __init__(self, objectives: Sequence[str], **settings: Any) -> None:
        super().__init__(**settings)
        self.objectives = objectives

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell Optuna the objectives, or that the trial failed."""
        if not result or "progress" not in result:  # it came to no rung
            super().on_trial_complete(trial_id, None, error)
            return
        told = values(self.objectives, result, result["progress"] == DONE)
        super().on_trial_complete(trial_id, dict(zip(self.objectives, told, strict=True)), error)


def values(objectives: Sequence[str], scores: Mapping[str, Any], done: bool) -> list[float]:
    """What Optuna is told of a trial.

    One that was given up counts by the score for which it was, that of fewer samples and updates,
    and as the worst in the other: noise may have any blur.
    """
    known = objectives if done else objectives[:1]
    return [scores.get(name, worst(name)) if name in known else worst(name) for name in objectives]


def _naming(space: Space, earlier: Sequence[Record]) -> Callable[[Any], str]:
    """How trials are called: `trial_7` is the seventh, and again where it was cut off."""
    first = max((record.number for record in earlier), default=0)
    unfinished = (record for record in earlier if record.status in UNFINISHED)
    known = {_key(encoded(space, record.values)): record.number for record in unfinished}

    def name(trial: Any) -> str:
        # Called on copies, so that it cannot count; the tag begins with the number in this call.
        counted = first + int(trial.experiment_tag.partition("_")[0])
        return f"trial_{known.get(_key(trial.config), counted)}"

    return name


def _key(values: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={text(rounded(value))}" for key, value in sorted(values.items()))


def number_of(name: str) -> int:
    """The number in the name of a trial."""
    return int(name.rpartition("_")[2])


def search(
    space: Space, root: Path, folder: Path, limits: Limits, on_end: Callable[[Record], None]
) -> bool:
    """Run trials until there are enough, or the time is up.

    Those that `folder` holds from an earlier call count; what was cut off or failed is tried again,
    from its last checkpoint.

    Args:
        root: the repository, whose prepared images, critic and judges all trials read.
        folder: gets a folder for each trial.
        on_end: called as each trial ends.

    Returns:
        Whether it came to its end, if by the time; False after Ctrl-C.

    Raises:
        UserError: no cluster answers at the address.
    """
    earlier = records(folder)
    wanted = limits.trials - sum(record.status not in UNFINISHED for record in earlier)
    if wanted < 1:
        return True
    _connect(limits)
    path, began = (folder / RAY).resolve(), time.monotonic()
    try:
        trainable = tune.with_resources(
            tune.with_parameters(Trial, space=space, root=root.resolve(), folder=folder.resolve()),
            {"cpu": 1, "gpu": 1} if ray.cluster_resources().get("GPU") else {"cpu": 1},
        )
        tune.Tuner(
            trainable,
            tune_config=_tuning(space, limits._replace(trials=wanted), earlier),
            run_config=tune.RunConfig(
                name=RAY,
                storage_path=str(path.parent),
                failure_config=tune.FailureConfig(max_failures=_RETRIES),
                callbacks=[_Told(folder, on_end)],
                verbose=0,
            ),
        ).fit()
    finally:
        ray.shutdown()
        shutil.rmtree(path, ignore_errors=True)  # trial.json has all, and is no pickle
    if limits.seconds is not None and time.monotonic() - began >= limits.seconds:
        return True
    return all(record.status != "running" for record in records(folder))


def _connect(limits: Limits) -> None:
    """To a cluster, or to a Ray of this machine alone."""
    own: dict[str, Any] = {"num_cpus": limits.jobs, "include_dashboard": False}
    where = {"address": limits.address} if limits.address else {"address": "local", **own}
    try:
        ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as error:
        found, fix = " ".join(str(error).split())[:200], "start one: ray start --head"
        raise UserError("--address", "a Ray cluster", found, fix) from None


def _tuning(space: Space, limits: Limits, earlier: Sequence[Record]) -> tune.TuneConfig:
    names = space.config.objectives
    modes = ["max" if OBJECTIVES[name] else "min" for name in names]
    seed = space.config.seed + len(earlier)  # where trials were drawn before, others are drawn
    sampler: optuna.samplers.BaseSampler = (
        optuna.samplers.TPESampler(
            n_startup_trials=_AT_RANDOM,
            seed=seed,
            multivariate=True,  # settings that are good together, as a batch and its lr
            constant_liar=True,  # trials at a time keep away from each other
        )
        if space.config.sampler == "tpe"
        else optuna.samplers.RandomSampler(seed)
    )
    storage, one = optuna.storages.InMemoryStorage(), len(names) == 1
    study(space, earlier, storage)
    chosen = _Optuna(
        names, space=distributions(space), metric=names[0] if one else names,
        mode=modes[0] if one else modes, sampler=sampler, storage=storage, study_name=STUDY,
    )  # fmt: skip
    return tune.TuneConfig(
        search_alg=chosen,
        # By the first objective alone: ASHA knows one.
        scheduler=AsyncHyperBandScheduler(
            time_attr="progress", metric=names[0], mode=modes[0], max_t=DONE,
            grace_period=min(RUNGS), reduction_factor=_KEEP,
        ),
        num_samples=limits.trials,
        max_concurrent_trials=limits.jobs,
        time_budget_s=limits.seconds,
        trial_name_creator=_naming(space, earlier),
        trial_dirname_creator=str,
    )  # fmt: skip


def study(
    space: Space, earlier: Sequence[Record], storage: optuna.storages.BaseStorage | None = None
) -> optuna.Study:
    """Optuna's view of trials: those that ended, as `values`; those cut off to be tried again."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    names = space.config.objectives
    ways = optuna.study.StudyDirection
    directions = [ways.MAXIMIZE if OBJECTIVES[name] else ways.MINIMIZE for name in names]
    found = optuna.create_study(storage=storage, study_name=STUDY, directions=directions)
    for record in earlier:
        if record.status in ("done", "stopped"):
            found.add_trial(
                optuna.trial.create_trial(
                    params=encoded(space, record.values), distributions=distributions(space),
                    values=values(names, record.scores, record.status == "done"),
                )
            )  # fmt: skip
        elif record.status in UNFINISHED:
            found.enqueue_trial(encoded(space, record.values))
    return found


def encoded(space: Space, values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as Optuna knows them: the place in a list of numbers in order, else the text."""
    found = dict(values)
    for key, known in space.config.space.items():
        if isinstance(known, list):
            found[key] = known.index(values[key]) if ordered(known) else text(values[key])
    return found


def decoded(space: Space, values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as params.yaml has them, numbers rounded."""
    found = {key: rounded(value) for key, value in values.items()}
    for key, known in space.config.space.items():
        if isinstance(known, list):
            choices = known if ordered(known) else {text(choice): choice for choice in known}
            found[key] = choices[found[key]]
    return found


def ordered(choices: list[Any]) -> bool:
    """Whether they are numbers that rise or fall: what is near a good one is then likely good."""
    if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in choices):
        return False
    steps = [after - before for before, after in pairwise(choices)]
    return min(steps) > 0 or max(steps) < 0


def distributions(space: Space) -> dict[str, optuna.distributions.BaseDistribution]:
    """Dotted key -> what Optuna draws it from."""
    return {key: distribution(values) for key, values in space.config.space.items()}


def distribution(values: Range | list[Any]) -> optuna.distributions.BaseDistribution:
    """The same for Optuna."""
    if isinstance(values, list):  # Optuna's choices are single values, and widths are lists
        if ordered(values):
            return optuna.distributions.IntDistribution(0, len(values) - 1)
        return optuna.distributions.CategoricalDistribution(list(map(text, values)))
    if values.whole:
        return optuna.distributions.IntDistribution(
            int(values.low), int(values.high), log=values.log
        )
    return optuna.distributions.FloatDistribution(
        float(values.low), float(values.high), log=values.log
    )
