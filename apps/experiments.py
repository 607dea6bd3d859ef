"""The experiments of this repository: what each changed, and the headline scores that came of it.

sharpvae experiments          those of the last commit, beside the commit itself
sharpvae experiments -n 5     those of the last five commits
sharpvae experiments --all    all

Of an experiment those variants are shown whose scores differ from its commit's.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from apps import command
from sharpvae.core.config import flatten, text
from sharpvae.core.console import exit_code
from sharpvae.core.errors import UserError
from sharpvae.report.numerals import short

WIDTH = 100  # columns where there is no terminal
PARAMS, METRICS = "params.yaml", "reports/metrics.json"
SCORES = {"fid": "FID", "blur_px": "blur, px", "coverage": "coverage", "psnr": "PSNR"}
WORKSPACE = "workspace"


class Run(NamedTuple):
    """One line of experiments: a commit, an experiment, or the workspace."""

    name: str
    changed: list[str]  # settings, against its commit
    scores: Mapping[str, Mapping[str, Any]]  # variant -> score -> value, of those that differ
    error: str  # why there are no scores; "" where there are


def parser() -> argparse.ArgumentParser:
    """What `sharpvae experiments` takes."""
    made = command.parser("experiments", __doc__)
    made.add_argument("-n", "--num", type=int, default=1, help="commits to look back (1)")
    made.add_argument("-A", "--all", action="store_true", help="every commit")
    return made


def main(arguments: Sequence[str]) -> int:
    """Print the table; the exit code is 1 after a mistake that the user can mend."""
    options = parser().parse_args(arguments)
    asked = ["--all-commits"] if options.all else ["--num", str(options.num)]
    return exit_code(lambda: show(list(runs(told_by_dvc(asked)))))


def told_by_dvc(options: Sequence[str]) -> list[dict[str, Any]]:
    """What `dvc exp show` knows; UserError where it knows nothing."""
    told = subprocess.run(
        [sys.executable, "-m", "dvc", "exp", "show", "--json", *options],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if told.returncode:
        said = told.stderr.strip() or "no answer"
        raise UserError(
            "dvc exp show", "a repository of Git and DVC", said.splitlines()[-1],
            "run it where params.yaml and dvc.yaml are",
        )  # fmt: skip
    shown: list[dict[str, Any]] = json.loads(told.stdout)
    return shown


def runs(shown: Sequence[Mapping[str, Any]]) -> Iterator[Run]:
    """Commits with their experiments below them; the workspace last, where it differs."""
    commits = [entry for entry in shown if entry["rev"] != WORKSPACE]
    for commit in commits:
        base = commit.get("data") or {}
        yield Run(commit.get("name") or commit["rev"][:7], [], scores(base), why(commit))
        for experiment in commit.get("experiments") or []:
            state = (experiment.get("executor") or {}).get("state")
            yield _as_queued(_against(base, experiment["revs"][0], "  "), state)
    for entry in shown:
        if entry["rev"] == WORKSPACE and commits:
            run = _against(commits[0].get("data") or {}, {**entry, "name": WORKSPACE}, "")
            if run.changed or run.scores or run.error:
                yield run


def _against(base: Mapping[str, Any], entry: Mapping[str, Any], indent: str) -> Run:
    own = entry.get("data") or {}
    before, after = settings(base), settings(own)
    changed = [
        f"{key}={text(value)}"
        for key, value in after.items() if key not in before or before[key] != value
    ]  # fmt: skip
    changed += [f"without {key}" for key in _gone(before, after)] if after else []
    usual = scores(base)
    different = {name: row for name, row in scores(own).items() if row != usual.get(name)}
    return Run(f"{indent}{entry.get('name') or entry['rev'][:7]}", changed, different, why(entry))


def _gone(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The keys of one that the other lacks; a whole section by its own name."""
    there = {prefix for key in after for prefix in _prefixes(key)}
    gone = (prefix for key in before for prefix in _prefixes(key) if prefix not in there)
    found: list[str] = []
    for prefix in gone:  # of each key the shortest comes first
        if not any(prefix.startswith(f"{known}.") or prefix == known for known in found):
            found.append(prefix)
    return found


def _prefixes(key: str) -> list[str]:
    """The key `a.b.c` gives a, a.b and a.b.c."""
    parts = key.split(".")
    return [".".join(parts[: count + 1]) for count in range(len(parts))]


def _as_queued(run: Run, state: str | None) -> Run:
    """The run, without scores if it came from the queue and that has not ended it well."""
    if state in (None, "success"):
        return run
    logs = f"; dvc queue logs {run.name.strip()}" if state == "failed" else ""
    return run._replace(scores={}, error=f"{state}{logs}")


def settings(data: Mapping[str, Any]) -> dict[str, Any]:
    """params.yaml as dotted keys."""
    return flatten(_content(data, "params", PARAMS))


def scores(data: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """reports/metrics.json: variant -> score -> value."""
    return _content(data, "metrics", METRICS)


def _content(data: Mapping[str, Any], kind: str, file: str) -> dict[str, Any]:
    return dict(((data.get(kind) or {}).get(file) or {}).get("data") or {})


def why(entry: Mapping[str, Any]) -> str:
    """Why an entry has no scores; "" where it has."""
    if scores(entry.get("data") or {}):
        return ""
    return str((entry.get("error") or {}).get("msg") or "no scores")


def show(found: Sequence[Run]) -> None:
    """Print the table."""
    table = command.table("experiment", "changed", "variant", *(f">{t}" for t in SCORES.values()))
    for run in found:
        lines = list(run.scores.items()) or [(run.error or "as before", {})]
        for index, (name, row) in enumerate(lines):
            head = (run.name, "\n".join(run.changed)) if index == 0 else ("", "")
            table.add_row(*head, name, *(_value(row.get(key)) for key in SCORES))
    command.say(WIDTH, table)


def _value(value: Any) -> str:
    return "" if value is None else short(value)
