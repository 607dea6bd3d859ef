"""What a training is a function of, in one word: only an equal one may be gone on with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from sharpvae.config.stage_files import TrainStage
from sharpvae.import_closure import import_closure
from sharpvae.training.precision import resolved

# What shows a training but does not make it.
_NO_PART: Any = {"logging": True, "train": {"checkpoint_every"}}


def identity(
    config: TrainStage,
    seed: int,
    device: torch.device,
    data: Iterable[Path],
    program: Path,
    root: Path,
) -> dict[str, str]:
    """Everything that the weights depend on.

    Args:
        config: without `logging`, which they do not depend on.
        device: its kind counts, not its number.
        data: files and directories that are read; their contents count, not their places.
        program: the file that is run; it counts with every file it imports.
        root: of the project.

    Returns:
        A word for each of config, seed, data, code, torch, device and precision, for
        `fingerprint`.
    """
    settings = config.model_dump(mode="json", exclude=_NO_PART)
    return {
        "config": _digest([json.dumps(settings, sort_keys=True).encode()]),
        "seed": str(seed),
        "data": contents(data),
        "code": _digest(
            part
            for path in sorted(import_closure(program, root))
            for part in (str(path.relative_to(root)).encode(), path.read_bytes())
        ),
        "torch": torch.__version__,
        "device": device.type,
        "precision": resolved(config.train.precision, device),
    }


def fingerprint(parts: Mapping[str, str]) -> str:
    """32 hexadecimal digits that change with any part."""
    return _digest([json.dumps(dict(parts), sort_keys=True).encode()])[:32]


def contents(paths: Iterable[Path]) -> str:
    """Digest of files, and of those of directories, by their names there and their bytes."""
    parts: list[bytes] = []
    for place in paths:
        inside = sorted(path for path in place.rglob("*") if path.is_file())
        for path in inside if place.is_dir() else [place]:
            parts.append(str(path.relative_to(place.parent)).encode())
            with path.open("rb") as file:
                parts.append(hashlib.file_digest(file, "sha256").digest())
    return _digest(parts)


def _digest(parts: Iterable[bytes]) -> str:
    """Of parts, each with its length, so that no two lists of parts read alike."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(f"{len(part)}:".encode())
        whole.update(part)
    return whole.hexdigest()
