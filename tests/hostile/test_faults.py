"""Machines that die and disks that fail, at every stage: nothing is lost, the next run mends it."""

from __future__ import annotations

import errno
import hashlib
import json
import mmap
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.forked import STAGES, Forking, forking
from tests.hostile.campaign import tell
from tests.processes import interruptible
from tests.toy import all_stages, dvc, dvc_environment, toy, under_dvc

KILLS, EVERY = 20, 4  # signals a stage gets; after so many it is left to end
SIGNALS = (
    (signal.SIGKILL,), (signal.SIGINT,), (signal.SIGTERM,), (signal.SIGHUP,),
    (signal.SIGINT, signal.SIGINT),
)  # fmt: skip
ARGUMENTS = {name: ["improved", "0"] for name in ("train", "sample", "evaluate")}
TIMES = {"cost.json", "seconds.json"}  # which say how long it took
LIVE = ("reports/live/", "reports/film/")
SOURCE = Path(__file__).with_name("faulty.c")
DAYS = 400 * 86400  # seconds
DROPPED = re.compile(r"Exception ignored in: .*?\nKeyboardInterrupt: *\n", re.DOTALL)

pytestmark = pytest.mark.slow


class Page:
    """The longs that faulty.c shares."""

    NAMES = ("written", "fail_at", "number", "for_good", "asked", "jump_at", "jump_by")

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(8 * len(self.NAMES)))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)

    def set(self, **values: int) -> None:
        """All others become 0."""
        assert set(values) <= set(self.NAMES)
        self._map[:] = struct.pack("7l", *(values.get(name, 0) for name in self.NAMES))

    def __getitem__(self, name: str) -> int:
        return int(struct.unpack("7l", self._map[:])[self.NAMES.index(name)])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every stage of one variant, undisturbed."""
    place = toy(tmp_path_factory.mktemp("whole"), alone)
    all_stages(place, "improved")
    return place


def alone(params: str) -> str:
    """params.yaml with `improved` alone, of few images, and a checkpoint after every epoch."""
    shared, _, _ = params.partition("\nvariants:\n")
    shared = shared.replace("  subset: null ", "  subset: 150 ", 1)
    short = "{count: 40, flow: {steps: 5}, mixture: {components: [1], draws: 200}}"
    often = "{updates: 8, checkpoint_every: 0.0}"
    return f"{shared}\nvariants:\n  improved: {{train: {often}, sample: {short}}}\n"


@pytest.fixture(scope="module")
def stages() -> Iterator[Forking]:
    with forking({}) as process:
        yield process


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Forking, Page]]:
    """Stages whose writes below the folder of the tests can be made to fail."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("faults of writes want Linux and a C compiler")
    root = tmp_path_factory.getbasetemp()
    library = tmp_path_factory.mktemp("library") / "faulty.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
    path = tmp_path_factory.mktemp("shared") / "page"
    shared = Page(path)
    environment = {
        "LD_PRELOAD": str(library), "FAULTY_PAGE": str(path), "FAULTY_ROOT": str(root / "attacked"),
    }  # fmt: skip
    with forking(environment) as process:
        yield process, shared


