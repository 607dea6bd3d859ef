"""What the tests of datasets make on the spot: image folders, idx files, a real HTTP server."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sharpvae.core.console import Progress, Unit
from sharpvae.core.errors import UserError
from sharpvae.datasets.catalogue import Entry, File
from sharpvae.datasets.config import DataConfig, Minimum
from sharpvae.datasets.pack import prepare
from sharpvae.images.packed import Card

REPOSITORY = Path(__file__).parents[2]
MIRROR = REPOSITORY.parent / "shared" / "mirror"
Config = Callable[..., DataConfig]
FEW = Minimum(train=1, validation=1, test=1)


def colourful(index: int, size: tuple[int, int] = (12, 9)) -> Image.Image:
    """An RGB image (width, height) that differs from that of every other index."""
    noise = np.random.default_rng(index).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(noise)


def smooth(size: tuple[int, int]) -> Image.Image:
    """An RGB image (width, height) of soft colours, as photographs are and noise is not."""
    x, y = np.meshgrid(np.linspace(0, 3, size[0]), np.linspace(0, 2, size[1]))
    waves = [np.sin(x * k + y) * np.cos(y * k - x) for k in (1, 2, 3)]
    return Image.fromarray((np.stack(waves, axis=2) * 100 + 128).astype(np.uint8))


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
            "own_splits": ("train", "test"), "files": files,
        }  # fmt: skip
        return Entry(**{**values, **changes})  # type: ignore[arg-type]

    def write(self, folder: Path, level: int = 9) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in self.packed(level).items():
            (folder / name).write_bytes(data)
        return folder


Answer = bytes | int | Callable[[http.server.BaseHTTPRequestHandler], None]


class Server:
    """Serves `answers`: path -> bytes, or a status, or a function of the request handler."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []  # of each request
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                outer.headers.append(dict(self.headers.items()))
                answered(self, outer.answers.get(self.path, 404))

            def log_message(self, *arguments: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.base = f"http://127.0.0.1:{self.http.server_port}"

    @contextmanager
    def serving(self) -> Iterator[Server]:
        """Answer requests during the block."""
        thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.http.shutdown()
            self.http.server_close()
            thread.join()


def answered(handler: http.server.BaseHTTPRequestHandler, answer: Answer) -> None:
    """Give one of the answers that a `Server` knows."""
    if callable(answer):
        answer(handler)
    elif isinstance(answer, int):
        handler.send_error(answer)
    else:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(answer)))
        handler.end_headers()
        handler.wfile.write(answer)


def in_turn(*answers: Answer) -> Answer:
    """An answer that is another one at each request; the last one stays."""
    left = list(answers)
    return lambda handler: answered(handler, left.pop(0) if len(left) > 1 else left[0])


class Resumable:
    """An answer that knows Range and If-Range.

    Attributes:
        cut: bytes after which it breaks off; None for never.
        stall: what to wait for before it breaks off.
        sent: how many bytes each request got.
    """

    def __init__(
        self, data: bytes, etag: str | None = '"1"', cut: int | None = None,
        stall: threading.Event | None = None, **headers: str,
    ) -> None:  # fmt: skip
        self.data, self.etag, self.cut, self.stall, self.headers = data, etag, cut, stall, headers
        self.sent: list[int] = []

    def __call__(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range")
        same = handler.headers.get("If-Range") in (None, self.etag)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and same else 0
        if start >= len(self.data):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(self.data)}")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        body = self.data[start:]
        handler.send_response(206 if start else 200)
        headers = {"Content-Length": str(len(body)), **self.headers}
        if start:
            end = len(self.data) - 1
            headers["Content-Range"] = f"bytes {start}-{end}/{len(self.data)}"
        if self.etag is not None:
            headers["ETag"] = self.etag
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        self.sent.append(len(body[: self.cut]))
        handler.wfile.write(body[: self.cut])
        handler.wfile.flush()
        if self.stall is not None:
            self.stall.wait(10)
        handler.close_connection = True


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A disk of its own, or a skipped test where nobody may mount one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small disk is not permitted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


class Record:
    """A `Progress` that remembers."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, int, int]] = []
        self.notes: list[str] = []
        self.units: set[Unit] = set()

    def step(self, title: str, done: int, total: int, unit: Unit = "images") -> None:
        self.steps.append((title, done, total))
        self.units.add(unit)

    def note(self, text: str) -> None:
        self.notes.append(text)


def packed(config: DataConfig, tmp_path: Path, name: str = "out") -> tuple[Card, Path]:
    """`prepare` into a folder of `tmp_path`, downloads into its `raw`; the card and the folder."""
    directory = tmp_path / name
    directory.mkdir()
    return prepare(config, FEW, tmp_path / "raw", directory, Progress()), directory


def refusal(config: DataConfig, tmp_path: Path, name: str = "out") -> UserError:
    """What `prepare` says where it refuses; it leaves nothing behind."""
    with pytest.raises(UserError) as caught:
        packed(config, tmp_path, name)
    assert list((tmp_path / name).iterdir()) == []
    return caught.value
