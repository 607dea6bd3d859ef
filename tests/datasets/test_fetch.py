from __future__ import annotations

import gzip
import hashlib
import http.server
import socket
import time
from pathlib import Path

import pytest

from sharpvae.core.errors import UserError
from sharpvae.datasets import download
from sharpvae.datasets.archives import fault
from sharpvae.datasets.catalogue import entry
from sharpvae.datasets.download import reason
from sharpvae.datasets.fetch import obtain, places
from tests.datasets.samples import MIRROR, Record, Server, TinyDigits

IMAGES = "train-images-idx3-ubyte.gz"


def get(
    dataset, raw: Path, record: Record, path: str | None = None, mirror: str | None = None
) -> dict[str, Path]:
    return obtain(dataset, places(dataset, path, mirror, raw), raw, record)


def offer(server: Server, files: dict[str, bytes], folder: str = "/tiny") -> None:
    server.answers |= {f"{folder}/{name}": data for name, data in files.items()}


def failure(dataset, raw: Path, mirror: str) -> UserError:
    with pytest.raises(UserError) as caught:
        get(dataset, raw, Record(), mirror=mirror)
    return caught.value


def leftovers(raw: Path) -> list[Path]:
    return [path for path in raw.rglob("*") if path.is_file()]


def test_downloads_are_verified_and_kept(
    tiny: TinyDigits, server: Server, tmp_path: Path, record: Record
) -> None:
    offer(server, tiny.packed())
    found = get(tiny.entry(), tmp_path, record, mirror=server.base)
    for name, path in found.items():
        assert path == tmp_path / "tiny" / name
        assert gzip.decompress(path.read_bytes()) == tiny.unpacked[name]
        assert path.stat().st_mode & 0o777 == 0o644
    assert len(leftovers(tmp_path)) == 4
    size = len(tiny.packed()[IMAGES])
    assert (f"downloading {IMAGES}", size, size) in record.steps
    asked = len(server.asked)
    assert get(tiny.entry(), tmp_path, record, mirror=server.base) == found
    assert len(server.asked) == asked  # the second time nothing is asked
    assert record.notes == []


def test_files_may_lie_directly_in_the_mirror(
    tiny: TinyDigits, server: Server, tmp_path: Path, record: Record
) -> None:
    offer(server, tiny.packed(), folder="/pub")
    get(tiny.entry(), tmp_path, record, mirror=f"{server.base}/pub/")
    assert server.asked[:2] == [f"/pub/tiny/{IMAGES}", f"/pub/{IMAGES}"]


def test_a_file_packed_anew_is_accepted(
    tiny: TinyDigits, server: Server, tmp_path: Path, record: Record
) -> None:
    packed = tiny.packed(level=1)
    assert packed != tiny.packed()
    offer(server, packed)
    assert len(get(tiny.entry(), tmp_path, record, mirror=server.base)) == 4


@pytest.mark.parametrize("below", ["", "tiny"])
def test_folders_are_read_in_place(
    tiny: TinyDigits, tmp_path: Path, record: Record, below: str
) -> None:
    folder = tiny.write(tmp_path / "mirror" / below)
    found = get(tiny.entry(), tmp_path / "raw", record, mirror=str(tmp_path / "mirror"))
    assert found[IMAGES] == folder / IMAGES
    assert not (tmp_path / "raw").exists()


def test_unpacked_files_will_do(tiny: TinyDigits, tmp_path: Path, record: Record) -> None:
    for name, data in tiny.unpacked.items():
        (tmp_path / name.removesuffix(".gz")).write_bytes(data)
    found = get(tiny.entry(), tmp_path / "raw", record, path=str(tmp_path))
    assert {path.suffix for path in found.values()} == {""}


