"""Samples that somebody else made, scored from the library: floors, faults, pairs, the cache."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sharpvae.config.resolve import resolve_file
from sharpvae.core.errors import UserError
from sharpvae.given import reals, score
from sharpvae.given.score import Result
from sharpvae.report.scores import HEADLINE
from sharpvae.scoring.measures import blurred
from tests.imports import REPOSITORY
from tests.scoring.pictures import discs

REAL, HONEST = discs(400, 1), discs(100, 2)
SETS = {
    "honest": HONEST,
    "blurred": blurred(HONEST, 1.0),
    "repeated": HONEST[np.arange(100) % 10],
    "copies": REAL[:100],
}


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A cache of this module's own."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def result(home: Path) -> Result:
    return score.score(SETS, REAL, {"blurred": (HONEST, SETS["blurred"])}, "cpu")


def test_the_settings_are_those_of_the_pipeline() -> None:
    shared = resolve_file(REPOSITORY / "params.yaml").experiment
    assert shared.judge == reals.JUDGE
    assert shared.metrics == reals.METRICS


def test_each_fault_is_found_and_named(result: Result) -> None:
    told = {name: [f for f in result.findings if f.startswith(f"{name}: ")] for name in SETS}
    assert "FID" in told["honest"][0] and "Nothing found" in told["honest"][0]
    assert "blurred by 1." in told["blurred"][0] or "blurred by 0.9" in told["blurred"][0]
    assert "it is the decoder" in told["blurred"][0]
    assert "Samples are repeated" in told["repeated"][0]
    assert "copies, if the model learned from those" in told["copies"][0]
    assert "copies: 100 of 100 samples are real images, bit for bit" in "; ".join(result.notes)


def test_the_blur_is_told_in_pixels(result: Result) -> None:
    assert result.scores["blurred"]["blur_px"] == pytest.approx(1.0, abs=0.1)
    assert result.scores["honest"]["blur_px"] == pytest.approx(0.0, abs=0.1)
    assert result.scores["honest"]["fid"] < 2 * result.floors["real"]["fid"]


def test_scores_have_the_keys_of_metrics_json_that_apply(result: Result) -> None:
    honest, paired = result.scores["honest"], result.scores["blurred"]
    assert set(paired) - set(honest) == {"psnr", "fid_reconstruction"}
    assert set(paired) <= set(HEADLINE)
    assert {"fid", "kid", "sharpness", "blur_px", "coverage", "artefact"} <= set(honest)
    assert not {"fid_prior", "active_units", "beta_sigma"} & set(paired)


def test_the_result_prints_saves_and_shows_itself(result: Result, tmp_path: Path) -> None:
    assert str(result).count("worse") >= 1 and "(real)" in str(result)
    result.save(tmp_path / "made")
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == [
        "score.html", "score.json", "score.md",
    ]  # fmt: skip
    written = json.loads((tmp_path / "made/score.json").read_text())
    assert written == result.scores | {"floors": result.floors}
    page = (tmp_path / "made/score.html").read_text()
    assert page.count("<section") == page.count("</section>")
    assert "preset" not in page and "dvc repro" not in page
    assert result._repr_html_().startswith("<iframe")


def test_the_second_call_measures_no_reals(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reals.reference, "build", lambda *_: pytest.fail("measured again"))
    again = score.score(SETS, REAL, {"blurred": (HONEST, SETS["blurred"])}, "cpu")
    assert again.files == result.files


def test_another_number_of_samples_trains_no_judge(
    result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its floors have as many images, and are measured with the judge that is there."""
    monkeypatch.setattr(reals.reference, "train_judge", lambda *_: pytest.fail("trained again"))
    fewer = score.score(HONEST[:30], REAL, device="cpu")
    assert fewer.floors["real"]["fid"] > result.floors["real"]["fid"]


def test_more_samples_make_no_lower_fid() -> None:
    """Both sets are cut to as many."""
    found = score.score({"few": HONEST[:50], "many": discs(200, 3)}, REAL, device="cpu")
    ratio = found.scores["many"]["fid"] / found.scores["few"]["fid"]
    assert 0.5 < ratio < 2


