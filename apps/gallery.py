"""Look at trained VAEs in a browser: samples, sliders, morphs, reconstructions, real or fake?

sharpvae gallery                       those of this repository
sharpvae gallery ~/vae                 and one more: a folder, or a file of weights
sharpvae gallery --port 8600           at another port

It is served to this machine alone, and shows nothing but the VAEs, images and scores of this
folder and what is named here. Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
import socket
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

from apps import command
from sharpvae.core.console import exit_code
from sharpvae.core.errors import UserError

SCRIPT = Path(__file__).with_name("gallery_page.py")
PORT = 8501
PACKAGES = ("streamlit", "av")  # of the extra
MOST_MB = 20  # of an upload
LOCAL = "127.0.0.1"


def parser() -> argparse.ArgumentParser:
    """What `sharpvae gallery` takes."""
    made = command.parser("gallery", __doc__)
    made.add_argument("models", nargs="*", type=Path, metavar="MODEL", help="one more trained VAE")
    made.add_argument("--port", type=int, default=PORT, help=f"of the server ({PORT})")
    made.add_argument("--address", default=LOCAL, help=f"to listen at ({LOCAL}: this machine)")
    made.add_argument("--no-browser", action="store_true", help="print the address alone")
    return made


def main(arguments: Sequence[str]) -> int:
    """Serve until Ctrl-C; the exit code is 1 after a mistake that the user can mend."""
    options = parser().parse_args(arguments)
    return exit_code(lambda: serve(options), "the gallery is closed")


def serve(options: argparse.Namespace) -> None:
    """Run Streamlit on the page.

    Raises:
        UserError: the extra is missing, or a model that was named is not there.
    """
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        expected, found = " and ".join(PACKAGES), f"no {' and no '.join(missing)}"
        fix = "install the extra: pip install 'sharpvae[gallery]'"
        raise UserError("sharpvae gallery", expected, found, fix)
    for path in options.models:
        if not path.exists():
            expected = "the folder of a trained VAE, or a file of its weights"
            raise UserError(str(path), expected, "no such file")
    if not 0 < options.port < 1 << 16:
        raise UserError("--port", "a number from 1 to 65535", str(options.port))
    _require_free(options.address, options.port)
    from streamlit.web import cli  # a second

    # What the page imports takes as long as the server to start: beside each other.
    Thread(target=import_module, args=("sharpvae.gallery.page",), daemon=True).start()
    cli.main(_command(options), standalone_mode=False)


def _require_free(address: str, port: int) -> None:
    try:
        with socket.create_server((address, port)):
            pass
    except OSError as error:
        where, found = f"{address}:{port}", error.strerror or str(error)
        raise UserError(where, "a free port", found, "choose another with --port") from None


def _command(options: argparse.Namespace) -> list[str]:
    from sharpvae.report.theme import DARK, LIGHT

    settings = {
        "server.address": options.address, "server.port": options.port,
        "server.headless": str(options.no_browser).lower(),
        "server.maxUploadSize": MOST_MB,
        "server.fileWatcherType": "none", "server.runOnSave": "false",
        "browser.gatherUsageStats": "false", "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        # Collecting all garbage after every run holds back its last picture, for 0.2 s.
        "runner.postScriptGC": "false",
    }  # fmt: skip
    for theme in (LIGHT, DARK):
        settings |= {
            f"theme.{theme.name}.primaryColor": theme.colour(0),
            f"theme.{theme.name}.backgroundColor": theme.paper,
            f"theme.{theme.name}.secondaryBackgroundColor": theme.tint,
        }
    flags = [f"--{key}={value}" for key, value in settings.items()]
    models = [str(path.absolute()) for path in options.models]
    return ["run", str(SCRIPT), *flags, "--", *models]
