"""Arms run by DVC, each in a workspace of its own that shares the cache with the repository.

A workspace holds a copy of the code, of dvc.yaml and of params.yaml with one arm as its only
variant. What `dvc repro` does there is what it does in the repository: it trains what is new,
resumes what was interrupted, and fetches from the cache what was trained before. An arm that
fails leaves the others alone, and several can run at once.
"""

from __future__ import annotations

import configparser
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import chdir, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from sharpvae.config.names import read_params
from sharpvae.config.settings import REQUIREMENTS
from sharpvae.core.artefacts import load_artefact
from sharpvae.core.errors import UserError
from sharpvae.core.files import expanded, write_json
from sharpvae.distributed.processes import handled
from sharpvae.vae.reference import is_own, sources

FOLDER = "experiments"  # where the workspaces lie, beside params.yaml
# Copied, as are dvc.yaml, .dvcignore, and the code of a network of the user's own elsewhere.
CODE = ("sharpvae", "stages")  # of a clone; what `sharpvae init` laid out has REQUIREMENTS
SETTINGS = ("presets", "studies", "networks")
SAMPLES = "samples"
LOG = "dvc.log"
TARGET = "evaluate"  # no report on a single arm
_SECONDS = "seconds.json"  # what the arm took, of all calls together
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc")


class Outcome(NamedTuple):
    """How one arm ended."""

    arm: str
    seconds: float  # of this call; near 0 where nothing was left to do
    error: str  # the last lines of its log; "" after success


