"""Downloads that resume, are verified, and say what went wrong."""

from __future__ import annotations

import email.utils
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
from typing import Any, NamedTuple

from sharpvae.core.console import Progress
from sharpvae.core.files import amount, unwritable, write_json
from sharpvae.datasets.archives import fault
from sharpvae.datasets.catalogue import File

_COUNT = "[0-9]{1,18}"  # of bytes: more digits are no size of a file
_RANGE = re.compile(rf"bytes (?:({_COUNT})-{_COUNT}|\*)/({_COUNT}|\*)")
TIMEOUT = 10.0  # seconds without a byte
PACE = 60.0  # seconds, in each of which spans ...
SLOWEST = 1 << 16  # ... so many bytes must come, or the server is as good as silent
BACK_OFF = (1.0, 2.0, 4.0, 8.0)  # seconds before each further try
LONGEST_WAIT = 60.0  # seconds that a server's Retry-After may ask for
_CHUNK = 1 << 18
_SLACK = 1 << 20  # bytes by which a file may be larger than its contents
_NETWORK = (OSError, http.client.HTTPException, ValueError)
_Answer = http.client.HTTPResponse | urllib.error.HTTPError
_PASSING_STATUS = {408, 429, 500, 502, 503, 504}
_PASSING = (
    TimeoutError, ConnectionResetError, ConnectionAbortedError, BrokenPipeError,
    http.client.IncompleteRead, ssl.SSLEOFError,
)  # fmt: skip
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
    variable: str  # of the environment, that names it
    host: str  # and port
    login: bool  # whether the variable gives one


def _proxy_of(address: str) -> _Proxy | None:
    """The proxy in effect for `address`, as urllib chooses it."""
    try:
        parts = urllib.parse.urlsplit(address)
    except ValueError:
        return None
    names = (f"{parts.scheme}_proxy", f"{parts.scheme}_proxy".upper())
    variable = next((name for name in names if name in os.environ), "")
    value = os.environ.get(variable)
    if not value or urllib.request.proxy_bypass(parts.netloc):
        return None
    login, _, host = value.rpartition("://")[2].rstrip("/").rpartition("@")
    return _Proxy(variable, host, bool(login))


def reason(error: Exception, address: str, timeout: float) -> str:
    """Why the download of `address` failed, and through which proxy, if any."""
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
    through = f" (through the proxy {proxy.host} that {proxy.variable} names)" if proxy else ""
    return text + through


def may_pass(error: Exception) -> bool:
    """Whether the same request may succeed a little later."""
    cause = _cause(error)
    code, _ = _status(cause)
    return code in _PASSING_STATUS if code else isinstance(cause, _PASSING)


def retry_after(error: Exception) -> float:
    """The seconds that a server asks to wait before the next request; 0 where it does not."""
    if not isinstance(error, urllib.error.HTTPError):
        return 0.0
    asked = str(error.headers.get("Retry-After") or "").strip()
    if asked.isdecimal():
        return float(asked)
    with suppress(ValueError):
        return max(0.0, email.utils.parsedate_to_datetime(asked).timestamp() - time.time())
    return 0.0


def _cause(error: Exception) -> Exception:
    """What urllib wrapped, where it did."""
    inner = error.reason if isinstance(error, urllib.error.URLError) else None
    return inner if isinstance(inner, Exception) else error


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


class DownloadError(Exception):
    """Why one address did not give a file."""

    def __init__(
        self, text: str, missing: bool = False, passing: bool = False, wait: float = 0.0
    ) -> None:
        super().__init__(text)
        self.missing = missing  # HTTP 404
        self.passing = passing  # the next try may succeed
        self.wait = wait  # seconds that the server asks to wait before it


