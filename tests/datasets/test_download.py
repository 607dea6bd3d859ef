"""Downloads that break off, and what comes of them; on a real server, with real processes."""

from __future__ import annotations

import contextlib
import email.utils
import hashlib
import http.client
import http.server
import json
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sharpvae.core.errors import UserError
from sharpvae.datasets import download as module
from sharpvae.datasets import download as network_errors
from sharpvae.datasets.catalogue import Entry, File
from sharpvae.datasets.download import DownloadError, download
from sharpvae.datasets.fetch import obtain, places
from tests.datasets.samples import Answer, Record, Resumable, Server, in_turn, small_disk
from tests.processes import running, told

DATA = bytes(range(1, 251)) * 4000  # a million bytes
HALF = 400_000
FILE = File("a.bin", f"sha256:{hashlib.sha256(DATA).hexdigest()}", len(DATA))
ANY = File("a.bin", None, None)  # nobody states its hash

OBTAIN = """
import sys
from pathlib import Path
from sharpvae.datasets.catalogue import Entry, File
from sharpvae.datasets.fetch import obtain, places
class Told:
    def step(self, title, done, total, unit="images"):
        print("step", done, total)
    def note(self, text):
        print("note", text)
base, raw, digest, size = sys.argv[1:]
entry = Entry("set", "", "", "", "images", "", files=(File("a.bin", digest, int(size)),))
obtain(entry, places(entry, None, base, Path(raw)), Path(raw), Told())
print("done")
"""


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def failing(server: Server, folder: Path, file: File = FILE, record: Record | None = None) -> str:
    with pytest.raises(DownloadError) as caught:
        download(f"{server.base}/a.bin", file, folder, record or Record())
    return str(caught.value)


def interrupted(folder: Path, address: str, answer: Resumable, **changes: object) -> None:
    """Leave in `folder` what a killed download of the first half would."""
    origin = {"address": address, "validator": answer.etag, "total": len(answer.data), **changes}
    (folder / ".a.bin.part").write_bytes(answer.data[:HALF])
    (folder / ".a.bin.part.json").write_text(json.dumps(origin))


@pytest.mark.parametrize("etag", ['"1"', None])
def test_a_cut_connection_is_resumed_at_once(
    server: Server, tmp_path: Path, record: Record, etag: str | None
) -> None:
    whole = Resumable(DATA, etag)
    server.answers["/a.bin"] = in_turn(Resumable(DATA, etag, cut=HALF), whole)
    path = download(f"{server.base}/a.bin", FILE, tmp_path, record)
    assert path.read_bytes() == DATA
    assert left(tmp_path) == ["a.bin"]
    assert server.headers[1]["Range"] == f"bytes={HALF}-"
    assert server.headers[1].get("If-Range") == etag
    assert whole.sent == [len(DATA) - HALF]
    assert record.notes == [
        "a.bin: the connection was cut after 400000 of 1000000 bytes; 400.0 kB are there; "
        "tries again in 0.01 s"
    ]
    done = [done for _, done, _ in record.steps]
    assert done[0] == 0 and done[-1] == len(DATA) and done == sorted(done)
    assert record.units == {"bytes"}


def test_the_next_run_resumes_what_a_failure_left(server: Server, tmp_path: Path) -> None:
    cut = Resumable(DATA, cut=HALF)
    server.answers["/a.bin"] = in_turn(cut, 403)
    assert "HTTP 403" in failing(server, tmp_path)
    assert left(tmp_path) == [".a.bin.part", ".a.bin.part.json"]
    server.answers["/a.bin"] = whole = Resumable(DATA)
    record = Record()
    download(f"{server.base}/a.bin", FILE, tmp_path, record)
    assert whole.sent == [len(DATA) - HALF]
    assert record.steps[0] == ("downloading a.bin", HALF, len(DATA))
    assert record.notes == []


