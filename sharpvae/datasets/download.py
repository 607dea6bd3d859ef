"""Downloads that resume, are verified, and say what went wrong."""

from __future__ import annotations

import email.utils
import errno
import http.client
import json
import os
import re
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from sharpvae.core.console import Progress
from sharpvae.core.files import amount, unwritable, write_json
from sharpvae.datasets.archives import fault
from sharpvae.datasets.catalogue import File

_PASSING_STATUS = {408, 429, 500, 502, 503, 504}
_PASSING_ERRNO = {errno.ECONNABORTED, errno.EPIPE}
_CUT = (ssl.SSLEOFError, http.client.IncompleteRead, http.client.RemoteDisconnected)
_WORDS = (  # the first that fits
    (ssl.SSLCertVerificationError, "the server's certificate is not trusted: "
     "{error.verify_message}; where a company's proxy signs TLS anew, set SSL_CERT_FILE to the "
     "file of its certificate authority"),
    (_CUT, "the connection was cut"),
    (ssl.SSLError, "TLS failed: {tls}"),
    (TimeoutError, "no answer within {timeout:g} seconds"),
    (socket.gaierror, "no such host, or no network{hint}"),
    (http.client.HTTPException, "no proper HTTP answer: {kind}"),
)  # fmt: skip
_HINT = "; where only a proxy leads out, set http_proxy and https_proxy"
_TUNNEL = re.compile(r"Tunnel connection failed: (\d+) ?(.*)")


class _Proxy(NamedTuple):
    """The environment variable that names a proxy, its host and port, and whether it has a user."""

    variable: str
    host: str
    login: bool


def _proxy_of(address: str) -> _Proxy | None:
    """The proxy in effect for `address`, as urllib chooses it."""
    try:
        parts = urllib.parse.urlsplit(address)
    except ValueError:  # no address at all
        return None
    names = (f"{parts.scheme}_proxy", f"{parts.scheme}_proxy".upper())
    variable = next((name for name in names if name in os.environ), "")
    value = os.environ.get(variable)
    if not value or urllib.request.proxy_bypass(parts.netloc):
        return None
    login, _, host = value.rpartition("://")[2].rstrip("/").rpartition("@")
    return _Proxy(variable, host, bool(login))


def reason(error: Exception, address: str, timeout: float) -> str:
    """Why `address` could not be had, and where a proxy stands in between, which one."""
    cause, proxy = _cause(error), _proxy_of(address)
    code, text = _status(cause)
    if code == 407:
        return f"HTTP 407 {text}: {_login(proxy)}"
    if code:
        text = f"HTTP {code} {text}".rstrip()
    else:
        text = next((words for kind, words in _WORDS if isinstance(cause, kind)), "{why}")
        text = text.format(
            error=cause, timeout=timeout, kind=type(cause).__name__, hint="" if proxy else _HINT,
            tls=getattr(cause, "reason", None) or cause,
            why=getattr(cause, "strerror", None) or cause,
        )  # fmt: skip
    return text + (
        f" (through the proxy {proxy.host} that {proxy.variable} names)" if proxy else ""
    )


def may_pass(error: Exception) -> bool:
    """Whether the same request may well be answered a little later."""
    cause = _cause(error)
    code, _ = _status(cause)
    if code:
        return code in _PASSING_STATUS
    if isinstance(cause, ssl.SSLError):
        return isinstance(cause, ssl.SSLEOFError)  # the connection ended without a farewell
    if isinstance(cause, TimeoutError | ConnectionResetError | http.client.IncompleteRead):
        return True
    return isinstance(cause, OSError) and cause.errno in _PASSING_ERRNO


def retry_after(error: Exception) -> float:
    """The seconds for which a server asks to be left alone; 0 where it does not."""
    if not isinstance(error, urllib.error.HTTPError):
        return 0.0
    asked = str(error.headers.get("Retry-After") or "").strip()
    if asked.isdecimal():
        return float(asked)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(asked).timestamp() - time.time())
    except ValueError:
        return 0.0


def _cause(error: Exception) -> Exception:
    """What urllib wrapped, where it did."""
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, Exception):
        return error.reason
    return error


def _status(cause: Exception) -> tuple[int, str]:
    """The HTTP status and its words, a proxy's refusal of a tunnel included; 0 where none."""
    if isinstance(cause, urllib.error.HTTPError):
        return cause.code, str(cause.reason)
    found = _TUNNEL.match(str(cause)) if isinstance(cause, OSError) else None
    return (int(found[1]), found[2]) if found else (0, "")


def _login(proxy: _Proxy | None) -> str:
    if proxy is None:
        return "a proxy wants a login"
    variable, host, login = proxy
    if login:
        return f"the proxy {host} does not accept the login that {variable} gives"
    return f"the proxy {host} wants a login: set {variable} to http://USER:PASSWORD@{host}"


_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")


@dataclass(frozen=True)
class _Origin:
    """What a server said of a file.

    Attributes:
        address: where it was asked for.
        validator: what tells this version of it from others; or None.
        total: the bytes of the whole; 0 where unknown.
    """

    address: str
    validator: str | None
    total: int