def download(address: str, file: File, folder: Path, progress: Progress) -> Path:
    """Download `address` and return its place in `folder`, verified, under the name of `file`.

    What came before a failure, a Ctrl-C or a kill is kept in `folder` under another name, and the
    next call resumes there. `folder` exists, and no other process downloads into it.

    Raises:
        DownloadError: no network, no such host, a refusal, a timeout, a cut connection, or other
            contents than those of `file`; a failure that may pass was tried again.
        UserError: the disk is full, or cannot be written to.
    """
    task = _Download(address, file, folder, progress)
    try:
        resumed = task.run()
        found = fault(task.part, file)
        if found is not None and resumed:
            progress.note(f"{file.name}: put together from two tries it is {found}; starts over")
            task.remove()
            task.run()
            found = fault(task.part, file)
        if found is not None:
            task.remove()
            raise DownloadError(f"{file.name} is {found}")
        target = task.part.replace(folder / file.name)
        task.remove()
        return target
    except BrokenPipeError:  # the reader of `progress` is gone; a disk knows no such error
        raise
    except OSError as error:  # those of the network have become a DownloadError
        needed = file.size or 0
        with suppress(OSError):
            origin = task.origin()
            needed = (origin.total if origin else 0) or needed
            task.remove()
        raise unwritable(folder, file.name, needed, error) from None


@dataclass(frozen=True)
class _Origin:
    """What a server reported about a file."""

    address: str
    validator: str | None  # changes when the file does
    total: int  # bytes of the whole file; 0 where unknown


