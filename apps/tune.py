"""Search for better settings of a variant: many trainings, the bad ones given up early.

sharpvae tune                          20 trials of what `tune` in params.yaml describes
sharpvae tune --trials 100 --time 8h   until there are 100, or eight hours are over
sharpvae tune --resume                 go on after Ctrl-C, a crash or a reboot
sharpvae tune --apply                  write the best trial's settings into params.yaml

Trials lie in experiments/tune/, the results in reports/tune/. Only validation images are used.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from apps import command
from sharpvae.config.names import STUDIES, Studies, read_settings
from sharpvae.core.console import bar, exit_code
from sharpvae.core.errors import UserError

if TYPE_CHECKING:
    from sharpvae.tune.trial import Record

WIDTH = 100  # columns where there is no terminal
PARAMS, FOLDER, REPORTS = Path("params.yaml"), Path("experiments/tune"), Path("reports/tune")
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
MISSING = "install the extra: pip install 'sharpvae[tune]'"


def parser() -> argparse.ArgumentParser:
    """What `sharpvae tune` takes."""
    made = command.parser("tune", __doc__)
    made.add_argument("--trials", type=int, default=20, help="how many at most; 20 unless given")
    made.add_argument("--time", type=_seconds, help="how long at most: 90s, 30m, 8h, 2d")
    made.add_argument("-j", "--jobs", type=int, default=1, help="trials at the same time")
    made.add_argument("--address", help="of a Ray cluster that shares this folder, or auto")
    made.add_argument("--resume", action="store_true", help="go on with the search that is there")
    made.add_argument("--apply", action="store_true", help="the best trial into params.yaml")
    return made


def main(arguments: Sequence[str]) -> int:
    """Search; the exit code is 1 after a mistake that the user can mend."""
    made = parser()
    options = made.parse_args(arguments)
    if options.trials < 1 or options.jobs < 1:
        made.error("--trials, --jobs: at least 1")

    def work() -> None:
        if options.apply and FOLDER.exists() and not options.resume:
            apply_best()
            return
        serve(options.trials, options.time, options.jobs, options.address, options.resume)
        if options.apply:
            apply_best()

    return exit_code(work, "sharpvae tune --resume goes on from here")


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if found is None:
        raise ValueError
    return float(found[1]) * UNITS[found[2]]


def serve(trials: int, seconds: float | None, jobs: int, address: str | None, resume: bool) -> None:
    """Search, and write reports/tune/.

    Raises:
        UserError: a mistake in params.yaml, before anything is trained; a search lies there
            already, or none does with --resume; no trial came to its end.
        KeyboardInterrupt: after Ctrl-C; what was found so far is written.
    """
    missing = [name for name in ("ray", "optuna") if find_spec(name) is None]
    if missing:
        none = f"no {' and no '.join(missing)}"
        raise UserError("sharpvae tune", "Ray Tune and Optuna", none, MISSING)
    from sharpvae.tune import results, search
    from sharpvae.tune.space import command as write_command
    from sharpvae.tune.space import read_space
    from sharpvae.tune.trial import UNFINISHED, records

    space = read_space(read_settings(PARAMS), Studies(Path(STUDIES)))
    _require_place(resume)
    if address is None:
        command.warn_of_crowding(WIDTH, jobs)
    shared()
    before = sum(record.status not in UNFINISHED for record in records(FOLDER))
    with bar("search", trials, "trials", start=before) as progress:

        def ended(record: Record) -> None:
            progress.line(_told(record))
            progress.advance()

        limits = search.Limits(trials, seconds, jobs, address)
        complete = search.search(space, Path(), FOLDER, limits, ended)
    found = results.Results(space, records(FOLDER))
    if not found.records:
        raise UserError("sharpvae tune", "trials", "none began", "see the messages above")
    results.write(found, REPORTS)
    command.say(WIDTH, results.sentence(found))
    kept = results.front(found)
    if kept:
        best = write_command(space.params, space.config.variant, kept[0].values)
        command.say(WIDTH, f"\nTrial {kept[0].number} by DVC:\n{best}\n", wrap=False)
    command.say(WIDTH, f"{REPORTS / results.PAGE}", wrap=False)
    if not complete:
        raise KeyboardInterrupt
    failed = [record for record in found.records if record.status == "failed"]
    if failed and not kept:
        first = failed[0]
        where, fix = f"trial {first.number}", f"see {FOLDER}/{first.number:04d}/trial.log"
        raise UserError(where, "a training that ends well", first.why, fix)


def _require_place(resume: bool) -> None:
    """UserError where an earlier search would be lost, or none is there to go on with."""
    there = any(FOLDER.glob("*/trial.json"))
    if there and not resume:
        fix = f"go on with it: --resume; or remove it: rm -r {FOLDER}"
        raise UserError(str(FOLDER), "no earlier search", "one that is there", fix)
    if resume and not there:
        raise UserError(str(FOLDER), "a search to go on with", "none", "leave out --resume")


def shared() -> None:
    """Run what all trials share: images, critic, judges.

    Raises:
        UserError: one of these stages failed; its own message is on the terminal.
    """
    dvc = [sys.executable, "-m", "dvc", "repro", "prepare", "critic", "reference"]
    done = subprocess.run(dvc)
    if done.returncode:
        fix = "mend what it says above"
        raise UserError("dvc repro", "success", f"exit code {done.returncode}", fix)


def _told(record: Record) -> str:
    from sharpvae.tune.space import text

    scores = ", ".join(f"{name} {value:.3g}" for name, value in record.scores.items())
    settings = ", ".join(f"{key} {text(value)}" for key, value in record.values.items())
    state = record.status if record.status != "stopped" else f"given up at {record.progress} %"
    return f"trial {record.number} {state}: {scores or record.why} ({settings})"


def apply_best() -> None:
    """Write the settings of the best finished trial into params.yaml, which keeps its comments."""
    from sharpvae.tune import results
    from sharpvae.tune.space import apply, read_space, text
    from sharpvae.tune.trial import records

    space = read_space(read_settings(PARAMS), Studies(Path(STUDIES)))
    kept = results.front(results.Results(space, records(FOLDER)))
    if not kept:
        raise UserError(str(FOLDER), "a trial that came to its end", "none", "search first")
    apply(PARAMS, space.config.variant, kept[0].values)
    told = ", ".join(f"{key} {text(value)}" for key, value in kept[0].values.items())
    command.say(WIDTH, f"params.yaml: variants.{space.config.variant} has now {told}")