class Workspaces:
    """The workspaces of one ablation or claim, below `experiments/<name>` of the repository.

    Args:
        root: the repository, with params.yaml.
        name: of the folder.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.root, self.folder = root.resolve(), root.resolve() / FOLDER / name
        self._running: set[subprocess.Popen[bytes]] = set()

    def place(self, arm: str) -> Path:
        """The workspace of an arm."""
        return self.folder / arm

    def shared(self) -> None:
        """Run in the repository what all arms share: images, critic, judges.

        Raises:
            UserError: one of these stages failed; its own message is on the terminal.
        """
        done = subprocess.run(_dvc("repro", "prepare", "critic", "reference"), cwd=self.root)
        if done.returncode:
            where, fix = "dvc repro prepare critic reference", "mend what it says above"
            raise UserError(where, "success", f"exit code {done.returncode}", fix)

    def lay(
        self, arms: Mapping[str, Mapping[str, Any]], seeds: Sequence[int],
        params_of_all: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Write the workspaces: code as it is now, and params.yaml with one variant.

        Args:
            arms: name -> sections, as under `variants` of params.yaml.
            params_of_all: what these arms have otherwise in sections that variants share.
        """
        params, settings = read_params(self.root / "params.yaml"), self._dvc_config()
        params = _absolute({**params, **(params_of_all or {})}, self.root)
        for arm, sections in arms.items():
            place = self.place(arm)
            code = CODE if (self.root / CODE[0]).is_dir() else ()
            for name in (*code, *SETTINGS):
                _replace(self.root / name, place / name)
            (place / SAMPLES).mkdir(exist_ok=True)  # of which no arm has any
            for name in ("dvc.yaml", ".dvcignore", *([] if code else [REQUIREMENTS])):
                shutil.copyfile(self.root / name, place / name)
            self._copy_network(place, sections, params)
            _link(self.root / "data/raw", place / "data/raw")
            own = {
                **params,
                "seeds": list(seeds),
                "variants": {arm: dict(sections)},
            }
            with (place / "params.yaml").open("w", encoding="utf-8") as file:
                YAML(typ="safe", pure=True).dump(own, file)
            (place / ".dvc").mkdir(exist_ok=True)
            with (place / ".dvc/config").open("w", encoding="utf-8") as file:
                settings.write(file)

    def _copy_network(
        self, place: Path, sections: Mapping[str, Any], params: Mapping[str, Any]
    ) -> None:
        """Bring the code of an arm's network, where that is a file of the repository."""
        models = [values.get("model") or {} for values in (sections, params)]
        family = next((model["family"] for model in models if model.get("family")), "")
        with chdir(self.root):
            code = sources(family) if is_own(family) else {}
        for name, content in code.items():
            source = (self.root / name).resolve()
            if source.is_relative_to(self.root) and source.is_file():
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                (place / name).write_bytes(content)

    def _dvc_config(self) -> configparser.ConfigParser:
        """That of the repository, with its cache, and without git."""
        settings = configparser.ConfigParser(interpolation=None)
        settings.read([self.root / ".dvc/config", self.root / ".dvc/config.local"])
        for section in settings.values():
            url = section.get("url")
            if url and "://" not in url:  # relative to the folder of the file that says so
                section["url"] = str((self.root / ".dvc" / url).resolve())
        told = subprocess.run(
            _dvc("cache", "dir"), cwd=self.root, capture_output=True, text=True, check=True
        )
        for name in ("core", "cache"):
            if not settings.has_section(name):
                settings.add_section(name)
        settings["core"]["no_scm"] = "true"
        settings["cache"]["dir"] = str((self.root / told.stdout.strip()).resolve())
        return settings

    def run(
        self, arms: Sequence[str], jobs: int, on_end: Callable[[Outcome], None]
    ) -> dict[str, str]:
        """Run arms, `jobs` at a time, in their order.

        Args:
            on_end: called as each ends.

        Returns:
            arm -> why it failed, of those that did.

        Raises:
            KeyboardInterrupt: after every running arm has saved what it has.
        """
        failed = {}
        with ThreadPoolExecutor(jobs) as pool, self._stopping(pool):
            waiting: list[Future[Outcome]] = [pool.submit(self._run, arm) for arm in arms]
            for ended in as_completed(waiting):
                outcome = ended.result()
                if outcome.error:
                    failed[outcome.arm] = outcome.error
                on_end(outcome)
        return failed

    def failure(self, failed: Mapping[str, str]) -> UserError:
        """What to tell of arms that failed, as `run` returns them."""
        first, why = next(iter(failed.items()))
        log = (self.place(first) / LOG).relative_to(self.root)
        expected = "every arm to be trained and scored"
        fix = f"see {log}, mend it and run this again"
        return UserError(", ".join(failed), expected, why, fix)

    @contextmanager
    def _stopping(self, pool: ThreadPoolExecutor) -> Iterator[None]:
        """On an interruption start nothing new, and let what runs save what it has."""

        def stop(number: int, frame: FrameType | None) -> None:
            raise KeyboardInterrupt

        used = [n for n in _SIGNALS if signal.getsignal(n) is not signal.SIG_IGN]
        with handled(dict.fromkeys(used, stop)):
            try:
                yield
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for process in list(self._running):
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGTERM)  # DVC and its stage
                raise

    def _run(self, arm: str) -> Outcome:
        place, began = self.place(arm), time.monotonic()
        with (place / LOG).open("wb") as log:
            process = subprocess.Popen(
                _dvc("repro", TARGET), cwd=place, stdout=log, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, env=_environment(), start_new_session=True,
            )  # fmt: skip
            self._running.add(process)
            code = process.wait()
            self._running.discard(process)
        seconds = time.monotonic() - began
        return Outcome(arm, seconds, "" if code == 0 else _last_lines(place / LOG))


def spent(place: Path) -> float:
    """Seconds that a workspace's arm took in all calls; 0 before the first."""
    path = place / _SECONDS
    return load_artefact(path, float) if path.exists() else 0.0


def add_spent(place: Path, seconds: float) -> None:
    """Count `seconds` more."""
    write_json(place / _SECONDS, round(spent(place) + seconds, 1))


def _dvc(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dvc", *arguments]


def _environment() -> dict[str, str]:
    """With this interpreter as `python`, and no path to the code but the workspace's."""
    own = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return own | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def _replace(source: Path, target: Path) -> None:
    """A copy of a folder in the place of the last one."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=_IGNORED)


def _link(source: Path, target: Path) -> None:
    """Let downloads lie where those of the repository lie."""
    source.mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.is_symlink():
        target.symlink_to(source)


def _absolute(params: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """Let `data.path` and `data.mirror` mean the same in a workspace as in the repository."""
    data = dict(params.get("data") or {})
    for key in ("path", "mirror"):
        value = data.get(key)
        if isinstance(value, str) and "://" not in value:
            data[key] = str((root / expanded(value)).resolve())
    return {**params, "data": data}


def _last_lines(log: Path, count: int = 6) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return "\n".join(lines[-count:]) or "no output"
