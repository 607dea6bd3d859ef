"""Failures of the network in plain words, and which of them may pass."""

from __future__ import annotations

import email.utils
import errno
import http.client
import os
import re
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass

_PASSING_STATUS = {408, 429, 500, 502, 503, 504}
_PASSING_ERRNO = {errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE}
_TUNNEL = re.compile(r"Tunnel connection failed: (\d+) ?(.*)")


@dataclass(frozen=True)
class Proxy:
    """The proxy that an address is reached through.

    Attributes:
        variable: the environment variable that names it.
        host: with its port, but without any user and password.
        login: whether the variable has a user.
    """

    variable: str
    host: str
    login: bool


def proxy_of(address: str) -> Proxy | None:
    """The proxy in effect for `address`, as urllib chooses it."""
    try:
        parts = urllib.parse.urlsplit(address)
    except ValueError:  # no address at all
        return None
    for variable in (f"{parts.scheme}_proxy", f"{parts.scheme}_proxy".upper()):
        if (value := os.environ.get(variable)) is not None:
            break
    else:
        return None
    if not value or urllib.request.proxy_bypass(parts.netloc):
        return None
    login, _, host = value.rpartition("://")[2].rstrip("/").rpartition("@")
    return Proxy(variable, host, bool(login))


def reason(error: Exception, address: str, timeout: float) -> str:
    """Why `address` could not be had, and where a proxy stands in between, which one."""
    cause, proxy = _cause(error), proxy_of(address)
    code, text = _status(cause)
    if code == 407:
        return f"HTTP 407 {text}: {_login(address, proxy)}"
    through = f" (through the proxy {proxy.host} that {proxy.variable} names)" if proxy else ""
    if code:
        return f"HTTP {code} {text}".rstrip() + through
    return _words(cause, timeout, proxy) + through


def may_pass(error: Exception) -> bool:
    """Whether the same request may well be answered a little later."""
    cause = _cause(error)
    code, _ = _status(cause)
    if code:
        return code in _PASSING_STATUS
    if isinstance(cause, ssl.SSLError):
        return isinstance(cause, ssl.SSLEOFError)  # the connection ended without a farewell
    cut = isinstance(cause, TimeoutError | http.client.IncompleteRead)
    return cut or (isinstance(cause, OSError) and _number(cause) in _PASSING_ERRNO)


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


def _number(cause: OSError) -> int | None:
    """The errno; http.client's own kind of reset has none."""
    return errno.ECONNRESET if isinstance(cause, ConnectionResetError) else cause.errno


def _login(address: str, proxy: Proxy | None) -> str:
    if proxy is None:
        return "a proxy wants a login"
    if proxy.login:
        return f"the proxy {proxy.host} does not accept the login that {proxy.variable} gives"
    return (
        f"the proxy {proxy.host} wants a login: "
        f"set {proxy.variable} to http://USER:PASSWORD@{proxy.host}"
    )


def _words(cause: Exception, timeout: float, proxy: Proxy | None) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return (
            f"the server's certificate is not trusted: {cause.verify_message}; where a company's "
            "proxy signs TLS anew, set SSL_CERT_FILE to the file of its certificate authority"
        )
    if isinstance(cause, ssl.SSLEOFError):
        return "the connection was cut"
    if isinstance(cause, ssl.SSLError):
        return f"TLS failed: {getattr(cause, 'reason', None) or cause}"
    if isinstance(cause, TimeoutError):
        return f"no answer within {timeout:g} seconds"
    if isinstance(cause, socket.gaierror):
        hint = "" if proxy else "; where only a proxy leads out, set http_proxy and https_proxy"
        return f"no such host, or no network{hint}"
    if isinstance(cause, http.client.IncompleteRead | http.client.RemoteDisconnected):
        return "the connection was cut"
    if isinstance(cause, http.client.HTTPException):
        return f"no proper HTTP answer: {type(cause).__name__}"
    return str(getattr(cause, "strerror", None) or cause)
