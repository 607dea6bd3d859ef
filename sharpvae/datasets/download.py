"""One file over http(s): resumed where it broke off, tried again, verified, then named."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sharpvae.datasets.checksum import fault
from sharpvae.datasets.disk import amount, unwritable
from sharpvae.datasets.entry import File
from sharpvae.datasets.network_errors import may_pass, reason, retry_after
from sharpvae.datasets.partial import Origin, Partial, content_range, validator
from sharpvae.datasets.progress import Progress

TIMEOUT = 10.0  # seconds without a byte
BACK_OFF = (1.0, 2.0, 4.0, 8.0)  # seconds before each further try
LONGEST_WAIT = 60.0  # seconds that a server's Retry-After may ask for
_CHUNK = 1 << 18
_SLACK = 1 << 20  # bytes by which a file may be larger than its contents

_Answer = http.client.HTTPResponse | urllib.error.HTTPError


class DownloadError(Exception):
    """A file could not be had from one address; its text says why.

    Attributes:
        missing: the address has no such file (HTTP 404).
        passing: the next try may succeed.
        wait: seconds for which the server asks to be left alone.
    """

    def __init__(
        self, text: str, missing: bool = False, passing: bool = False, wait: float = 0.0
    ) -> None:
        super().__init__(text)
        self.missing, self.passing, self.wait = missing, passing, wait


def download(address: str, file: File, folder: Path, progress: Progress) -> Path:
    """Download `address` and return its place in `folder`, verified, under the name of `file`.

    What came before a failure, a Ctrl-C or a kill is kept in `folder` under a name of its own, and
    the next call asks for the rest alone. `folder` exists, and no other process downloads into it.

    Raises:
        DownloadError: no network, no such host, a refusal, a timeout, a cut connection, or
            contents that are not those of `file`; a failure that may pass was tried again.
        UserError: the disk is full, or cannot be written to.
    """
    part = Partial(folder, file.name)
    try:
        resumed = _whole(address, file, part, progress)
        found = fault(part.path, file)
        if found is not None and resumed:
            progress.note(f"{file.name}: put together from two tries it is {found}; starts over")
            part.remove()
            _whole(address, file, part, progress)
            found = fault(part.path, file)
        if found is not None:
            part.remove()
            raise DownloadError(f"{file.name} is {found}")
        return part.finish(folder / file.name)
    except BrokenPipeError:  # whoever `progress` told is gone; a disk knows no such error
        raise
    except OSError as error:  # those of the network have become a DownloadError
        needed = file.size or 0
        with suppress(OSError):
            origin = part.origin()
            needed = (origin.total if origin else 0) or needed
            part.remove()
        raise unwritable(folder, file.name, needed, error) from None


def _whole(address: str, file: File, part: Partial, progress: Progress) -> bool:
    """Try until `part` holds all; returns whether bytes of an earlier try are among them."""
    failures, most = 0, part.size()
    while True:
        try:
            return _try(address, file, part, progress)
        except DownloadError as error:
            if part.size() >= most + _CHUNK:  # it gets ahead, however often it breaks off
                failures, most = 0, part.size()
            if not error.passing or failures == len(BACK_OFF):
                raise _given_up(error, address, file, part) from None
            wait = max(BACK_OFF[failures], min(error.wait, LONGEST_WAIT))
            failures += 1
            there = f"; {amount(part.size())} are there" if _kept(address, file, part) else ""
            progress.note(f"{file.name}: {error}{there}; tries again in {wait:g} s")
            time.sleep(wait)


def _given_up(error: DownloadError, address: str, file: File, part: Partial) -> DownloadError:
    """`error` with what became of the bytes that came: no use, no trace."""
    if _kept(address, file, part):
        text = f"{error}; {amount(part.size())} are kept, the next run asks for the rest"
        return DownloadError(text, error.missing, error.passing)
    origin = part.origin()
    if origin is None or origin.address == address:
        part.remove()
    return error


def _try(address: str, file: File, part: Partial, progress: Progress) -> bool:
    """One request, or two where what is kept turns out to be of no use; returns as `_whole`."""
    kept, have = _kept(address, file, part), part.size()
    with _opened(address, kept, have) as answer:
        if answer.status not in (206, 416):
            if kept is not None and answer.headers.get_content_type() == "text/html":
                raise DownloadError("an HTML page instead of the rest of the file")
            origin = Origin(address, validator(answer.headers), _length(answer, file))
            _check_size(origin.total, file)
            part.start(origin)
            _receive(answer, 0, origin, file, part, progress)
            return False
        if kept is not None and answer.status == 416 and have == _total(answer, kept):
            return True
        if kept is not None and answer.status == 206 and _goes_on(answer, kept, have):
            _receive(answer, have, kept, file, part, progress)
            return True
    if kept is None:
        raise DownloadError("a part of the file, although all of it was asked for")
    part.remove()
    return _try(address, file, part, progress)


def _kept(address: str, file: File, part: Partial) -> Origin | None:
    """What is known of the bytes that are there, where the rest may be put behind them.

    Without a hash to tell a patchwork of two versions, the server has to vouch for the version.
    """
    origin = part.origin()
    if origin is None or origin.address != address:
        return None
    return None if file.digest is None and origin.validator is None else origin


def _opened(address: str, kept: Origin | None, have: int) -> _Answer:
    """The answer to a request for the file, or for what comes after the first `have` bytes."""
    headers = {"User-Agent": "SharpVAE"}
    if kept is not None:
        headers["Range"] = f"bytes={have}-"
        if kept.validator is not None:
            headers["If-Range"] = kept.validator  # all of it, please, where it has changed
    try:
        request = urllib.request.Request(address, headers=headers)
        answer: _Answer = urllib.request.build_opener().open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and kept is not None:
            return error
        with error:
            raise _failure(error, address) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _failure(error, address) from None
    return answer


def _failure(error: Exception, address: str) -> DownloadError:
    missing = isinstance(error, urllib.error.HTTPError) and error.code == 404
    text = reason(error, address, TIMEOUT)
    return DownloadError(text, missing, may_pass(error), retry_after(error))


def _length(answer: _Answer, file: File) -> int:
    """The bytes of a whole file: as the server says, else as its publishers say; 0 if unknown."""
    said = answer.headers.get("Content-Length") or ""
    return int(said) if said.isdecimal() else (0 if file.unpacked else file.size or 0)


def _total(answer: _Answer, kept: Origin) -> int:
    """The bytes of the whole, as an answer about a part of it says, or the one before did."""
    return content_range(answer.headers)[1] or kept.total


def _goes_on(answer: _Answer, kept: Origin, have: int) -> bool:
    """Whether a partial answer begins where the kept bytes end, and is of the same version."""
    start, total = content_range(answer.headers)
    version = validator(answer.headers)
    return (
        start == have
        and (not total or not kept.total or total == kept.total)
        and (version is None or kept.validator is None or version == kept.validator)
    )


def _receive(
    answer: _Answer, have: int, origin: Origin, file: File, part: Partial, progress: Progress
) -> None:
    """Put what comes behind the first `have` bytes of `part`."""
    title, total = f"downloading {file.name}", origin.total or _total(answer, origin)
    shown = total or file.size or 0
    progress.step(title, have, shown, unit="bytes")
    with part.path.open("ab") as target:
        for chunk in _chunks(answer, origin.address, total - have if total else None):
            target.write(chunk)
            have += len(chunk)
            if _too_much(have, file):
                break
            progress.step(title, have, shown, unit="bytes")
    if _too_much(have, file):
        part.remove()
    _check_size(have, file)
    if have < total:
        raise DownloadError(f"the connection was cut after {have} of {total} bytes", passing=True)


def _too_much(count: int, file: File) -> bool:
    return file.size is not None and count > file.size + _SLACK


def _check_size(count: int, file: File) -> None:
    if _too_much(count, file):
        raise DownloadError(f"more than the {file.size} bytes of the whole file")


def _chunks(answer: _Answer, address: str, left: int | None) -> Iterator[bytes]:
    """What comes, as soon as it comes, up to `left` bytes; every failure is a DownloadError."""
    while left is None or left > 0:
        try:
            chunk = answer.read1(_CHUNK if left is None else min(_CHUNK, left))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _failure(error, address) from None
        if not chunk:
            return
        left = None if left is None else left - len(chunk)
        yield chunk
