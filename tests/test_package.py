"""`import sharpvae` is free: what it offers is imported when it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

import sharpvae
from sharpvae.core.errors import UserError
from tests.imports import REPOSITORY

PROGRAM = """
import sys, time
before, start = set(sys.modules), time.process_time()
{0}
took = time.process_time() - start
print()
print(took, *(set(sys.modules) - before))
"""


def run(code: str) -> list[str]:
    """The seconds of the processor that `code` takes, and the modules that it imports."""
    command = [sys.executable, "-c", PROGRAM.format(code)]
    told = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True)
    return told.stdout.splitlines()[-1].split()


def test_importing_it_brings_no_library_along() -> None:
    _, *modules = run("import sharpvae")
    roots = {name.split(".")[0] for name in modules}
    assert roots <= {"sharpvae"} | sys.stdlib_module_names, roots
    assert not [name for name in modules if name.startswith("sharpvae.")]


@pytest.mark.parametrize(
    ("code", "most"),
    [
        ("import sharpvae", 0.05),
        ("from apps.main import main; main([])", 0.13),  # 0.15 with 0.02 of Python itself
    ],
)
def test_it_is_there_at_once(code: str, most: float) -> None:
    """The least of several, for other processes only ever add to it."""
    assert min(float(run(code)[0]) for _ in range(5)) < most


def test_every_name_that_it_offers_is_there() -> None:
    assert list(sharpvae.__all__) == sorted(sharpvae._MODULES)
    assert set(sharpvae.__all__) <= set(dir(sharpvae))
    for name in sharpvae.__all__:
        assert getattr(sharpvae, name).__name__ == name
    assert sharpvae.UserError is UserError


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        sharpvae.nothing  # noqa: B018
