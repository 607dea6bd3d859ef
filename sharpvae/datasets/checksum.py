"""Is a file what a catalogue entry says? By the hash of its unpacked bytes."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from sharpvae.datasets.catalogue import File

GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 1 << 20


def fault(path: Path, file: File) -> str | None:
    """What is wrong with `path` as a copy of `file`; None where its bytes are right.

    The file may be packed by gzip or not, whatever its name says. No more is unpacked than the
    entry's size, so that a gzip bomb costs nothing.
    """
    try:
        with path.open("rb") as opened:
            head = opened.read(512)
        if not head:
            return "an empty file"
        if head.startswith(GZIP_MAGIC):
            with gzip.open(path) as unpacked:
                return _compare(_chunks(unpacked, file.size), file)
        if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
            return "an HTML or XML page instead of the file"
        with path.open("rb") as opened:
            return _compare(_chunks(opened, file.size), file)
    except EOFError:
        return "a truncated gzip file: it ends before its contents do"
    except (gzip.BadGzipFile, zlib.error) as error:
        return f"a damaged gzip file: {error}"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"


def _chunks(opened: BinaryIO | gzip.GzipFile, size: int) -> Iterator[bytes]:
    """The bytes of an open file, in chunks, until one more than `size` has come."""
    left = size + 1
    while left > 0 and (chunk := opened.read(min(_CHUNK, left))):
        left -= len(chunk)
        yield chunk


def _compare(chunks: Iterator[bytes], file: File) -> str | None:
    digest, count = hashlib.sha256(), 0
    for chunk in chunks:
        digest.update(chunk)
        count += len(chunk)
    if count > file.size:
        return f"more than the {file.size} bytes expected after unpacking"
    if digest.hexdigest() != file.sha256:
        return f"wrong contents: {count} bytes with SHA-256 {digest.hexdigest()}"
    return None