def test_the_order_of_places(
    tiny: TinyDigits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARPVAE_MIRROR", "http://environment.invalid/x/")
    dataset = tiny.entry(folders=("/system",), addresses=("https://public.invalid/tiny/",))
    found = places(dataset, str(tmp_path), "https://mirror.invalid", Path("data/raw"))
    assert [place.bases for place in found] == [
        ("data/raw/tiny",),
        (f"{tmp_path}/tiny", str(tmp_path)),
        ("https://mirror.invalid/tiny", "https://mirror.invalid"),
        ("http://environment.invalid/x/tiny", "http://environment.invalid/x"),
        ("/system",),
        ("https://public.invalid/tiny",),
    ]


def test_the_environment_names_a_mirror(
    tiny: TinyDigits, server: Server, tmp_path: Path, record: Record,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    offer(server, tiny.packed())
    monkeypatch.setenv("SHARPVAE_MIRROR", server.base)
    assert len(get(tiny.entry(), tmp_path, record)) == 4


def test_a_system_s_package_comes_before_public_hosts(
    tiny: TinyDigits, server: Server, tmp_path: Path, record: Record
) -> None:
    folder = tiny.write(tmp_path / "system")
    dataset = tiny.entry(folders=(str(folder),), addresses=(f"{server.base}/",))
    assert get(dataset, tmp_path / "raw", record)[IMAGES] == folder / IMAGES
    assert server.asked == []


def test_a_wrong_copy_is_passed_over_and_told(
    tiny: TinyDigits, server: Server, tmp_path: Path, record: Record
) -> None:
    mine = tiny.write(tmp_path / "mine")
    (mine / IMAGES).write_bytes(b"something else")
    offer(server, tiny.packed())
    found = get(tiny.entry(), tmp_path / "raw", record, path=str(mine), mirror=server.base)
    assert found[IMAGES] == tmp_path / "raw" / "tiny" / IMAGES
    assert len(record.notes) == 1
    assert "wrong contents: 14 bytes" in record.notes[0]
    assert str(mine) in record.notes[0]
    assert (mine / IMAGES).read_bytes() == b"something else"  # never touched


def test_a_damaged_download_of_old_is_replaced(
    tiny: TinyDigits, server: Server, tmp_path: Path, record: Record
) -> None:
    (tiny.write(tmp_path / "tiny") / IMAGES).write_bytes(tiny.packed()[IMAGES][:-9])
    offer(server, tiny.packed())
    found = get(tiny.entry(), tmp_path, record, mirror=server.base)
    assert gzip.decompress(found[IMAGES].read_bytes()) == tiny.unpacked[IMAGES]
    assert server.asked == [f"/tiny/{IMAGES}"]
    assert "truncated" in record.notes[0]


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_http_errors_are_named(
    tiny: TinyDigits, server: Server, tmp_path: Path, status: int
) -> None:
    server.answers |= {f"{folder}/{IMAGES}": status for folder in ("/tiny", "")}
    text = str(failure(tiny.entry(), tmp_path, server.base))
    assert f"HTTP {status}" in text
    assert server.base in text
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    "page", [b"<!DOCTYPE html><p>sign in", b"\n<html>", b"<?xml version='1'?>"]
)
def test_a_page_instead_of_the_file(
    tiny: TinyDigits, server: Server, tmp_path: Path, page: bytes
) -> None:
    offer(server, {IMAGES: page})
    text = str(failure(tiny.entry(), tmp_path, server.base))
    assert f"{IMAGES} is an HTML or XML page instead of the file" in text
    assert leftovers(tmp_path) == []


def test_bad_contents_are_named(tiny: TinyDigits, server: Server, tmp_path: Path) -> None:
    good = tiny.packed()[IMAGES]
    other = gzip.compress(tiny.unpacked[IMAGES][:-1] + b"?")
    bomb = gzip.compress(bytes(10_000_000))
    damaged = good[:40] + bytes(20) + good[60:]
    for data, why in [
        (b"", "an empty file"),
        (good[:-20], "a truncated gzip file"),
        (other, "wrong contents"),
        (bomb, "more than the 31376 bytes expected"),
        (damaged, "a damaged gzip file"),
    ]:
        offer(server, {IMAGES: data})
        assert why in str(failure(tiny.entry(), tmp_path, server.base)), why
        assert leftovers(tmp_path) == []


def test_a_mirror_that_is_down_is_waited_for_once(
    tiny: TinyDigits, server: Server, tmp_path: Path, record: Record
) -> None:
    offer(server, tiny.packed(), folder="/public")
    server.answers |= {f"/tiny/{name}": 503 for name in tiny.unpacked}
    dataset = tiny.entry(addresses=(f"{server.base}/public/",))
    assert len(get(dataset, tmp_path, record, mirror=server.base)) == 4
    assert server.asked.count(f"/tiny/{IMAGES}") == 1 + len(download.BACK_OFF)
    assert len(server.asked) == 1 + len(download.BACK_OFF) + 4
    assert "not asked again: HTTP 503" in record.notes[-1]


def test_a_connection_cut_half_way(tiny: TinyDigits, server: Server, tmp_path: Path) -> None:
    def cut(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "5000")
        handler.end_headers()
        handler.wfile.write(bytes(1234))
        handler.close_connection = True

    server.answers[f"/tiny/{IMAGES}"] = cut
    text = str(failure(tiny.entry(), tmp_path, server.base))
    assert "the connection was cut after 1234 of 5000 bytes" in text
    assert "1.2 kB are kept, the next run asks for the rest" in text
    assert {path.name for path in leftovers(tmp_path)} == {
        f".{IMAGES}.part",
        f".{IMAGES}.part.json",
    }


def test_a_server_that_never_stops(
    tiny: TinyDigits, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_SLACK", 0)
    offer(server, {IMAGES: bytes(40_000)})
    text = str(failure(tiny.entry(), tmp_path, server.base))
    assert "more than the 31376 bytes of the whole file" in text
    assert leftovers(tmp_path) == []


def test_a_server_that_never_answers(
    tiny: TinyDigits, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "TIMEOUT", 0.1)
    server.answers[f"/tiny/{IMAGES}"] = lambda handler: time.sleep(0.4)
    assert "no answer within 0.1 seconds" in str(failure(tiny.entry(), tmp_path, server.base))


def test_nobody_listens_there(tiny: TinyDigits, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert "Connection refused" in str(failure(tiny.entry(), tmp_path, base))


def test_tls_and_hosts_are_explained(tiny: TinyDigits, server: Server, tmp_path: Path) -> None:
    secure = server.base.replace("http:", "https:")  # a server that does not speak TLS
    assert "TLS failed" in str(failure(tiny.entry(), tmp_path, secure))
    unknown = reason(socket.gaierror(-2, "unknown"), secure, 10)
    assert "no such host, or no network" in unknown and "https_proxy" in unknown


def test_every_place_tried_is_listed_and_what_to_do(
    tiny: TinyDigits, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARPVAE_MIRROR", str(tmp_path / "unmounted"))
    mine = tmp_path / "mine"
    mine.mkdir()
    dataset = tiny.entry(folders=("/nowhere/tiny",), addresses=(f"{server.base}/public/",))
    with pytest.raises(UserError) as caught:
        get(dataset, tmp_path / "raw", Record(), path=str(mine), mirror=server.base)
    error = caught.value
    assert error.where == "data.name: tiny"
    assert hashlib.sha256(tiny.unpacked[IMAGES]).hexdigest() in error.expected
    for line in (
        f"{tmp_path}/raw/tiny (kept from before): no such file",
        f"{mine} (data.path): no such file",
        f"{server.base} (data.mirror): HTTP 404 Not Found",
        f"{tmp_path}/unmounted ($SHARPVAE_MIRROR): no such file",
        "/nowhere/tiny (installed): no such file",
        f"{server.base}/public/ (public): HTTP 404 Not Found",
    ):
        assert line in error.found
    for word in (
        *tiny.unpacked,
        f"{tmp_path}/raw/tiny/",
        "data.path",
        "data.mirror",
        "SHARPVAE_MIRROR",
    ):
        assert word in error.fix


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        ("path", "/nowhere/at/all", "no such folder: /nowhere/at/all"),
        ("path", "https://example.org/", "'https://example.org/'"),
        ("mirror", "/nowhere/at/all", "no such folder: /nowhere/at/all"),
        ("mirror", "ftp://example.org/", "'ftp://example.org/'"),
    ],
)
def test_a_place_that_cannot_be_is_refused_at_once(
    tiny: TinyDigits, tmp_path: Path, key: str, value: str, found: str
) -> None:
    with pytest.raises(UserError) as caught:
        get(tiny.entry(), tmp_path, Record(), **{key: value})
    assert caught.value.where == f"data.{key}"
    assert caught.value.found == found
    assert "an existing folder" in caught.value.expected


def test_a_disk_that_cannot_be_written_is_named(
    tiny: TinyDigits, server: Server, tmp_path: Path
) -> None:
    offer(server, tiny.packed())
    raw = tmp_path / "raw"
    raw.write_text("a file where a folder should be")
    with pytest.raises(UserError, match="cannot be written") as caught:
        get(tiny.entry(), raw, Record(), mirror=server.base)
    assert caught.value.where == str(raw / "tiny")


@pytest.mark.skipif(not MIRROR.is_dir(), reason="../shared/mirror is not there")
def test_the_published_mnist_passes() -> None:
    for file in entry("mnist").files:
        assert fault(MIRROR / "mnist" / file.name, file) is None


@pytest.mark.skipif(
    not Path("/usr/share/datasets/fashion-mnist").is_dir(),
    reason="the system's package of Fashion-MNIST is not installed",
)
def test_the_packaged_fashion_mnist_passes() -> None:
    dataset = entry("fashion-mnist")
    for file in dataset.files:
        assert fault(Path(dataset.folders[0]) / file.name, file) is None


def test_a_login_in_an_address_is_refused_and_not_printed(
    tiny: TinyDigits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = "http://me:secret@127.0.0.1:1/x"
    monkeypatch.setenv("SHARPVAE_MIRROR", mirror)
    for said_by, given in (("data.mirror", mirror), ("$SHARPVAE_MIRROR", None)):
        with pytest.raises(UserError, match="without a login") as caught:
            places(tiny.entry(), None, given, tmp_path)
        assert caught.value.where == said_by and "secret" not in str(caught.value)
