"""What the tests of datasets make on the spot: image folders, idx files, a real HTTP server."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sharpvae.config.schema import DataConfig
from sharpvae.config.stage_files import Minimum
from sharpvae.datasets.catalogue import Entry, File

REPOSITORY = Path(__file__).parents[2]
MIRROR = REPOSITORY.parent / "shared" / "mirror"
Config = Callable[..., DataConfig]
FEW = Minimum(train=1, validation=1, test=1)


def colourful(index: int, size: tuple[int, int] = (12, 9)) -> Image.Image:
    """An RGB image (width, height) that differs from that of every other index."""
    noise = np.random.default_rng(index).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(noise)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """The bytes of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def fill(folder: Path, count: int, start: int = 0) -> None:
    """Put `count` different PNG images into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(start, start + count):
        (folder / f"{index:03}.png").write_bytes(encoded(colourful(index)))


def idx_bytes(array: NDArray[np.uint8]) -> bytes:
    """The idx format, written by hand."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return header + array.tobytes()


class TinyDigits:
    """A dataset of MNIST's form: 40 train and 20 test images of 28x28 in 2 classes."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.train = rng.integers(0, 256, (40, 28, 28), dtype=np.uint8)
        self.test = rng.integers(0, 256, (20, 28, 28), dtype=np.uint8)
        self.train_labels = (np.arange(40) % 2).astype(np.uint8)
        self.test_labels = (np.arange(20) % 2).astype(np.uint8)
        arrays = (self.train, self.train_labels, self.test, self.test_labels)
        names = (
            "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz",
            "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz",
        )  # fmt: skip
        self.unpacked = dict(zip(names, map(idx_bytes, arrays), strict=True))

    def packed(self, level: int = 9) -> dict[str, bytes]:
        return {name: gzip.compress(data, level) for name, data in self.unpacked.items()}

    def entry(self, **changes: object) -> Entry:
        files = tuple(
            File(name, f"sha256:{hashlib.sha256(data).hexdigest()}", len(data), unpacked=True)
            for name, data in self.unpacked.items()
        )
        values: dict[str, object] = {
            "name": "tiny", "title": "Tiny digits", "licence": "none", "citation": "",
            "reader": "idx", "source": "made for a test", "class_names": ("even", "odd"),
            "own_test": True, "files": files,
        }  # fmt: skip
        return Entry(**{**values, **changes})  # type: ignore[arg-type]

    def write(self, folder: Path, level: int = 9) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in self.packed(level).items():
            (folder / name).write_bytes(data)
        return folder


class Server:
    """Serves `answers`: path -> bytes, or a status, or a function of the request handler."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes | int | Callable[[http.server.BaseHTTPRequestHandler], None]]
        self.answers = {}
        self.asked: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                answer = outer.answers.get(self.path, 404)
                if callable(answer):
                    answer(self)
                elif isinstance(answer, int):
                    self.send_error(answer)
                else:
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)

            def log_message(self, *arguments: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.base = f"http://127.0.0.1:{self.http.server_port}"


class Record:
    """A `Progress` that remembers."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, int, int]] = []
        self.notes: list[str] = []

    def step(self, title: str, done: int, total: int) -> None:
        self.steps.append((title, done, total))

    def note(self, text: str) -> None:
        self.notes.append(text)
