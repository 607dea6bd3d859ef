"""As much as nobody tried before: runs, classes, pixels; and as few images as there can be."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sharpvae.core.config import load_stage
from sharpvae.report.comparison import MOST
from sharpvae.report.evidence import ReportStage, load_evidence
from sharpvae.report.page import build_report
from tests.forked import STAGES
from tests.hostile.campaign import BYTES, SECONDS, some, tell
from tests.report.tree import blobs, every_score, write_tree
from tests.toy import OF_RUN, all_stages, environment, fresh, passes, toy, with_variants

pytestmark = pytest.mark.slow
VARIANTS, SEEDS, CLASSES = 100, 10, 10_000
MANY = 50_000  # images
A_NAME = 1200  # bytes that `prepare` holds of a file in an archive
PAGE = 4_000_000  # bytes
SHORT = "sample: {count: 200, flow: {steps: 5}, mixture: {components: [1], draws: 200}}"
# The most memory that a stage held, in KiB, as the last word of its output.
MEASURED = """
import atexit, resource, runpy, sys
kinds = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
atexit.register(lambda: print(sum(resource.getrusage(kind).ru_maxrss for kind in kinds)))
sys.argv[:] = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__")
"""


def test_a_thousand_runs_are_configured(
    request: pytest.FixtureRequest, tmp_path: Path, share: float
) -> None:
    variants = some(share, VARIANTS)

    def change(text: str) -> str:
        names = [f"  v{n:02}: {{model: {{latent_dim: {8 + n}}}}}" for n in range(variants)]
        text = text.replace("seeds: [0] ", f"seeds: {list(range(SEEDS))} ")
        return with_variants(text, "\n".join(names))

    place, began = toy(tmp_path, change), time.monotonic()
    done = fresh(place, "configure")
    seconds = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    assert seconds < 5
    assert len(list((place / "configs").glob("v*/train.json"))) == variants
    tell(request, "scale: runs configured", variants * SEEDS, cost=f"{seconds:.1f} s")


def test_a_thousand_runs_are_reported(
    request: pytest.FixtureRequest, tmp_path: Path, share: float
) -> None:
    variants = some(share, VARIANTS, 2 * MOST)
    random = np.random.default_rng(0)
    scores = {
        f"v{n:02}": {
            seed: every_score(0.3 + n / 200 + 0.01 * random.normal(), (120 + n, 97, 88), 17, 11, 2)
            for seed in range(SEEDS)
        }
        for n in range(variants)
    }
    changes = {name: {"model.latent_dim": 8 + n} for n, name in enumerate(scores)}
    write_tree(tmp_path, scores, images=blobs(40, 1), changes=changes)
    began = time.process_time()
    report = build_report(load_evidence(load_stage(tmp_path / "configs/report.json", ReportStage),
                                        tmp_path))  # fmt: skip
    seconds, page = time.process_time() - began, report.texts["report.html"]
    assert len(page.encode()) < PAGE
    assert f"Of {variants} variants" in page
    assert set(json.loads(report.texts["metrics.json"])) == set(scores)
    assert all(f">{name}<" in page for name in scores), "each has its row"
    assert seconds < 60
    tell(request, "scale: runs reported", variants * SEEDS, cost=f"{seconds:.1f} s")


def own(place: Path, variant: str = "", held_out: float = 0.2, size: int = 16) -> Path:
    """A workspace whose data is the archive mine.zip, all of it, a share of it test images."""

    def change(text: str) -> str:
        for before, after in (
            ("  name: mnist5k ", "  name: zip "), ("  path: null ", "  path: mine.zip "),
            ("  subset: null ", "  subset: 1.0 "), ("_fraction: 0.2 ", f"_fraction: {held_out} "),
            ("  image_size: null ", f"  image_size: {size} "),
        ):  # fmt: skip
            assert before in text
            text = text.replace(before, after, 1)
        return with_variants(text, f"  mine: {{{variant}{SHORT}}}")

    return toy(place, change)


def archive(path: Path, images: Iterable[tuple[str, NDArray[np.uint8]]], kind: str) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name, pixels in images:
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, kind, compress_level=1)
            file.writestr(name, buffer.getvalue())


def patches(count: int, size: int) -> Iterator[NDArray[np.uint8]]:
    """Soft shapes, each its own."""
    random = np.random.default_rng(0)
    for _ in range(count):
        small = Image.fromarray(random.integers(0, 256, (5, 5), dtype=np.uint8))
        yield np.asarray(small.resize((size, size), Image.Resampling.BICUBIC))


@pytest.mark.whole
def test_ten_thousand_classes(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    images = patches(4 * CLASSES, 16)
    named = ((f"{n // 4:05}/{n % 4}.png", image) for n, image in enumerate(images))
    place = own(tmp_path, held_out=0.02)  # the panel takes its time
    archive(tmp_path / "mine.zip", named, "png")
    began = time.monotonic()
    all_stages(place, "mine")
    card = json.loads((place / "data/prepared/card.json").read_text())
    assert len(card["class_names"]) == CLASSES
    assert len((place / "reports/report.html").read_bytes()) < PAGE
    tell(request, "scale: classes", CLASSES, cost=f"{time.monotonic() - began:.1f} s")


@pytest.mark.whole
def test_one_image_a_class(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    place = own(tmp_path)
    archive(
        tmp_path / "mine.zip", ((f"{n}/a.png", x) for n, x in enumerate(patches(300, 16))), "png"
    )
    began = time.monotonic()
    all_stages(place, "mine")
    tell(request, "scale: classes of one image", 300, cost=f"{time.monotonic() - began:.1f} s")


@pytest.mark.whole
def test_many_images(request: pytest.FixtureRequest, tmp_path: Path, share: float) -> None:
    """All stages; a million with `--share 20`."""
    count = some(share, MANY)
    place = own(tmp_path, "train: {epochs: 1, batch_size: 256}, ", held_out=2000 / count, size=32)
    images = ((f"{n % 10}/{n}.png", image) for n, image in enumerate(patches(count, 32)))
    archive(tmp_path / "mine.zip", images, "png")
    began, most = time.monotonic(), 0
    for name in STAGES:
        most = max(most, held(place, name, *(["mine", "0"] if name in OF_RUN else [])))
    seconds = time.monotonic() - began
    assert most < 2 * BYTES + count * A_NAME
    tell(request, "scale: images", count, 0, f"{seconds:.0f} s", f"{most >> 20} MB")


def held(place: Path, stage: str, *arguments: str) -> int:
    """The most bytes that a stage holds at a time, without those that the system can read again
    from a file; 0 where Linux does not tell.
    """
    most, command = 0, [sys.executable, "-m", f"stages.{stage}", *arguments]
    with subprocess.Popen(
        command, cwd=place, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    ) as process:  # fmt: skip
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            lines = status.read_text().splitlines() if status.exists() else []
            own = (int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon"))
            most = max(most, *own, 0)
            time.sleep(0.1)
        assert process.returncode == 0, process.communicate()[0]
    return most


@pytest.mark.whole
@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_photographs_of_4096_pixels(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    count, place = 20, own(tmp_path, "train: {batch_size: 8}, ")

    def photographs(size: int) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        random = np.random.default_rng(0)
        for n in range(count):
            soft = Image.fromarray(random.integers(0, 256, (64, 64, 3), dtype=np.uint8))
            yield f"{n}.{kind}", np.asarray(soft.resize((size, size), Image.Resampling.BICUBIC))

    peaks = []
    for size in (128, 4096):
        archive(tmp_path / "mine.zip", photographs(size), kind)
        passes(place, "configure")
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, "stages.prepare"], cwd=place, env=environment(),
            capture_output=True, text=True, timeout=240,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        seconds = time.monotonic() - began
        peaks.append(int(done.stdout.split()[-1]) << 10)
        card = json.loads((place / "data/prepared/card.json").read_text())
        assert sum(card["counts"].values()) == count
    more = peaks[1] - peaks[0]
    assert more < BYTES and seconds < count * SECONDS
    tell(
        request,
        f"scale: {kind} of 4096 pixels",
        count,
        0,
        f"{seconds / count:.1f} s",
        f"{more >> 20} MB",
    )