class _Partial:
    """A file `.<name>.part` and, beside it, its origin; every method may raise OSError."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f".{name}.part"
        self._origin = folder / f".{name}.part.json"

    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def origin(self) -> _Origin | None:
        """Where the bytes came from; None where there are none, or nothing is known of them."""
        try:
            origin = _Origin(**json.loads(self._origin.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        fits = isinstance(origin.total, int) and self.size() <= (origin.total or self.size())
        return origin if fits and self.size() > 0 else None

    def start(self, origin: _Origin) -> None:
        """Empty it for the bytes of `origin`."""
        self.path.write_bytes(b"")  # first, or bytes of old would pass for some of this origin
        write_json(self._origin, asdict(origin))

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self._origin.unlink(missing_ok=True)

    def finish(self, target: Path) -> Path:
        """Give it its final place and name."""
        self.path.replace(target)
        self._origin.unlink(missing_ok=True)
        return target


TIMEOUT = 10.0  # seconds without a byte
BACK_OFF = (1.0, 2.0, 4.0, 8.0)  # seconds before each further try
LONGEST_WAIT = 60.0  # seconds that a server's Retry-After may ask for
_CHUNK = 1 << 18
_SLACK = 1 << 20  # bytes by which a file may be larger than its contents

_NETWORK = (OSError, http.client.HTTPException, ValueError)
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
    part = _Partial(folder, file.name)
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


def _whole(address: str, file: File, part: _Partial, progress: Progress) -> bool:
    """Try until `part` holds all; returns whether bytes of an earlier try are among them."""
    failures, most = 0, part.size()
    while True:
        try:
            return _try(address, file, part, progress)
        except DownloadError as error:
            if part.size() >= most + _CHUNK:  # it gets ahead, however often it breaks off
                failures, most = 0, part.size()
            kept = _kept(address, file, part)
            if not error.passing or failures == len(BACK_OFF):
                origin = part.origin()
                if kept:
                    here = f"{amount(part.size())} are kept, the next run asks for the rest"
                    raise DownloadError(f"{error}; {here}", error.missing, error.passing) from None
                if origin is None or origin.address == address:  # of no use
                    part.remove()
                raise
            wait = max(BACK_OFF[failures], min(error.wait, LONGEST_WAIT))
            failures += 1
            there = f"; {amount(part.size())} are there" if kept else ""
            progress.note(f"{file.name}: {error}{there}; tries again in {wait:g} s")
            time.sleep(wait)


def _kept(address: str, file: File, part: _Partial) -> _Origin | None:
    """What is known of the bytes that are there, where the rest may be put behind them.

    Without a hash to tell a patchwork of two versions, the server has to vouch for the version.
    """
    origin = part.origin()
    if origin is None or origin.address != address:
        return None
    return None if file.digest is None and origin.validator is None else origin


def _try(address: str, file: File, part: _Partial, progress: Progress) -> bool:
    """One request, or two where what is kept turns out to be of no use; returns as `_whole`."""
    kept, have = _kept(address, file, part), part.size()
    with _opened(address, kept, have) as answer:
        headers = answer.headers
        etag = headers.get("ETag")  # a strong one, else the date of the last change
        version = etag if etag and etag.startswith('"') else headers.get("Last-Modified")
        found = _RANGE.fullmatch((headers.get("Content-Range") or "").strip())
        start, total = found.groups() if found else (None, "*")
        whole = 0 if total == "*" else int(total)
        if answer.status not in (206, 416):
            if kept is not None and headers.get_content_type() == "text/html":
                raise DownloadError("an HTML page instead of the rest of the file")
            said = headers.get("Content-Length") or ""
            size = int(said) if said.isdecimal() else (0 if file.unpacked else file.size or 0)
            _check_size(size, file)
            part.start(_Origin(address, version, size))
            _receive(answer, 0, size or whole, address, file, part, progress)
            return False
        if kept is not None:
            whole = whole or kept.total
            if answer.status == 416 and have == whole:
                return True
            same = kept.total in (0, whole) and len({version, kept.validator} - {None}) < 2
            if answer.status == 206 and start == str(have) and same:
                _receive(answer, have, whole, address, file, part, progress)
                return True
    if kept is None:
        raise DownloadError("a part of the file, although all of it was asked for")
    part.remove()
    return _try(address, file, part, progress)


def _opened(address: str, kept: _Origin | None, have: int) -> _Answer:
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
    except _NETWORK as error:
        raise _failure(error, address) from None
    return answer


def _failure(error: Exception, address: str) -> DownloadError:
    missing = isinstance(error, urllib.error.HTTPError) and error.code == 404
    return DownloadError(
        reason(error, address, TIMEOUT), missing, may_pass(error), retry_after(error)
    )


def _receive(
    answer: _Answer, have: int, total: int, address: str, file: File, part: _Partial,
    progress: Progress,
) -> None:  # fmt: skip
    """Put what comes behind the first `have` bytes of `part`; `total` is 0 where unknown."""
    title, shown = f"downloading {file.name}", total or file.size or 0
    progress.step(title, have, shown, unit="bytes")
    with part.path.open("ab") as target:
        while not total or have < total:
            try:
                chunk = answer.read1(min(_CHUNK, total - have) if total else _CHUNK)
            except _NETWORK as error:
                raise _failure(error, address) from None
            if not chunk:
                break
            target.write(chunk)
            have += len(chunk)
            _check_size(have, file, part)
            progress.step(title, have, shown, unit="bytes")
    if have < total:
        raise DownloadError(f"the connection was cut after {have} of {total} bytes", passing=True)


def _check_size(count: int, file: File, part: _Partial | None = None) -> None:
    """Refuse more than a file can have, and remove the `part` that has it."""
    if file.size is not None and count > file.size + _SLACK:
        if part is not None:
            part.remove()
        raise DownloadError(f"more than the {file.size} bytes of the whole file")
