"""Find out which change from one variant to another brings what: train, compare, report.

sharpvae study ablation                    ablations/sharp.yaml
sharpvae study ablation mine --jobs 2      ablations/mine.yaml, two arms at a time
sharpvae study ablation --plan             say what would be trained, and train nothing

Every arm is a variant that DVC trains in experiments/<name>/<arm>; what is there already is not
trained again. The results: reports/ablation.html, .md, .csv and .png.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from apps import command
from sharpvae.config.names import ABLATIONS, STUDIES, Studies, read_settings
from sharpvae.core.artefacts import Artefact, load_artefact
from sharpvae.core.console import bar, clock, exit_code
from sharpvae.core.devices import select
from sharpvae.core.errors import UserError, nearest
from sharpvae.core.files import write_json
from sharpvae.proof.plan import Plan, load_ablation, make_plan
from sharpvae.proof.workspaces import Outcome, Workspaces, add_spent, spent
from sharpvae.report.artefacts import Cost

WIDTH = 100  # columns where there is no terminal
REPORTS = Path("reports")
COSTS = "costs.json"


def parser() -> argparse.ArgumentParser:
    """What `sharpvae study ablation` takes."""
    made = command.parser("study ablation", __doc__)
    made.add_argument("name", nargs="?", default="sharp", help=f"of a file in {ABLATIONS}/")
    made.add_argument("-j", "--jobs", type=int, default=1, help="arms trained at the same time")
    made.add_argument("--seeds", type=_seeds, help="instead of those of the file: 3,4,5")
    made.add_argument("--plan", action="store_true", help="say what it is, and train nothing")
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the action; the exit code is 1 after a mistake that the user can mend."""
    options = parser().parse_args(arguments)
    if options.jobs < 1:
        parser().error("--jobs: at least 1")
    return exit_code(
        lambda: serve(options.name, options.seeds, options.jobs, options.plan), command.RESUMABLE
    )


def _seeds(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def serve(name: str, seeds: list[int] | None, jobs: int, plan_only: bool) -> None:
    """Train what is missing, and write the report.

    Raises:
        UserError: a mistake in params.yaml or in the ablation, before anything is trained; an arm
            failed, after the others were reported.
    """
    plan = read_plan(name, seeds)
    show(plan)
    command.warn_of_crowding(WIDTH, jobs)
    if plan_only:
        return
    work = Workspaces(Path(), name)
    failed = run(plan, work, jobs)
    report(plan, work, failed)
    if failed:
        raise work.failure(failed)


def read_plan(name: str, seeds: list[int] | None) -> Plan:
    """The plan of ablations/<name>.yaml; UserError where there is none, or a mistake in it."""
    path = Path(ABLATIONS) / f"{name}.yaml"
    if not path.exists():
        names = sorted(file.stem for file in path.parent.glob("*.yaml"))
        raise UserError(str(path), "the file of an ablation", "no such file", nearest(name, names))
    ablation = load_ablation(path)
    if seeds is not None:
        ablation = ablation.model_copy(update={"seeds": seeds})
    return make_plan(name, ablation, read_settings(Path("params.yaml")), Studies(Path(STUDIES)))


def show(plan: Plan) -> None:
    """Print the factors, and how much there is to train."""
    table = command.table("factor", "switches")
    for name, keys in plan.factors.items():
        table.add_row(name, ", ".join(keys))
    count, seeds = len(plan.arms), plan.ablation.seeds
    command.say(
        WIDTH, table,
        f"\n{plan.ablation.title}: {count} arms, {len(plan.mixed)} of them a factorial design, "
        f"seeds {', '.join(map(str, seeds))}: {count * len(seeds)} trainings",
    )  # fmt: skip
    if len(seeds) < 2:
        command.say(WIDTH, "One seed is an observation: no interval will cover other seeds.")


def run(plan: Plan, work: Workspaces, jobs: int) -> dict[str, str]:
    """Train and score every arm; returns why those failed that did."""
    work.shared()
    costs = counted(plan, work)
    from sharpvae.proof.cost import Forecast, matched

    plan = matched(plan, costs)
    work.lay(plan.variants, plan.ablation.seeds)
    ends = list(plan.ends)
    others = [arm for arm in plan.arms if arm not in ends]
    command.say(
        WIDTH, f"first the two ends, {ends[0]} and {ends[1]}, to know how long the rest takes"
    )
    failed = trained(work, ends, 1)
    seeds, forecast = len(plan.ablation.seeds), None
    if not failed:
        whole = {arm: spent(work.place(arm)) / seeds for arm in ends}
        training = {arm: _training(work, arm, plan) for arm in ends}
        forecast = Forecast(plan, costs, whole, training)
        left = sum(forecast.seconds(arm) for arm in others) / min(jobs, max(1, len(others)))
        if others:
            command.say(WIDTH, f"the other {len(others)} arms: about {clock(left)} from nothing")
    return failed | trained(work, others, jobs)


def _training(work: Workspaces, arm: str, plan: Plan) -> float:
    live = work.place(arm) / "reports/live" / arm
    costs = [load_artefact(live / str(seed) / "cost.json", Cost) for seed in plan.ablation.seeds]
    return float(sum(cost.seconds for cost in costs)) / len(costs)


class Counted(Artefact):
    """What an arm is, and its multiply-adds of an update."""

    of: dict[str, Any]
    cost: int


def counted(plan: Plan, work: Workspaces) -> dict[str, int]:
    """Arm -> multiply-adds of an update; kept beside the workspaces for the next call."""
    from sharpvae.config.experiment import train_stage
    from sharpvae.proof.cost import update_cost

    path = work.folder / COSTS
    found = load_artefact(path, dict[str, Counted]) if path.exists() else {}
    known = {arm: own.model_dump() for arm, own in found.items()}
    device = select(plan.experiment.device)
    with bar("counting", len(plan.arms), "arms") as progress:
        for arm in plan.arms:
            stage = train_stage(plan.experiment, arm)
            told = stage.model_dump(exclude={"logging", "device", "threads"})
            if arm not in known or known[arm]["of"] != told:
                known[arm] = {"of": told, "cost": update_cost(stage, device)}
            progress.advance(note=arm)
    write_json(path, known)
    return {arm: known[arm]["cost"] for arm in plan.arms}


def trained(work: Workspaces, arms: Sequence[str], jobs: int) -> dict[str, str]:
    """Run arms under a bar of progress; returns why those failed that did."""
    if not arms:
        return {}
    with bar("arms", len(arms), "arms") as progress:

        def ended(outcome: Outcome) -> None:
            add_spent(work.place(outcome.arm), outcome.seconds)
            word = "failed" if outcome.error else f"{outcome.seconds:.0f} s"
            progress.advance(note=f"{outcome.arm} {word}")

        return work.run(arms, jobs, ended)


def report(plan: Plan, work: Workspaces, failed: dict[str, str]) -> None:
    """Write reports/ablation.* from the arms that ran, and print the sentence."""
    from sharpvae.proof.effects import gather
    from sharpvae.proof.page import PAGE, build, write

    arms = [arm for arm in plan.arms if arm not in failed]
    if not arms:
        return
    began = time.monotonic()
    written = build(gather(plan, work.place, arms))
    write(written, REPORTS)
    command.say(WIDTH, written.sentence)
    command.say(WIDTH, f"{REPORTS / PAGE} ({time.monotonic() - began:.0f} s)", wrap=False)
