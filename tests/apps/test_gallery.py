"""`sharpvae gallery` before it serves."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from apps import gallery
from apps.main import main


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that would have been run."""
    from streamlit.web import cli

    calls: list[list[str]] = []
    monkeypatch.setattr(cli, "main", lambda given, standalone_mode: calls.append(given))
    return calls


def test_it_serves_this_machine_alone(served: list[list[str]], tmp_path: Path) -> None:
    assert main(["gallery", str(tmp_path), "--port", "8611"]) == 0
    (command,) = served
    assert command[:2] == ["run", str(gallery.SCRIPT)] and Path(command[1]).is_file()
    for flag in ("--server.address=127.0.0.1", "--server.port=8611", "--server.maxUploadSize=20"):
        assert flag in command
    assert command[command.index("--") :] == ["--", str(tmp_path)]


def test_a_model_that_is_not_there(
    served: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gallery", "nowhere"]) == 1
    assert "nowhere\n  expected: the folder of a trained VAE" in capsys.readouterr().err
    assert not served


def test_a_port_that_is_taken(served: list[list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["gallery", "--port", str(port)]) == 1
    assert f"127.0.0.1:{port}\n  expected: a free port" in capsys.readouterr().err
    assert not served


@pytest.mark.parametrize("port", ["0", "65536", "-1"])
def test_a_port_that_is_none(
    served: list[list[str]], port: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gallery", f"--port={port}"]) == 1
    assert "a number from 1 to 65535" in capsys.readouterr().err


def test_without_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gallery, "find_spec", lambda _: None)
    assert main(["gallery"]) == 1
    assert "pip install 'sharpvae[gallery]'" in capsys.readouterr().err
