"""Is a file what a catalogue entry says? By the hash of its unpacked bytes."""

from __future__ import annotations

import gzip
import hashlib
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from sharpvae.datasets.entry import File

GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 1 << 20


def fault(path: Path, file: File) -> str | None:
    """What is wrong with `path` as a copy of `file`; None where its bytes are right.

    Where the digest is of unpacked bytes, the file may be packed by gzip or not, whatever its name
    says, and no more is unpacked than the entry's size, so that a gzip bomb costs nothing. Where
    there is no digest, an empty file or a web page is all that can be told apart.
    """
    try:
        with path.open("rb") as opened:
            head = opened.read(512)
        if not head:
            return "an empty file"
        if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
            return "an HTML or XML page instead of the file"
        if file.digest is None:
            return None
        if file.unpacked and head.startswith(GZIP_MAGIC):
            with gzip.open(path) as unpacked:
                return _compare(_chunks(unpacked, file.size), file, file.digest)
        with path.open("rb") as opened:
            return _compare(_chunks(opened, file.size), file, file.digest)
    except EOFError:
        return "a truncated gzip file: it ends before its contents do"
    except (gzip.BadGzipFile, zlib.error) as error:
        return f"a damaged gzip file: {error}"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"


def _chunks(opened: BinaryIO | gzip.GzipFile, size: int | None) -> Iterator[bytes]:
    """The bytes of an open file, in chunks, until one more than `size` has come."""
    left = sys.maxsize if size is None else size + 1
    while left > 0 and (chunk := opened.read(min(_CHUNK, left))):
        left -= len(chunk)
        yield chunk


def _compare(chunks: Iterator[bytes], file: File, digest: str) -> str | None:
    algorithm, expected = digest.split(":")
    found, count = hashlib.new(algorithm, usedforsecurity=False), 0
    for chunk in chunks:
        found.update(chunk)
        count += len(chunk)
    if file.size is not None and count > file.size:
        how = " after unpacking" if file.unpacked else ""
        return f"more than the {file.size} bytes expected{how}"
    if not found.hexdigest().startswith(expected):
        return f"wrong contents: {count} bytes with {algorithm} {found.hexdigest()}"
    return None
