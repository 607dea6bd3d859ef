"""Judge what the literature claims: train what is missing, compare, write docs/claims.md.

sharpvae study claims                      every file of claims/
sharpvae study claims 000-range            one, or several
sharpvae study claims --plan               say what would be trained, and train nothing

Every arm is a variant that DVC trains in experiments/claims/<arm>, once for all claims that it is
in; what is there already is not trained again. No verdict is given on fewer than three seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from apps import command
from apps.study_ablation import trained
from sharpvae.config.names import CLAIMS, STUDIES, Studies, read_settings
from sharpvae.core.console import exit_code
from sharpvae.core.errors import UserError
from sharpvae.core.files import write_text
from sharpvae.perception.pretrained import location
from sharpvae.proof.claims import (
    Claim,
    judge,
    load_claim,
    outcome,
    require_arms,
    require_one_meaning,
    shared_params,
)
from sharpvae.proof.ledger import LEDGER, PAGE, Entry, as_json, digest, load_ledger, render
from sharpvae.proof.readings import read_arm
from sharpvae.proof.workspaces import Workspaces

WIDTH = 100  # columns where there is no terminal


def parser() -> argparse.ArgumentParser:
    """What `sharpvae study claims` takes."""
    made = command.parser("study claims", __doc__)
    made.add_argument("claims", nargs="*", metavar="claim", help=f"none: all of {CLAIMS}/")
    made.add_argument("-j", "--jobs", type=int, default=1, help="arms trained at the same time")
    made.add_argument("--plan", action="store_true", help="say what it is, and train nothing")
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the action; the exit code is 1 after a mistake that the user can mend."""
    options = parser().parse_args(arguments)
    if options.jobs < 1:
        parser().error("--jobs: at least 1")
    return exit_code(lambda: serve(options.claims, options.jobs, options.plan), command.RESUMABLE)


def serve(names: Sequence[str], jobs: int, plan_only: bool) -> None:
    """Judge the claims `names`, or all, and write the page of all.

    Raises:
        UserError: a mistake in a claim, before anything is trained; an arm failed, after all that
            can be judged were.
    """
    known = read_claims()
    command.check(names, known, CLAIMS, "the name of one of its files")
    missing = {name: why for name, claim in known.items() if (why := _missing(claim))}
    chosen = {name: known[name] for name in names or known if name not in missing}
    show(chosen, missing)
    command.warn_of_crowding(WIDTH, jobs)
    if plan_only:
        return
    failed = run(chosen, jobs) if chosen else {}
    ledger = load_ledger(Path(LEDGER))
    for name, claim in chosen.items():
        if not set(claim.arms) & set(failed):
            ledger[name] = judged(claim)
            command.say(WIDTH, f"{name}: {ledger[name].outcome}")
    ledger = {name: entry for name, entry in ledger.items() if name in known}
    write_text(Path(LEDGER), as_json(ledger))
    write_text(Path(PAGE), render(known, ledger, missing))
    command.say(WIDTH, PAGE)
    if failed:
        raise Workspaces(Path(), CLAIMS).failure(failed)


def read_claims() -> dict[str, Claim]:
    """Every file of claims/ by name, checked.

    Raises:
        UserError: a mistake in one; there are none.
    """
    paths = sorted(Path(CLAIMS).glob("*.yaml"))
    if not paths:
        fix = "run from the top, or write one: sharpvae study new <name> --kind claim"
        raise UserError(CLAIMS, "the folder of the claims", "nothing there", fix)
    claims = {path.stem: load_claim(path) for path in paths}
    params, studies = read_settings(Path("params.yaml")), Studies(Path(STUDIES))
    for name, claim in claims.items():
        if not _missing(claim):
            require_arms(name, claim, params, studies)
    require_one_meaning(claims)
    return claims


def _missing(claim: Claim) -> str:
    """Which weights are not at hand, and how to get them; "" if all are."""
    gone = [name for name in claim.needs if not location(name, None).is_file()]
    return (
        f"not run: {location(gone[0], None).name} is missing, `sharpvae weights {gone[0]}`"
        if gone
        else ""
    )


def show(chosen: dict[str, Claim], missing: dict[str, str]) -> None:
    """Print the claims, and how much there is to train."""
    table = command.table("claim", "arms", "it says")
    for name, claim in chosen.items():
        table.add_row(name, ", ".join(claim.arms), claim.claim)
    arms = {arm: claim.seeds for claim in chosen.values() for arm in claim.arms}
    runs = sum(len(seeds) for seeds in arms.values())
    command.say(WIDTH, table, f"\n{len(chosen)} claims, {len(arms)} arms, {runs} trainings")
    for name, why in missing.items():
        command.say(WIDTH, f"{name}: {why}")


def run(chosen: dict[str, Claim], jobs: int) -> dict[str, str]:
    """Train and score every arm, for all seeds that a claim asks of it; returns what failed."""
    work = Workspaces(Path(), CLAIMS)
    work.shared()
    params = read_settings(Path("params.yaml"))
    seeds: dict[str, list[int]] = {}
    for claim in chosen.values():
        for arm in claim.arms:
            seeds[arm] = sorted({*seeds.get(arm, ()), *claim.seeds})
    for claim in chosen.values():
        for arm, sections in claim.arms.items():
            work.lay({arm: sections}, seeds[arm], shared_params(claim, params))
    return trained(work, list(seeds), jobs)


def judged(claim: Claim) -> Entry:
    """The verdict on a claim whose arms are all there."""
    work, readings = Workspaces(Path(), CLAIMS), {}
    weights: dict[str, float] = {}
    for arm in claim.arms:
        keys = {
            score
            for one in claim.expectations
            for name, score in zip(one.arms, one.scores, strict=True)
            if name == arm
        }
        found = read_arm(work.place(arm), arm, claim.seeds, sorted(keys))
        readings[arm], weights = found.scores, dict(found.weights)
    findings = [judge(one, readings, weights, len(claim.seeds)) for one in claim.expectations]
    today = date.today().isoformat()
    return Entry(digest(claim), outcome(findings), findings, claim.seeds, today)