@pytest.fixture
def place(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of what the undisturbed stages left."""
    folder = tmp_path_factory.getbasetemp() / "attacked"
    shutil.copytree(finished, folder)
    yield folder
    shutil.rmtree(folder)


def few_checkpoints(place: Path) -> None:
    """At the end of each epoch, where there was one after each update: one takes 170 writes."""
    path = place / "configs/improved/train.json"
    config = json.loads(path.read_text())
    config["train"]["checkpoint_every"] = 1e6
    path.write_text(json.dumps(config))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def digests(place: Path) -> dict[str, str]:
    """Of every file, but the checkpoints and what says how long something took."""
    return {
        str(path.relative_to(place)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(place.rglob("*"))
        if path.is_file() and path.name not in TIMES and ".checkpoints" not in path.parts
    }


def visible(place: Path) -> dict[str, str]:
    """The same without what a killed process may leave, which begins with a dot, and without what
    a training shows while it runs.
    """
    return {
        name: digest
        for name, digest in digests(place).items()
        if not any(part.startswith(".") for part in Path(name).parts) and not name.startswith(LIVE)
    }


def said(log: Path) -> str:
    """Without a traceback, but of Ctrl-C while the stage was imported, so that nothing of ours ran
    yet, or in the middle of Python's own work, which drops what is raised there.
    """
    text = DROPPED.sub("", log.read_text(errors="replace"))
    importing = text.endswith("KeyboardInterrupt\n") and "console.py" not in text
    assert importing or "Traceback" not in text, text
    return text


def run(stages: Forking, stage: str, place: Path, log: Path) -> int:
    stages.start(stage, ARGUMENTS.get(stage, []), place, log)
    return stages.wait()


@pytest.mark.parametrize("stage", STAGES)
def test_signals_at_random_moments(request, stages, finished, place, log, stage: str) -> None:
    moments, expected = random.Random(stage), digests(finished)
    for _ in range(2):  # the very first waits for the process that forks
        began = time.monotonic()
        assert run(stages, stage, place, log) == 0, said(log)
        whole = time.monotonic() - began
    assert digests(place) == expected
    for count in range(KILLS):
        number = stages.start(stage, ARGUMENTS.get(stage, []), place, log)
        time.sleep(moments.uniform(0, whole))
        for signal_ in SIGNALS[count % len(SIGNALS)]:
            if Path(f"/proc/{number}/stat").exists():
                os.kill(number, signal_)
            time.sleep(0.02)
        code = stages.wait()
        assert code in (0, 130, *(-signal_ for signal_, *_ in SIGNALS)), said(log)
        assert code or "interrupted" not in said(log)
        assert visible(place).items() <= expected.items(), f"after {count} signals: {said(log)}"
        if count % EVERY == EVERY - 1:
            assert run(stages, stage, place, log) == 0, said(log)
            assert digests(place) == expected
    tell(request, f"signals: {stage}", KILLS, 0)


@pytest.mark.parametrize("stage", STAGES)
def test_each_write_fails_once(request, faulty, place, log, stage: str) -> None:
    stages, page = faulty
    if stage == "train":
        few_checkpoints(place)
    expected = digests(place)
    page.set()
    assert run(stages, stage, place, log) == 0, said(log)
    writes, right, refused = page["written"], 0, 0
    assert writes and digests(place) == expected
    for at in range(1, writes + 1):
        page.set(fail_at=at, number=errno.EIO)
        code, text = run(stages, stage, place, log), said(log)
        assert code in (0, 1), f"write {at} of {writes}: {code}: {text}"
        assert code == 0 or text.count("error: ") == 1, f"write {at} of {writes}: {text}"
        assert visible(place).items() <= expected.items(), f"write {at} of {writes}: {text}"
        right, refused = right + (code == 0), refused + code
    page.set()
    assert run(stages, stage, place, log) == 0, said(log)
    assert digests(place) == expected
    tell(request, f"EIO at each write: {stage}", right, refused)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("stage", STAGES)
def test_no_write_from_some_moment_on(request, faulty, place, log, stage: str, number: int) -> None:
    stages, page = faulty
    if stage == "train":
        few_checkpoints(place)
    expected, moments = digests(place), random.Random(stage)
    page.set()
    assert run(stages, stage, place, log) == 0, said(log)
    writes = page["written"]
    tried = {1, writes, *moments.sample(range(1, writes + 1), min(writes, 10))}
    right = 0
    for at in sorted(tried):
        page.set(fail_at=at, number=number, for_good=1)
        code, text = run(stages, stage, place, log), said(log)
        assert code in (0, 1), f"write {at} of {writes}: {code}: {text}"
        assert code == 0 or text.count("error: ") == 1, f"write {at} of {writes}: {text}"
        assert visible(place).items() <= expected.items(), f"write {at} of {writes}: {text}"
        right += code == 0
    page.set()
    assert run(stages, stage, place, log) == 0, said(log)
    assert digests(place) == expected
    name = {errno.ENOSPC: "disk full", errno.EROFS: "nothing can be written"}[number]
    tell(request, f"{name}: {stage}", right, len(tried) - right)


@pytest.mark.parametrize("stage", STAGES)
def test_the_clock_jumps(request, faulty, finished, place, log, stage: str) -> None:
    stages, page = faulty
    page.set(jump_at=1 << 40)
    assert run(stages, stage, place, log) == 0, said(log)
    asked = page["asked"]  # 0: this stage never does, so that no jump can matter to it
    jumps = [(part, by) for part in (0.2, 0.5, 0.8) for by in (-DAYS, DAYS)]
    tried = jumps if asked else []
    for part, by in tried:
        page.set(jump_at=max(1, round(part * asked)), jump_by=by)
        assert run(stages, stage, place, log) == 0, said(log)
        assert digests(place) == digests(finished)
    if asked:
        tell(request, f"the clock jumps: {stage}", len(tried), 0)


OUTPUTS = ("configs", "data", "models", "reports", ".checkpoints", ".dvc/cache", "dvc.lock")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, float]:
    """A folder that DVC works in, what it came to undisturbed, and how many seconds that took."""
    place = under_dvc(toy(tmp_path_factory.mktemp("dvc"), alone))
    began = time.monotonic()
    dvc(place, "repro")
    return place, outcome(place), time.monotonic() - began


def outcome(place: Path) -> bytes:
    return (place / "reports/metrics.json").read_bytes()


def wipe(place: Path) -> None:
    for name in OUTPUTS:
        path = place / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def reproducing(place: Path) -> subprocess.Popen[str]:
    """`dvc repro` as a terminal runs it: Ctrl-C reaches the stage, too."""
    return subprocess.Popen(
        interruptible(sys.executable, "-m", "dvc", "repro"), cwd=place, env=dvc_environment(),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


@pytest.mark.whole
def test_signals_to_dvc_at_random_moments(request, workspace) -> None:
    """To DVC alone, so that the stage is left without it; Ctrl-C to both, as a terminal does."""
    place, expected, whole = workspace
    moments = random.Random("dvc")
    for count in range(KILLS):
        if count % EVERY == 0:
            wipe(place)
        with reproducing(place) as process:
            time.sleep(moments.uniform(0, whole / 2))
            for signal_ in SIGNALS[count % len(SIGNALS)]:
                to = os.killpg if signal_ == signal.SIGINT else os.kill
                if process.poll() is None:
                    to(process.pid, signal_)
                time.sleep(0.02)
            text = process.communicate(timeout=120)[0]
        # Ctrl-C while a stage still imports ends in Python's own words.
        assert "Traceback" not in text or "KeyboardInterrupt" in text, text
        if count % EVERY == EVERY - 1:
            dvc(place, "repro")
            assert outcome(place) == expected
    tell(request, "signals: dvc repro", KILLS, 0)


@pytest.mark.whole
def test_two_at_once(request, workspace) -> None:
    """One does the work; the other waits, finds it done, or says that DVC is running."""
    place, expected, _ = workspace
    right, tried = 0, 5
    for count in range(tried):
        wipe(place)
        with reproducing(place) as first:
            time.sleep(count)
            with reproducing(place) as second:
                ends = [process.communicate(timeout=240)[0] for process in (first, second)]
            codes = [first.returncode, second.returncode]
        assert 0 in codes or any("lock" in text for text in ends), ends
        right += codes == [0, 0]
        dvc(place, "repro")
        assert outcome(place) == expected
    tell(request, "two dvc repro at once", right, tried - right)
