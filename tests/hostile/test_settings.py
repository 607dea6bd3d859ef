"""Damaged files of settings: params.yaml, studies, claims and ablations."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sharpvae.config.experiment import stage_files
from sharpvae.config.names import Studies, read_params, read_settings, require_modest
from sharpvae.config.resolve import resolve, shadows
from sharpvae.config.rules import check
from sharpvae.proof.claims import Claim, load_claim, require_arms
from sharpvae.proof.plan import load_ablation, make_plan
from tests.hostile.campaign import attack, hostile
from tests.hostile.mutate import mutants, tree_mutants
from tests.processes import REPOSITORY
from tests.toy import toy_size

SETTINGS = read_settings(REPOSITORY / "params.yaml") | {"preset": "toy", "threads": 1}
SETTINGS["variants"] = {"original": {}, "sharp": SETTINGS["variants"]["sharp"]}
STUDIES = dict(Studies(REPOSITORY / "studies"))
STUDY = "s000-original"
Place = Callable[[Any], Path]
CLAIMS = sorted((REPOSITORY / "claims").glob("*.yaml"))[:60:8]
ABLATION = """
title: Two settings
from: original
to: sharp
seeds: [0]
match: updates
settings: {train.updates: 50, sample.prior: normal}
factors: {all: [model, loss, train, sample]}
"""
ODD_YAML = [
    b"a: &a [*a]\n", b"? [1, 2]\n: 3\n", b"!!set {a, b}\n", b"!!binary aGk=\n", b"a: !!float x\n",
    b"- 1\n", b"a: 1\n---\nb: 2\n", b"%YAML 1.1\n---\na: 1:30\n", b"<<: {a: 1}\n",
    b'"\\ud800": 1\n',
    b"a: &b {c: 1}\nd: {<<: *b}\n", b"a: 2024-99-99\n", b"a: |\n  text\n", b"\xff\xfea\0",
]  # fmt: skip


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths among the settings lead to nothing here."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Place:
    """A tree of values => the path at which readers of claims and ablations find it.

    It stands for what YAML was parsed to, or parsing alone would take most of the time.
    """
    held: list[Any] = []

    def read(path: Path) -> Any:
        require_modest(path, held[-1])
        return held[-1]

    for module in ("claims", "plan"):
        monkeypatch.setattr(f"sharpvae.proof.{module}.read_params", read)

    def put(tree: Any) -> Path:
        held[:] = [tree]
        return Path("question.yaml")

    return put


def configured(params: dict[str, Any], studies: dict[str, Any]) -> None:
    """All that `configure` does, but for writing the files."""
    resolved = resolve(params, studies)
    check(resolved)
    shadows(resolved)
    for stage in stage_files(resolved.experiment).values():
        json.dumps(stage.model_dump(), allow_nan=False, ensure_ascii=False).encode()


@hostile()
def test_a_damaged_file_of_settings_is_read_or_told(
    request: pytest.FixtureRequest, tmp_path: Path, count: int
) -> None:
    path, text = tmp_path / "params.yaml", toy_size((REPOSITORY / "params.yaml").read_text())
    seeds = [part.encode() for part in text.split("\n\n") if len(part) < 900]
    path.write_text(text)
    assert read_params(path)["preset"] == "toy"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        assert isinstance(read_params(path), dict)

    tally = attack(request, "settings: YAML", mutants([*seeds, *ODD_YAML], count), read)
    assert tally.right and tally.refused


ODD_PATHS = (
    "~nobody/x", "x" * 300, "x/" * 3000, "", ".", "/", "~", "-", "/dev/null/x", "a\x1b[2Jb",
)  # fmt: skip


def test_odd_paths_are_found_or_told(request: pytest.FixtureRequest) -> None:
    def read(item: tuple[str, str]) -> None:
        (section, _, rest), path = item[0].partition("."), item[1]
        own: Any = {"theirs": {"samples": path}} if rest == "theirs" else {rest: path}
        params = SETTINGS | {section: SETTINGS[section] | own}
        if rest == "path":
            params["data"] |= {"name": "folder"}
        check(resolve(params, STUDIES))

    keys = ("data.path", "variants.theirs", "metrics.weights")
    inputs = [(key, path) for key in keys for path in ODD_PATHS]
    assert attack(request, "settings: odd paths", inputs, read, seconds=20.0).refused


@hostile()
def test_odd_settings_are_configured_or_told(request: pytest.FixtureRequest, count: int) -> None:
    configured(SETTINGS, STUDIES)

    def read(tree: dict[str, Any]) -> None:
        require_modest(Path("params.yaml"), tree)
        configured(tree, STUDIES)

    trees = tree_mutants([SETTINGS], count, within=("variants",))
    tally = attack(request, "settings: params.yaml", trees, read)
    assert tally.right and tally.refused


@hostile()
def test_odd_studies_are_configured_or_told(request: pytest.FixtureRequest, count: int) -> None:
    params = SETTINGS | {"variants": {"published": {"study": STUDY}}}
    configured(params, STUDIES)

    def read(study: Any) -> None:
        require_modest(Path("studies/x.yaml"), study)
        configured(params, {STUDY: study})

    tally = attack(request, "settings: studies", tree_mutants([STUDIES[STUDY]], count), read)
    assert tally.right and tally.refused


@hostile()
def test_odd_claims_are_planned_or_told(
    request: pytest.FixtureRequest, place: Place, count: int
) -> None:
    claims = [read_params(path) for path in CLAIMS]
    for tree in claims:
        require_arms("x", load_claim(place(tree)), SETTINGS, STUDIES)

    def read(tree: Any) -> None:
        claim = load_claim(place(tree))
        assert isinstance(claim, Claim) and claim.expectations
        require_arms("x", claim, SETTINGS, STUDIES)

    tally = attack(request, "settings: claims", tree_mutants(claims, count), read)
    assert tally.right and tally.refused


@hostile(slow=4000)
def test_odd_ablations_are_planned_or_told(
    request: pytest.FixtureRequest, tmp_path: Path, place: Place, count: int
) -> None:
    """Fewer in the slow one: each resolves four arms."""
    path = tmp_path / "ablation.yaml"
    path.write_text(ABLATION)
    ablation = read_params(path)
    make_plan("x", load_ablation(place(ablation)), SETTINGS, STUDIES)

    def read(tree: Any) -> None:
        make_plan("x", load_ablation(place(tree)), SETTINGS, STUDIES)

    tally = attack(request, "settings: ablations", tree_mutants([ablation], count), read)
    assert tally.right and tally.refused
