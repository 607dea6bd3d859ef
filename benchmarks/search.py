"""Optuna's search against random search: the same space, judges, early stopping and time.

    python -m benchmarks.search                    three repeats of each, an hour on two cores
    python -m benchmarks.search --repeats 1 --time 2m --updates 100

Each search is `sharpvae tune` in one clone of the repository, whose prepared images and judges all
of them read. It trains `improved` for 200 updates on one thread, two trials at a time, and scores
FID and blur on validation images. The area that a front encloses with a point that is worse in both
(its hypervolume; Zitzler & Thiele 1999) tells fronts apart: FID, as its logarithm, and blur each
run from 0 at that point to 1 at a FID of 10 and a blur of 0, so that 1 is the most there can be.
"""

from __future__ import annotations

import argparse
import math
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks.measuring import machine
from sharpvae.config.names import STUDIES, Studies, read_settings
from sharpvae.tune.results import Results, front
from sharpvae.tune.space import read_space
from sharpvae.tune.trial import Record, records

ROOT = Path(__file__).parents[1]
KEYS, WORST, BEST = ("fid", "blur_px"), (1000.0, 1.0), (10.0, 0.0)
SAMPLERS = ("tpe", "random")
JOBS, MANY = 2, 1000
HEAD = (
    "repeat", "sampler", "trials", "to the end", "area", "best FID", "least blur, px",
    "beside the stages, s a trial",
)  # fmt: skip


def main() -> None:
    """Search by turns; print what each found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3, help="of each sampler")
    parser.add_argument("--time", default="10m", help="of each search")
    parser.add_argument("--updates", type=int, default=200, help="of each training")
    options = parser.parse_args()
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "repository"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(place)], check=True)
        settle(place, {"tune": {"variant": "improved"}, "train": {"updates": options.updates}})
        shared = ["dvc", "repro", "--quiet", "prepare", "critic", "reference"]
        subprocess.run(shared, cwd=place, check=True, stdout=subprocess.DEVNULL)
        print(f"| {' | '.join(HEAD)} |\n|--:|:--|--:|--:|--:|--:|--:|--:|", flush=True)
        for repeat in range(options.repeats):
            for sampler in SAMPLERS:
                settle(place, {"tune": {"sampler": sampler, "seed": repeat}})
                seconds = searched(place, options.time)
                print(f"| {repeat} | {sampler} | {told(place, seconds)} |", flush=True)


def settle(place: Path, changes: dict[str, dict[str, Any]]) -> None:
    """Set keys of params.yaml, and one thread: two trials share two cores."""
    path = place / "params.yaml"
    params = yaml.safe_load(path.read_text())
    for section, values in changes.items():
        params[section] |= values
    path.write_text(yaml.safe_dump(params | {"threads": 1}, sort_keys=False))


def searched(place: Path, limit: str) -> float:
    """Seconds of a search from nothing."""
    shutil.rmtree(place / "experiments/tune", ignore_errors=True)
    command = [str(Path(sys.executable).with_name("sharpvae")), "tune", "--time", limit]
    began = time.monotonic()
    many = ["--trials", str(MANY), "--jobs", str(JOBS)]
    subprocess.run([*command, *many], cwd=place, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def told(place: Path, seconds: float) -> str:
    """The cells of a search."""
    space = read_space(read_settings(place / "params.yaml"), Studies(place / STUDIES))
    found = Results(space, records(place / "experiments/tune"))
    best = front(found)
    busy = sum(record.seconds for record in found.records)
    idle = (JOBS * seconds - busy) / len(found.records)
    fid, blur = map(min, zip(WORST, *map(scored, best), strict=True))
    return " | ".join([
        str(len(found.records)), str(len(found.done)), f"{area(best):.3f}",
        f"{fid:.0f}", f"{blur:.2f}", f"{idle:.1f}",
    ])  # fmt: skip


def scored(record: Record) -> tuple[float, float]:
    """FID and blur of a trial; images without a blur count as the worst."""
    fid, blur = (record.scores.get(key, bad) for key, bad in zip(KEYS, WORST, strict=True))
    return fid, blur


def area(front: Sequence[Record]) -> float:
    """The share of the rectangle between BEST and WORST that a front encloses, in [0, 1]."""
    points = sorted(_scaled(*scored(record)) for record in front)
    total, height = 0.0, 0.0
    for width, top in reversed(points):  # from the best FID on, each adds what rises above
        total += width * max(0.0, top - height)
        height = max(height, top)
    return total


def _scaled(fid: float, blur: float) -> tuple[float, float]:
    span = math.log(WORST[0] / BEST[0])
    good = (math.log(WORST[0] / max(fid, BEST[0])) / span, 1 - blur / WORST[1])
    return max(0.0, good[0]), max(0.0, good[1])


if __name__ == "__main__":
    main()