def test_a_connection_that_is_cut_again_and_again_gets_there(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CHUNK", 1 << 14)
    server.answers["/a.bin"] = answer = Resumable(DATA, cut=50_000)
    download(f"{server.base}/a.bin", FILE, tmp_path, Record())
    assert answer.sent == [50_000] * 20  # many more than the tries without any headway


def test_a_connection_that_gets_nowhere_is_given_up(server: Server, tmp_path: Path) -> None:
    server.answers["/a.bin"] = in_turn(Resumable(DATA, cut=HALF), Resumable(DATA, cut=0))
    text = failing(server, tmp_path)
    assert "cut after 400000 of 1000000 bytes; 400.0 kB are kept, the next run asks" in text
    assert len(server.asked) == 1 + len(module.BACK_OFF)


def test_ctrl_c_keeps_what_came(server: Server, tmp_path: Path) -> None:
    class Interrupting(Record):
        def step(self, title: str, done: int, total: int, unit: str = "images") -> None:
            if done:
                raise KeyboardInterrupt

    server.answers["/a.bin"] = Resumable(DATA)
    with pytest.raises(KeyboardInterrupt):
        download(f"{server.base}/a.bin", FILE, tmp_path, Interrupting())
    had = (tmp_path / ".a.bin.part").stat().st_size
    assert had > 0
    server.answers["/a.bin"] = rest = Resumable(DATA)
    download(f"{server.base}/a.bin", FILE, tmp_path, Record())
    assert rest.sent == ([len(DATA) - had] if had < len(DATA) else [])


def test_a_server_that_ignores_range_sends_all(server: Server, tmp_path: Path) -> None:
    interrupted(tmp_path, f"{server.base}/a.bin", Resumable(DATA))
    server.answers["/a.bin"] = DATA
    assert download(f"{server.base}/a.bin", FILE, tmp_path, Record()).read_bytes() == DATA
    assert server.headers[0]["Range"] == f"bytes={HALF}-"
    assert len(server.asked) == 1


def test_a_login_page_does_not_cost_what_is_kept(server: Server, tmp_path: Path) -> None:
    page = Resumable(b"<!DOCTYPE html><p>accept our terms", '"page"', Content_Type="text/html")
    interrupted(tmp_path, f"{server.base}/a.bin", Resumable(DATA))
    server.answers["/a.bin"] = page
    assert "an HTML page instead of the rest" in failing(server, tmp_path)
    server.answers["/a.bin"] = rest = Resumable(DATA)
    download(f"{server.base}/a.bin", FILE, tmp_path, Record())
    assert rest.sent == [len(DATA) - HALF]


@pytest.mark.parametrize("file", [FILE, ANY])
def test_a_file_that_changed_in_between_is_sent_whole(
    server: Server, tmp_path: Path, file: File
) -> None:
    interrupted(tmp_path, f"{server.base}/a.bin", Resumable(bytes(len(DATA)), '"old"'))
    server.answers["/a.bin"] = answer = Resumable(DATA, '"new"')
    assert download(f"{server.base}/a.bin", file, tmp_path, Record()).read_bytes() == DATA
    assert server.headers[0]["If-Range"] == '"old"'
    assert answer.sent == [len(DATA)]


@pytest.mark.parametrize(
    ("etag", "start"), [('"other"', HALF), ('"1"', HALF + 1)], ids=["other version", "elsewhere"]
)
def test_a_part_that_does_not_fit_is_not_put_behind(
    server: Server, tmp_path: Path, etag: str, start: int
) -> None:
    def part(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(206)
        handler.send_header("ETag", etag)
        handler.send_header("Content-Range", f"bytes {start}-{len(DATA) - 1}/{len(DATA)}")
        handler.end_headers()
        handler.wfile.write(bytes(100))

    interrupted(tmp_path, f"{server.base}/a.bin", Resumable(DATA))
    server.answers["/a.bin"] = in_turn(part, DATA)
    assert download(f"{server.base}/a.bin", ANY, tmp_path, Record()).read_bytes() == DATA
    assert "Range" not in server.headers[1]


def test_a_patchwork_with_a_wrong_hash_starts_over_once(
    server: Server, tmp_path: Path, record: Record
) -> None:
    interrupted(tmp_path, f"{server.base}/a.bin", Resumable(b"x" * len(DATA), None))
    server.answers["/a.bin"] = answer = Resumable(DATA, None)
    assert download(f"{server.base}/a.bin", FILE, tmp_path, record).read_bytes() == DATA
    assert answer.sent == [len(DATA) - HALF, len(DATA)]
    assert "put together from two tries it is wrong contents" in record.notes[0]

    interrupted(tmp_path, f"{server.base}/a.bin", Resumable(DATA, None))
    server.answers["/a.bin"] = answer = Resumable(b"y" * len(DATA), None)
    (tmp_path / "a.bin").unlink()
    assert "a.bin is wrong contents" in failing(server, tmp_path)
    assert answer.sent == [len(DATA) - HALF, len(DATA)]
    assert left(tmp_path) == []


def test_without_hash_and_validator_nothing_is_resumed(server: Server, tmp_path: Path) -> None:
    server.answers["/a.bin"] = in_turn(Resumable(DATA, None, cut=HALF), 403)
    assert failing(server, tmp_path, ANY) == "HTTP 403 Forbidden"
    assert left(tmp_path) == []
    server.answers["/a.bin"] = in_turn(Resumable(DATA, None, cut=HALF), Resumable(DATA, None))
    assert download(f"{server.base}/a.bin", ANY, tmp_path, Record()).read_bytes() == DATA
    assert not any("Range" in headers for headers in server.headers)


def test_a_weak_etag_vouches_for_nothing_but_a_date_does(server: Server, tmp_path: Path) -> None:
    date = "Wed, 01 Jan 2020 00:00:00 GMT"
    server.answers["/a.bin"] = in_turn(
        Resumable(DATA, 'W/"1"', cut=HALF, Last_Modified=date), Resumable(DATA, date)
    )
    assert download(f"{server.base}/a.bin", ANY, tmp_path, Record()).read_bytes() == DATA
    assert server.headers[1]["If-Range"] == date


def test_the_part_of_another_address_is_left_alone_until_bytes_come(
    server: Server, tmp_path: Path
) -> None:
    interrupted(tmp_path, f"{server.base}/elsewhere/a.bin", Resumable(DATA))
    server.answers["/a.bin"] = in_turn(404, DATA)
    assert "HTTP 404" in failing(server, tmp_path)
    assert left(tmp_path) == [".a.bin.part", ".a.bin.part.json"]
    assert download(f"{server.base}/a.bin", FILE, tmp_path, Record()).read_bytes() == DATA
    assert not any("Range" in headers for headers in server.headers)
    assert left(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("origin", ["", "{", "[1]", '{"address": 1}'])
def test_a_broken_note_beside_the_part_costs_no_more_than_the_part(
    server: Server, tmp_path: Path, origin: str
) -> None:
    interrupted(tmp_path, f"{server.base}/a.bin", Resumable(DATA))
    (tmp_path / ".a.bin.part.json").write_text(origin)
    server.answers["/a.bin"] = Resumable(DATA)
    assert download(f"{server.base}/a.bin", FILE, tmp_path, Record()).read_bytes() == DATA
    assert left(tmp_path) == ["a.bin"]


def test_a_part_that_is_whole_already_is_only_verified(server: Server, tmp_path: Path) -> None:
    interrupted(tmp_path, f"{server.base}/a.bin", Resumable(DATA))
    (tmp_path / ".a.bin.part").write_bytes(DATA)
    server.answers["/a.bin"] = answer = Resumable(DATA)
    assert download(f"{server.base}/a.bin", FILE, tmp_path, Record()).read_bytes() == DATA
    assert answer.sent == []


def test_a_part_beyond_the_end_starts_over(server: Server, tmp_path: Path) -> None:
    interrupted(tmp_path, f"{server.base}/a.bin", Resumable(DATA), total=0)
    with (tmp_path / ".a.bin.part").open("ab") as part:
        part.write(DATA)
    server.answers["/a.bin"] = answer = Resumable(DATA)
    assert download(f"{server.base}/a.bin", FILE, tmp_path, Record()).read_bytes() == DATA
    assert answer.sent == [len(DATA)]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_passing_failure_is_tried_again(server: Server, tmp_path: Path, status: int) -> None:
    record = Record()
    server.answers["/a.bin"] = in_turn(status, status, DATA)
    download(f"{server.base}/a.bin", FILE, tmp_path, record)
    assert len(server.asked) == 3
    assert len(record.notes) == 2
    assert f"HTTP {status}" in record.notes[0] and "tries again in 0.01 s" in record.notes[0]


@pytest.mark.parametrize("status", [401, 403, 404, 407, 410, 501])
def test_a_refusal_is_final(server: Server, tmp_path: Path, status: int) -> None:
    server.answers["/a.bin"] = in_turn(status, DATA)
    assert f"HTTP {status}" in failing(server, tmp_path)
    assert len(server.asked) == 1
    assert left(tmp_path) == []


def test_the_waits_grow_and_a_server_may_ask_for_more(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(retry_after: str) -> Answer:
        def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
            handler.send_response(503)
            handler.send_header("Retry-After", retry_after)
            handler.end_headers()

        return answer

    waits: list[float] = []
    monkeypatch.setattr(module, "BACK_OFF", (1.0, 2.0, 4.0, 8.0))
    monkeypatch.setattr(time, "sleep", waits.append)
    later = email.utils.formatdate(time.time() + 30, usegmt=True)
    server.answers["/a.bin"] = in_turn(busy("7"), busy("1"), busy("3600"), busy(later), DATA)
    download(f"{server.base}/a.bin", FILE, tmp_path, Record())
    assert waits[:3] == [7.0, 2.0, module.LONGEST_WAIT]
    assert 25 < waits[3] <= 30
    server.answers["/a.bin"] = busy("soon")
    waits.clear()
    assert "HTTP 503" in failing(server, tmp_path)
    assert waits == [1.0, 2.0, 4.0, 8.0]


def test_a_silent_server_is_asked_again(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.1)
    silence = threading.Event()
    server.answers["/a.bin"] = in_turn(Resumable(DATA, cut=HALF, stall=silence), Resumable(DATA))
    record = Record()
    download(f"{server.base}/a.bin", FILE, tmp_path, record)
    silence.set()
    assert "no answer within 0.1 seconds; 400.0 kB are there" in record.notes[0]
    assert server.headers[1]["Range"] == f"bytes={HALF}-"


def test_a_chunked_answer_that_is_cut(server: Server, tmp_path: Path) -> None:
    def chunked(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"3e8\r\n" + DATA[:1000] + b"\r\n3e8\r\n" + DATA[1000:1500])

    server.answers["/a.bin"] = in_turn(chunked, Resumable(DATA))
    record = Record()
    handler = server.http.RequestHandlerClass
    handler.protocol_version = "HTTP/1.1"  # type: ignore[attr-defined]
    assert download(f"{server.base}/a.bin", FILE, tmp_path, record).read_bytes() == DATA
    assert "the connection was cut; 1.5 kB are there" in record.notes[0]


def test_a_killed_process_leaves_what_the_next_run_resumes(server: Server, tmp_path: Path) -> None:
    hold = threading.Event()
    server.answers["/set/a.bin"] = Resumable(DATA, cut=HALF, stall=hold)
    arguments = (server.base, tmp_path, FILE.digest, FILE.size)
    with running(OBTAIN, *arguments) as process:
        while told(process) != f"step {HALF} {len(DATA)}":
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
    hold.set()
    server.answers["/set/a.bin"] = rest = Resumable(DATA)
    entry = Entry("set", "", "", "", "images", "", files=(FILE,))
    found = obtain(entry, places(entry, None, server.base, tmp_path), tmp_path, Record())
    assert found["a.bin"].read_bytes() == DATA
    assert rest.sent == [len(DATA) - HALF]
    assert left(tmp_path / "set") == ["a.bin"]


def test_two_processes_at_once_download_once(server: Server, tmp_path: Path) -> None:
    hold = threading.Event()

    def slowly(handler: http.server.BaseHTTPRequestHandler) -> None:
        hold.wait(10)
        Resumable(DATA)(handler)

    server.answers["/set/a.bin"] = slowly
    arguments = (server.base, tmp_path, FILE.digest, FILE.size)
    with running(OBTAIN, *arguments) as first:
        while not server.asked:
            time.sleep(0.01)
        with running(OBTAIN, *arguments) as second:
            waits = f"note another process downloads into {tmp_path}/set: waiting for it"
            assert told(second) == waits
            hold.set()
            assert told(second) == "done"
            assert first.wait() == 0
    assert server.asked == ["/set/a.bin"]


def test_a_full_disk_names_what_is_needed_and_what_is_free(server: Server, tmp_path: Path) -> None:
    server.answers["/a.bin"] = Resumable(DATA)
    with small_disk(tmp_path / "disk", "600k") as disk:
        (disk / "a.bin").write_bytes(b"what was there before")
        with pytest.raises(UserError) as caught:
            download(f"{server.base}/a.bin", FILE, disk, Record())
        assert left(disk) == ["a.bin"]
        assert (disk / "a.bin").read_bytes() == b"what was there before"
    assert caught.value.where == str(disk)
    assert caught.value.expected == "room for a.bin, 1.0 MB"
    assert caught.value.found == "the disk is full: 610.3 kB free"


class Tunnel(http.server.BaseHTTPRequestHandler):
    """A forwarding proxy; without a login, one that refuses."""

    login: str | None = None
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.login and self.headers.get("Proxy-Authorization") != self.login:
            self.send_error(407)
            return
        host, _, path = self.path.removeprefix("http://").partition("/")
        upstream = http.client.HTTPConnection(host, timeout=5)
        upstream.request("GET", f"/{path}", headers={"Range": self.headers.get("Range", "")})
        answer = upstream.getresponse()
        body = answer.read()
        upstream.close()
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_CONNECT(self) -> None:
        self.asked.append(self.path)
        self.send_error(407 if self.login else 502)

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def proxy(login: str | None = None) -> Iterator[tuple[str, list[str]]]:
    """A proxy on loopback: host:port, and what it was asked for."""
    kind = type("Proxy", (Tunnel,), {"login": login, "asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as made:
        threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
        yield f"127.0.0.1:{made.server_port}", kind.asked  # type: ignore[attr-defined]
        made.shutdown()


def test_a_proxy_is_used_and_named(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers["/a.bin"] = DATA
    with proxy() as (host, asked):
        monkeypatch.setenv("http_proxy", f"http://me:secret@{host}")
        download(f"{server.base}/a.bin", FILE, tmp_path, Record())
        assert asked == [f"{server.base}/a.bin"]
        server.answers["/a.bin"] = 410
        text = failing(server, tmp_path)
        assert text == f"HTTP 410 Gone (through the proxy {host} that http_proxy names)"
    text = failing(server, tmp_path)  # and now nobody listens there
    assert text == f"Connection refused (through the proxy {host} that http_proxy names)"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert failing(server, tmp_path) == "HTTP 410 Gone"


def test_a_proxy_that_wants_a_login(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers["/a.bin"] = DATA
    with proxy("Basic bWU6c2VjcmV0") as (host, asked):
        monkeypatch.setenv("HTTP_PROXY", f"http://{host}/")
        text = failing(server, tmp_path)
        assert text == (
            f"HTTP 407 Proxy Authentication Required: the proxy {host} wants a login: "
            f"set HTTP_PROXY to http://USER:PASSWORD@{host}"
        )
        assert len(asked) == 1
        monkeypatch.setenv("HTTP_PROXY", f"http://me:wrong@{host}")
        text = failing(server, tmp_path)
        assert "does not accept the login that HTTP_PROXY gives" in text and "wrong" not in text
        monkeypatch.setenv("HTTP_PROXY", f"http://me:secret@{host}")
        download(f"{server.base}/a.bin", FILE, tmp_path, Record())

        monkeypatch.setenv("https_proxy", host)
        secure = "https://example.invalid/a.bin"
        with pytest.raises(DownloadError, match=f"set https_proxy to http://USER:PASSWORD@{host}"):
            download(secure, FILE, tmp_path, Record())


def test_a_proxy_that_cannot_reach_the_host_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxy() as (host, asked):
        monkeypatch.setenv("https_proxy", f"http://{host}")
        with pytest.raises(DownloadError, match=r"HTTP 502 Bad Gateway \(through the proxy"):
            download("https://example.invalid/a.bin", FILE, tmp_path, Record())
        assert len(asked) == 1 + len(module.BACK_OFF)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_a_certificate_that_is_not_trusted(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-keyout", key, "-out", certificate, "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    server.base = server.base.replace("http:", "https:")
    server.answers["/a.bin"] = DATA
    folder = tmp_path / "raw"
    folder.mkdir()
    record = Record()
    text = failing(server, folder, record=record)
    assert "the server's certificate is not trusted: self-signed certificate" in text
    assert "SSL_CERT_FILE" in text
    assert record.notes == []  # not tried again
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert download(f"{server.base}/a.bin", FILE, folder, record).read_bytes() == DATA


def test_a_name_that_nobody_knows_is_not_asked_again(
    tmp_path: Path, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(DownloadError, match="no such host, or no network; where only a proxy"):
        download("http://example.invalid/a.bin", FILE, tmp_path, record)
    assert record.notes == []


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (ConnectionResetError(104, "reset"), True),
        (http.client.RemoteDisconnected("closed"), True),
        (urllib.error.URLError(TimeoutError()), True),
        (ssl.SSLEOFError(8, "EOF"), True),
        (ssl.SSLError(1, "wrong version"), False),
        (ConnectionRefusedError(111, "refused"), False),
        (OSError(101, "Network is unreachable"), False),
        (http.client.BadStatusLine("?"), False),
        (ValueError("no address"), False),
    ],
)
def test_which_failures_may_pass(error: Exception, again: bool) -> None:
    assert network_errors.may_pass(error) is again
    assert network_errors.reason(error, "http://[broken", 1.0)


def test_a_size_of_5000_digits_is_no_size(server: Server, tmp_path: Path) -> None:
    def odd(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "9" * 5000)
        handler.send_header("Content-Range", f"bytes 0-{'9' * 5000}/{'9' * 5000}")
        handler.end_headers()
        handler.wfile.write(DATA)

    server.answers["/a.bin"] = odd
    assert download(f"{server.base}/a.bin", FILE, tmp_path, Record()).read_bytes() == DATA


def test_a_server_that_only_trickles_is_given_up(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trickle(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        with contextlib.suppress(OSError):
            while True:
                handler.wfile.write(b"x")
                time.sleep(0.02)

    monkeypatch.setattr("sharpvae.datasets.download.PACE", 0.1)
    server.answers["/a.bin"] = trickle
    with pytest.raises(DownloadError, match=r"only \d bytes came in 0.1 seconds"):
        download(f"{server.base}/a.bin", FILE, tmp_path, Record())


@pytest.mark.parametrize("target", ["ftp://127.0.0.1/a", "file:///etc/passwd", "FTP://x/a"])
def test_a_redirect_leaves_the_web_for_nothing(server: Server, tmp_path: Path, target: str) -> None:
    def elsewhere(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", target)
        handler.end_headers()

    server.answers["/a.bin"] = elsewhere
    with pytest.raises(DownloadError, match=r"[Rr]edirect"):
        download(f"{server.base}/a.bin", FILE, tmp_path, Record())