def test_one_set_needs_no_name(tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", HONEST)
    np.savez(tmp_path / "pairs.npz", images=HONEST, reconstructions=SETS["blurred"])
    found = score.score(tmp_path / "mine.npy", REAL, tmp_path / "pairs.npz", "cpu")
    assert list(found.scores) == ["mine"]
    assert found.scores["mine"]["psnr"] is not None


@pytest.mark.parametrize(
    ("samples", "real", "pairs", "said"),
    [
        (HONEST[:3], REAL, None, "at least 20 samples"),
        (HONEST, REAL[:50], None, "at least 100 real images"),
        (HONEST, REAL[np.arange(400) % 50], None, "350 of them more than once"),
        (HONEST, REAL.repeat(2, axis=1), None, "32x64 pixels, as those of real"),
        (HONEST, REAL, (HONEST, HONEST[:50]), "100 images and 50 reconstructions"),
        (HONEST, REAL, {"other": (HONEST, HONEST)}, "the name of a set"),
        ({"floors": HONEST}, REAL, None, "the name of the floors"),
        ({3: HONEST}, REAL, None, "a name for each set"),
        ({}, REAL, None, "a set of images"),
        (HONEST.repeat(2, 1), REAL.repeat(2, 1), None, "square images"),
    ],
    ids=[
        "few",
        "few reals",
        "repeats",
        "size",
        "odd pairs",
        "name",
        "floors",
        "number",
        "none",
        "oblong",
    ],
)
def test_sets_that_cannot_be_compared(samples: Any, real: Any, pairs: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        score.score(samples, real, pairs, "cpu")


def test_grey_samples_beside_coloured_images_are_told() -> None:
    coloured = np.stack([REAL[..., 0], REAL[..., 0] // 2, REAL[..., 0] // 3], 3)
    found = score.score(HONEST, coloured, device="cpu")
    assert found.notes == ["samples: all images are grey, while real ones are coloured"]
    assert found.scores["samples"]["fid"] > 10 * found.floors["real"]["fid"]


def test_what_was_assumed_is_told_everywhere() -> None:
    found = score.score(HONEST.astype(np.float32), REAL, device="cpu")
    assert "were taken as 0 (black) to 255 (white)" in found.notes[0]
    assert all("(black) to 255" in found.files[name] for name in ("score.html", "score.md"))


def test_pytorch_is_left_as_it_was() -> None:
    before = torch.get_deterministic_debug_mode(), torch.backends.cudnn.benchmark
    torch.set_deterministic_debug_mode("default")
    try:
        score.score(HONEST, REAL, device="cpu")
        assert torch.get_deterministic_debug_mode() == 0
    finally:
        torch.set_deterministic_debug_mode(before[0])
    with pytest.raises(UserError, match="cuda:<index>"):
        score.score(HONEST, REAL, device="gpu")


def test_pairs_in_folders_have_the_same_names(tmp_path: Path) -> None:
    from PIL import Image

    for key, images in (("images", HONEST), ("reconstructions", SETS["blurred"])):
        (tmp_path / key).mkdir()
        for index, image in enumerate(images[:3]):
            Image.fromarray(image[..., 0]).save(tmp_path / key / f"{index}.png")
    found = score.read_pairs(tmp_path, "mine")
    assert np.array_equal(found.reconstructions.images, SETS["blurred"][:3])
    (tmp_path / "images/2.png").rename(tmp_path / "images/7.png")
    with pytest.raises(UserError, match="2 in one alone"):
        score.read_pairs(tmp_path, "mine")
    (tmp_path / "images/7.png").rename(tmp_path / "images/2.png")
    (tmp_path / "images/.DS_Store").touch()
    assert len(score.read_pairs(tmp_path, "mine").images.images) == 3
    (tmp_path / "images/1.png").write_bytes(b"broken")
    with pytest.raises(UserError, match="usable images alone"):
        score.read_pairs(tmp_path, "mine")