class _Download:
    """A file that arrives as `part`, with its origin beside it; methods may raise OSError."""

    def __init__(self, address: str, file: File, folder: Path, progress: Progress) -> None:
        self.address, self.file, self.progress = address, file, progress
        self.part = folder / f".{file.name}.part"
        self._origin = folder / f".{file.name}.part.json"

    def run(self) -> bool:
        """Try until `part` holds all; returns whether bytes of an earlier try are among them."""
        failures, most = 0, self._size()
        while True:
            try:
                return self._try()
            except DownloadError as error:
                have, kept = self._size(), self._kept()
                if have >= most + _CHUNK:  # it makes progress, however often it breaks off
                    failures, most = 0, have
                if not error.passing or failures == len(BACK_OFF):
                    if kept:
                        here = f"{amount(have)} are kept, the next run asks for the rest"
                        text = f"{error}; {here}"
                        raise DownloadError(text, error.missing, error.passing) from None
                    origin = self.origin()
                    if origin is None or origin.address == self.address:  # of no use
                        self.remove()
                    raise
                wait = max(BACK_OFF[failures], min(error.wait, LONGEST_WAIT))
                failures += 1
                there = f"; {amount(have)} are there" if kept else ""
                self.progress.note(f"{self.file.name}: {error}{there}; tries again in {wait:g} s")
                time.sleep(wait)

    def origin(self) -> _Origin | None:
        """Where the bytes came from; None where there are none, or nothing is known of them."""
        try:
            origin = _Origin(**json.loads(self._origin.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        size = self._size()
        fits = isinstance(origin.total, int) and 0 < size <= (origin.total or size)
        return origin if fits else None

    def remove(self) -> None:
        """Remove `part` and its origin."""
        self.part.unlink(missing_ok=True)
        self._origin.unlink(missing_ok=True)

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _kept(self) -> _Origin | None:
        """The origin of the bytes that are there, where the rest may be appended.

        Without a digest, which finds a mixture of two versions, the server has to name the version.
        """
        origin = self.origin()
        if origin is None or origin.address != self.address:
            return None
        return None if self.file.digest is None and origin.validator is None else origin

    def _try(self) -> bool:
        """One request, or two where what is kept turns out to be of no use; returns as `run`."""
        kept, have = self._kept(), self._size()
        with _opened(self.address, kept, have) as answer:
            headers = answer.headers
            etag = headers.get("ETag")  # a strong one, else the date of the last change
            version = etag if etag and etag.startswith('"') else headers.get("Last-Modified")
            found = _RANGE.fullmatch((headers.get("Content-Range") or "").strip())
            start, total = found.groups() if found else (None, "*")
            whole = 0 if total == "*" else int(total)
            if answer.status not in (206, 416):
                if kept is not None and headers.get_content_type() == "text/html":
                    raise DownloadError("an HTML page instead of the rest of the file")
                self._receive_all(answer, version, whole)
                return False
            if kept is not None:
                whole = whole or kept.total
                if answer.status == 416 and have == whole:
                    return True
                same = kept.total in (0, whole) and len({version, kept.validator} - {None}) < 2
                if answer.status == 206 and start == str(have) and same:
                    self._receive(answer, have, whole)
                    return True
        if kept is None:
            raise DownloadError("a part of the file, although all of it was asked for")
        self.remove()
        return self._try()

    def _receive_all(self, answer: _Answer, version: str | None, whole: int) -> None:
        length = answer.headers.get("Content-Length") or ""
        size = 0 if self.file.unpacked else self.file.size or 0
        size = int(length) if re.fullmatch(_COUNT, length) else size
        self._check_size(size, received=False)
        self.part.write_bytes(b"")  # first, or old bytes would pass for some of this origin
        write_json(self._origin, asdict(_Origin(self.address, version, size)))
        self._receive(answer, 0, size or whole)

    def _receive(self, answer: _Answer, have: int, total: int) -> None:
        """Append what comes after the first `have` bytes; `total` is 0 where unknown."""
        title, shown = f"downloading {self.file.name}", total or self.file.size or 0
        self.progress.step(title, have, shown, unit="bytes")
        since, before = time.monotonic(), have
        with self.part.open("ab") as target:
            while not total or have < total:
                try:
                    chunk = answer.read1(min(_CHUNK, total - have) if total else _CHUNK)
                except _NETWORK as error:
                    raise _failure(error, self.address) from None
                if not chunk:
                    break
                target.write(chunk)
                have += len(chunk)
                self._check_size(have, received=True)
                self.progress.step(title, have, shown, unit="bytes")
                if time.monotonic() - since >= PACE:
                    if have - before < SLOWEST:
                        slow = f"only {have - before} bytes came in {PACE:g} seconds"
                        raise DownloadError(slow, passing=True)
                    since, before = time.monotonic(), have
        if have < total:
            cut = f"the connection was cut after {have} of {total} bytes"
            raise DownloadError(cut, passing=True)

    def _check_size(self, count: int, received: bool) -> None:
        """Refuse more bytes than the file can have, and remove them where they were received."""
        if self.file.size is not None and count > self.file.size + _SLACK:
            if received:
                self.remove()
            raise DownloadError(f"more than the {self.file.size} bytes of the whole file")


class _ToTheWeb(urllib.request.HTTPRedirectHandler):
    """Follows no redirect to ftp://, as urllib would."""

    def redirect_request(self, *arguments: Any) -> urllib.request.Request | None:
        address = arguments[-1]
        if not address.lower().startswith(("http://", "https://")):
            raise ValueError(f"it redirects to {address}, which is no http(s) address")
        return super().redirect_request(*arguments)


def _opened(address: str, kept: _Origin | None, have: int) -> _Answer:
    """The answer to a request for the file, or for what comes after the first `have` bytes."""
    headers = {"User-Agent": "SharpVAE"}
    if kept is not None:
        headers["Range"] = f"bytes={have}-"
        if kept.validator is not None:
            headers["If-Range"] = kept.validator  # all of it where it has changed
    try:
        request = urllib.request.Request(address, headers=headers)
        return urllib.request.build_opener(_ToTheWeb).open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and kept is not None:
            return error
        with error:
            raise _failure(error, address) from None
    except _NETWORK as error:
        raise _failure(error, address) from None


def _failure(error: Exception, address: str) -> DownloadError:
    missing = isinstance(error, urllib.error.HTTPError) and error.code == 404
    why = reason(error, address, TIMEOUT)
    return DownloadError(why, missing, may_pass(error), retry_after(error))
