"""dvc.yaml is held to account: deps, params, outputs and the order of the house."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sharpvae.training.checkpoints import CODE
from tests.imports import REPOSITORY, closure, imported_names

STAGES = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
LIBRARY = sorted((REPOSITORY / "sharpvae").rglob("*.py"))

# Lowest first. A module may import from its own room, and from any room on a lower floor.
FLOORS = [
    {"core"},
    {"images", "distributed"},
    {"vae", "perception"},
    {"objective"},
    {"datasets", "training", "sampling", "scoring", "report"},
    {"config"},  # which puts the sections of all of them together
    {"proof", "given", "trained", "tune"},  # variants of their own; images of others; from Python
    {"gallery"},
]


def names(entries: list[object]) -> set[str]:
    """The paths of a list in which an entry may carry options."""
    return {str(next(iter(e))) if isinstance(e, dict) else str(e) for e in entries}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def floor(module: str) -> int:
    return next(level for level, rooms in enumerate(FLOORS) if room(module) in rooms)


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)


def folders(stage: str) -> set[str]:
    """What a stage lists of the library."""
    return {dep for dep in names(STAGES[stage]["deps"]) if dep.startswith("sharpvae")}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_imports_from_its_folders_alone_and_from_each_of_them(stage: str) -> None:
    own = f"stages/{stage}.py"
    needed = {
        "/".join(path.relative_to(REPOSITORY).parts[:2])
        for path in closure(REPOSITORY / own)
        if path != REPOSITORY / own
    }
    listed = {"sharpvae"} if stage == "configure" else needed
    assert folders(stage) == listed
    assert own in names(STAGES[stage]["deps"])


def test_a_training_goes_on_where_no_folder_that_it_lists_has_changed() -> None:
    assert {f"sharpvae/{folder}" for folder in CODE} == folders("train")


@pytest.mark.parametrize("stage", STAGES)
def test_only_configure_reads_params(stage: str) -> None:
    """And it declares the whole file; the others read what it resolved, as a dependency."""
    files = closure(REPOSITORY / f"stages/{stage}.py")
    reads = any("params.yaml" in _constants(path) for path in files)
    assert reads == (stage == "configure")
    assert ("params" in STAGES[stage]) == (stage == "configure")


def _constants(path: Path) -> set[str]:
    """Every string in `path` that is one whole constant."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


@pytest.mark.parametrize("stage", sorted(set(STAGES) - {"configure"}))
def test_a_stage_depends_on_its_own_config_alone(stage: str) -> None:
    configs = {dep for dep in names(STAGES[stage]["deps"]) if dep.startswith("configs/")}
    assert len(configs) == 1
    assert configs.pop().endswith(f"{stage}.json")


def test_no_two_stages_write_to_one_place() -> None:
    outs = [out for stage in STAGES.values() for out in names(stage.get("outs", []))]
    assert len(outs) == len(set(outs))


def test_no_command_carries_a_value() -> None:
    for name, stage in STAGES.items():
        items = " ${item.variant} ${item.seed}" if "matrix" in stage else ""
        assert stage["cmd"] == f"python -m stages.{name}{items}"


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: dotted(path))
def test_imports_point_down(path: Path) -> None:
    own = dotted(path).removesuffix(".__init__")
    for name in imported_names(path):
        assert name.split(".")[0] not in ("stages", "apps"), f"{own} imports {name}"
        if name.startswith("sharpvae.") and room(name) != room(own):
            assert floor(name) < floor(own), f"{own} imports {name}"


def test_scores_know_no_vae_and_the_report_no_torch() -> None:
    for path in LIBRARY:
        foreign = {name.split(".")[0] for name in imported_names(path)}
        own = {name for file in closure(path) for name in imported_names(file)}
        if room(dotted(path)) == "scoring":
            assert not any(name.startswith("sharpvae.vae") for name in own)
        if room(dotted(path)) == "report":
            assert not {name.split(".")[0] for name in own} & {"torch", "torchvision"}
        assert "argparse" not in foreign
        assert "argv" not in path.read_text()


def test_package_files_hold_no_code() -> None:
    """But for the one that imports what it offers when it is asked for: tests/test_package.py."""
    files = {
        *REPOSITORY.glob("*/__init__.py"),
        *(REPOSITORY / "sharpvae").rglob("__init__.py"),
    } - {REPOSITORY / "sharpvae/__init__.py"}
    for path in files:
        body = ast.parse(path.read_text()).body
        assert all(isinstance(node, ast.Expr) for node in body), path


@pytest.mark.parametrize("stage", ["configure", "prepare", "report"])
def test_a_quick_stage_never_waits_for_torch(stage: str) -> None:
    program = f"import sys, stages.{stage}; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    told = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True)
    assert not {name.split(".")[0] for name in told.stdout.split()} & {"torch", "torchvision"}
