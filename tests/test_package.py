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
import sharpvae
took = time.process_time() - start
print(took, *(set(sys.modules) - before))
"""


def test_importing_it_brings_no_library_along() -> None:
    command = [sys.executable, "-c", PROGRAM]
    told = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True)
    took, *modules = told.stdout.split()
    roots = {name.split(".")[0] for name in modules}
    assert roots <= {"sharpvae"} | sys.stdlib_module_names, roots
    assert not [name for name in modules if name.startswith("sharpvae.")]
    assert float(took) < 0.05


def test_every_name_that_it_offers_is_there() -> None:
    assert list(sharpvae.__all__) == sorted(sharpvae._MODULES)
    assert set(sharpvae.__all__) <= set(dir(sharpvae))
    for name in sharpvae.__all__:
        assert getattr(sharpvae, name).__name__ == name
    assert sharpvae.UserError is UserError


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        sharpvae.nothing  # noqa: B018
