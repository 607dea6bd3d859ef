"""One file over http(s), to a temporary name first."""

from __future__ import annotations

import errno
import http.client
import os
import socket
import ssl
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sharpvae.datasets.catalogue import File
from sharpvae.datasets.progress import Progress
from sharpvae.errors import UserError

TIMEOUT = 10.0  # seconds without a byte
_CHUNK = 1 << 18
_SLACK = 1 << 20  # bytes by which a file may be larger than its contents


class DownloadError(Exception):
    """A file could not be had from one address; its text says why."""


@contextmanager
def downloaded(address: str, file: File, folder: Path, progress: Progress) -> Iterator[Path]:
    """Yield a temporary file in `folder` that holds what `address` serves.

    It is removed afterwards, whatever happened, unless the block renamed it.

    Raises:
        DownloadError: no network, no such host, a refusal, a timeout, or a cut connection.
        UserError: the disk is full, or cannot be written to.
    """
    temporary: Path | None = None
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=folder)
            temporary = Path(name)
            with os.fdopen(handle, "wb") as target:
                for chunk in _chunks(address, file, progress):
                    target.write(chunk)
            temporary.chmod(0o644)  # mkstemp makes it private to the user
        except OSError as error:  # those of the network have become a DownloadError
            full = error.errno == errno.ENOSPC
            raise UserError(
                str(folder), f"room for {file.name}, about {(file.size or 0) >> 20} MiB",
                "the disk is full" if full else f"cannot be written: {error.strerror}",
            ) from None  # fmt: skip
        yield temporary
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _chunks(address: str, file: File, progress: Progress) -> Iterator[bytes]:
    """What `address` serves, piece by piece; every failure is a DownloadError."""
    done, total = 0, 0
    try:
        request = urllib.request.Request(address, headers={"User-Agent": "SharpVAE"})
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            total = int(answer.headers.get("Content-Length") or 0)
            while chunk := answer.read(_CHUNK):
                done += len(chunk)
                if file.size is not None and done > file.size + _SLACK:
                    raise DownloadError(f"more than the {file.size} bytes of the whole file")
                progress.step(f"downloading {file.name}", done, total or file.size or 0)
                yield chunk
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DownloadError(reason(error)) from None
    if done < total:
        raise DownloadError(f"the connection was cut after {done} of {total} bytes")


def reason(error: Exception) -> str:
    """A failure of urllib in plain words."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"the server's certificate is not trusted: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        return f"TLS failed: {cause.reason or cause}"
    if isinstance(cause, TimeoutError):
        return f"no answer within {TIMEOUT:g} seconds"
    if isinstance(cause, socket.gaierror):
        return "no such host, or no network"
    if isinstance(cause, http.client.HTTPException):
        return f"no proper HTTP answer: {type(cause).__name__}"
    return str(getattr(cause, "strerror", None) or cause)
