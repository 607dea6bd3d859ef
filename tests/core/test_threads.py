"""Threads are those asked for, whatever the environment says, in what is loaded then or later."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys
import {before}
from sharpvae.core.threads import use_threads
use_threads({count})
assert ("torch" in sys.modules) == ("torch" in "{before}")
import sklearn.cluster, torch
from threadpoolctl import threadpool_info
found = [[pool["internal_api"], pool["num_threads"]] for pool in threadpool_info()]
print(json.dumps([*found, ["torch", torch.get_num_threads()]]))
"""


@pytest.mark.parametrize(
    ("count", "before"), [(1, "numpy"), (1, "torch"), (3, "torch, scipy.linalg, sklearn.cluster")]
)
def test_every_library_takes_as_many(count: int, before: str) -> None:
    said = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "2")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(count=count, before=before)],
        env={**os.environ, **said}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert {"torch", "openmp"} <= {name for name, _ in found}
    assert {threads for _, threads in found} == {count}, found
