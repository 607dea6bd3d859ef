"""How many threads of the CPU compute."""

from __future__ import annotations

import os
import sys

from threadpoolctl import threadpool_limits

# What OpenMP, OpenBLAS, MKL and Apple's Accelerate read as they are loaded.
VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
)  # fmt: skip


def use_threads(count: int) -> None:
    """Compute with `count` threads from now on, whatever the environment says.

    Threads each sum a part, so that their number decides how sums are rounded. It holds for PyTorch
    and for BLAS and OpenMP below NumPy, SciPy and scikit-learn, loaded or not, to the end of the
    process: for stages, not for what others call.
    """
    os.environ.update(dict.fromkeys(VARIABLES, str(count)))
    threadpool_limits(count)
    torch = sys.modules.get("torch")  # not imported for this alone: `report` does without
    if torch is not None:
        torch.set_num_threads(count)
