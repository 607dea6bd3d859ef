"""What DVC itself notices of damage to the outputs of a stage, as docs/trust.md tells it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PIPELINE = """
stages:
  make:
    cmd: mkdir -p out && cp whole out/values
    deps: [whole]
    outs: [out]
  use:
    cmd: cp out/values used
    deps: [out]
    outs: [used]
"""


def dvc(place: Path, *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=place, capture_output=True, text=True, check=True,
        env={**os.environ, "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(place / "site")},
    ).stdout  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A pipeline that has run."""
    (tmp_path / "whole").write_text("values")
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    dvc(tmp_path, "init", "--no-scm", "-q")
    dvc(tmp_path, "repro", "-q")
    return tmp_path


@pytest.mark.slow
def test_dvc_mends_an_output_whose_time_or_size_has_changed(place: Path) -> None:
    output = place / "out/values"
    output.write_text("valueS")
    assert json.loads(dvc(place, "status", "--json"))["make"] == [
        {"changed outs": {"out": "modified"}}
    ]
    dvc(place, "repro", "-q")
    assert output.read_text() == (place / "used").read_text() == "values"


@pytest.mark.slow
def test_dvc_looks_at_no_byte_of_an_output_of_the_same_time_and_size(place: Path) -> None:
    output = place / "out/values"
    before = output.stat()
    with output.open("r+") as file:
        file.write("v@lues")
    os.utime(output, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert json.loads(dvc(place, "status", "--json")) == {}
    os.utime(output)
    assert "make" in json.loads(dvc(place, "status", "--json"))
    dvc(place, "repro", "-q")
    assert output.read_text() == "values"
