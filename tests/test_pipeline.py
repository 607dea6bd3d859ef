"""dvc.yaml is held to account: deps, params, outputs and the order of the house."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

from sharpvae.import_closure import imported_names
from tests.imports import REPOSITORY, closure

STAGES = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
LIBRARY = sorted((REPOSITORY / "sharpvae").rglob("*.py"))

# Lowest first. A module may import from its own room, and from any room on a lower floor.
FLOORS = [
    {"errors", "import_closure", "locking"},
    {"artefacts", "pretrained", "processes", "randomness"},
    {"config", "weights", "devices"},
    {"networks", "objective", "metrics"},
    {"datasets"},  # which says of real images what metrics say of fakes
    {"training", "sampling", "report"},
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


@pytest.mark.parametrize("stage", STAGES)
def test_the_deps_name_every_module_a_stage_imports_and_no_other(stage: str) -> None:
    needed = {
        str(path.relative_to(REPOSITORY)) for path in closure(REPOSITORY / f"stages/{stage}.py")
    }
    listed = {dep for dep in names(STAGES[stage]["deps"]) if dep.endswith(".py")}
    assert listed == needed


def test_templates_are_deps_of_the_report() -> None:
    assert "sharpvae/report/templates" in names(STAGES["report"]["deps"])


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


@pytest.mark.parametrize("stage", set(STAGES) - {"configure"})
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


def test_metrics_know_no_networks_and_the_report_no_torch() -> None:
    for path in LIBRARY:
        foreign = {name.split(".")[0] for name in imported_names(path)}
        own = {name for file in closure(path) for name in imported_names(file)}
        if room(dotted(path)) == "metrics":
            assert not any(name.startswith("sharpvae.networks") for name in own)
        if room(dotted(path)) == "report":
            assert not {name.split(".")[0] for name in own} & {"torch", "torchvision"}
        assert "argparse" not in foreign
        assert "argv" not in path.read_text()


def test_package_files_hold_no_code() -> None:
    for path in (
        *REPOSITORY.glob("*/__init__.py"),
        *(REPOSITORY / "sharpvae").rglob("__init__.py"),
    ):
        body = ast.parse(path.read_text()).body
        assert all(isinstance(node, ast.Expr) for node in body), path


@pytest.mark.parametrize("stage", ["configure", "report"])
def test_a_quick_stage_never_waits_for_torch(stage: str) -> None:
    imported = {
        name.split(".")[0]
        for path in closure(REPOSITORY / f"stages/{stage}.py")
        for name in imported_names(path)
    }
    assert not imported & {"torch", "torchvision", "torch_fidelity"}
