"""Encoder and decoder as ONNX files, and whether they compute what PyTorch computes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sharpvae.core.errors import UserError
from sharpvae.core.seeds import generator
from sharpvae.trained.model import TrainedVAE

TOLERANCE = 1e-4
BATCHES = (1, 2, 7)  # images at a time, in the check
_OPSET = 17  # of 2022: runtimes of that age and younger read it


class Half(nn.Module):
    """Encoder or decoder of a VAE, as a module of its own, which those of a user's are not."""

    def __init__(self, whole: nn.Module, part: Callable[..., Any]) -> None:
        super().__init__()
        self.whole, self.part = whole, part
        self.train(whole.training)  # which the exporter gives back to all of it

    def forward(self, *inputs: Tensor) -> Any:
        return self.part(*inputs)


class Graph(NamedTuple):
    """One file: a network, and the names of what goes in and comes out, in their order."""

    file: str
    network: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def graphs(vae: TrainedVAE) -> tuple[Graph, Graph]:
    """The files of a VAE.

    - `encoder.onnx`: `images`, float32 (N, C, S, S) in [0, 1] => `mean`, `log_var`, float32 (N, Z)
    - `decoder.onnx`: `codes`, float32 (N, Z) => `images`, float32 (N, C, S, S) in [0, 1]

    Those of a conditional one take `labels`, int64 (N,), too. N is free, from 1.
    """
    labels, whole = ("labels",) if vae.classes else (), vae.network
    return (
        Graph("encoder.onnx", Half(whole, whole.encoder), ("images", *labels), ("mean", "log_var")),
        Graph("decoder.onnx", Half(whole, whole.decoder), ("codes", *labels), ("images",)),
    )


def write_onnx(vae: TrainedVAE, directory: Path) -> float:
    """Write both files of a VAE, which is on the CPU, into `directory`, and check them.

    Returns:
        the largest difference from PyTorch; see `difference`.

    Raises:
        UserError: a file computes something else. It is there all the same.
    """
    largest = 0.0
    for graph in graphs(vae):
        path = directory / graph.file
        _write(graph, examples(vae, graph, 2), path)
        run = session(path)
        for count in BATCHES:
            found = difference(graph, run, examples(vae, graph, count))
            if found > TOLERANCE:
                expected = f"what PyTorch computes, to within {TOLERANCE:g}"
                raise UserError(
                    graph.file, expected, f"a difference of {found:.3g} for a batch of {count}",
                    "export it with --to safetensors, and report this, with its network.json",
                )  # fmt: skip
            largest = max(largest, found)
    return largest


def examples(vae: TrainedVAE, graph: Graph, count: int) -> dict[str, Tensor]:
    """Inputs of a graph for `count` images: noise, which reaches further than images do."""
    random = generator(count, "export")
    shape = (count, vae.channels, vae.image_size, vae.image_size)
    made = {
        "images": torch.rand(shape, generator=random),
        "codes": torch.randn(count, vae.latent_dim, generator=random),
        "labels": torch.arange(count) % max(vae.classes, 1),
    }
    return {name: made[name] for name in graph.inputs}


def session(path: Path) -> Any:
    """An `onnxruntime.InferenceSession` of a file, on one thread of the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # a pool of them would be pinned to cores we may not have
    options.log_severity_level = 3  # errors
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def difference(graph: Graph, run: Any, inputs: dict[str, Tensor]) -> float:
    """The largest absolute difference of a session's outputs from those of the network.

    Of an output whose values go beyond 1, as codes may, it is divided by the largest of them.
    """
    with torch.no_grad():
        made = graph.network(*inputs.values())
    ours: tuple[Tensor, ...] = made if isinstance(made, tuple) else (made,)
    theirs = run.run(list(graph.outputs), {name: each.numpy() for name, each in inputs.items()})
    return max(_apart(one.numpy(), other) for one, other in zip(ours, theirs, strict=True))


def _apart(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    if ours.shape != theirs.shape:
        return float("inf")
    apart = np.nan_to_num(np.abs(ours - theirs), nan=np.inf)  # NaN is larger than nothing
    return float(apart.max() / max(1.0, float(np.abs(ours).max())))


def _write(graph: Graph, inputs: dict[str, Tensor], path: Path) -> None:
    """Write one file; its inputs and outputs may have any number of rows."""
    free = {name: {0: "N"} for name in (*graph.inputs, *graph.outputs)}
    with warnings.catch_warnings(), torch.no_grad():
        # PyTorch recommends its other exporter. That one wants two more packages and imports the
        # compiler, for seconds; and these networks have no branch that a trace could miss.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph.network, tuple(inputs.values()), str(path), dynamo=False, opset_version=_OPSET,
            input_names=list(graph.inputs), output_names=list(graph.outputs), dynamic_axes=free,
        )  # fmt: skip
