"""Every view by Streamlit's own test runner, without a browser."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from sharpvae.core.errors import UserError
from sharpvae.gallery import toy
from sharpvae.gallery.models import entries, opened
from sharpvae.gallery.views import VIEWS
from tests.gallery.conftest import Laid
from tests.imports import REPOSITORY
from tests.trained.toys import images

SCRIPT = str(REPOSITORY / "apps/gallery_page.py")


@pytest.fixture
def root(
    request: pytest.FixtureRequest, laid: Laid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    monkeypatch.chdir(laid(tmp_path / "work", conditional=getattr(request, "param", False)))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("sys.argv", [SCRIPT])
    return tmp_path / "work"


def page(**asked: str) -> AppTest:
    app = AppTest.from_file(SCRIPT, default_timeout=60)
    for name, value in asked.items():
        app.query_params[name] = value
    return app.run()


def shown(app: AppTest) -> str:
    assert not app.exception, app.exception
    return "".join(str(element.proto) for element in app.get("html"))


def told(app: AppTest) -> str:
    kinds = (app.error, app.warning, app.info, app.markdown, app.caption)
    return "\n".join(element.value for kind in kinds for element in kind)


@pytest.mark.parametrize("root", [False, True], ids=["unconditional", "conditional"], indirect=True)
@pytest.mark.parametrize("view", list(VIEWS))
def test_every_view_draws(root: Path, view: str) -> None:
    app = page(view=view)
    assert "data:image/png" in shown(app) or view == "Scores"
    assert not app.error and not app.warning and not app.info


@pytest.mark.parametrize("view", list(VIEWS))
def test_two_epochs_of_one_run_are_side_by_side(root: Path, view: str) -> None:
    """Their names begin alike."""
    folder = root / "models/toy/5"
    shutil.copy(folder / "weights.safetensors", folder / "best.safetensors")
    app = page(view=view)
    assert not app.exception and not app.error and not app.warning and not app.info


def test_several_are_side_by_side(root: Path) -> None:
    shutil.copytree(root / "models/toy", root / "models/other")
    html = shown(page())
    assert html.count("<figcaption>toy/5, from") == html.count("<figcaption>other/5, from") == 1


def test_scores_stand_beside_floors(root: Path) -> None:
    html = shown(page(view="Scores"))
    for text in ("FID", "7.6", "2.4", "268", "real images", "blurred by 1 px"):
        assert text in html
    shutil.rmtree(root / "reports")
    assert "Nothing is scored here: dvc repro" in told(page(view="Scores"))


def test_names_are_text(root: Path) -> None:
    shutil.copytree(root / "models/toy", root / "models/<img src=x onerror=alert(1)>")
    html = shown(page())
    assert "<img src=x" not in html and "&lt;img src=x onerror" in html


@pytest.mark.parametrize(
    "asked",
    [
        {"vae": "../../etc"}, {"seed": "-1"}, {"seed": "x"}, {"prior": "other"}, {"count": "1e9"},
        {"view": "Sliders", "at0": "nan,inf,x"}, {"view": "Sliders", "at0": "9,9,9,9"},
        {"view": "Morph", "first image": "999999"}, {"view": "<script>"},
    ],
)  # fmt: skip
def test_odd_addresses_show_a_page_all_the_same(root: Path, asked: dict[str, str]) -> None:
    assert "data:image/png" in shown(page(**asked))


def test_a_prior_that_was_not_fitted_is_told(root: Path) -> None:
    (root / "data/samples/toy/5/priors.safetensors").unlink()
    app = page(prior="flow")
    assert "or draw from N(0, I)" in told(app) and not app.exception
    assert "data:image/png" in shown(page())


def test_missing_images_leave_uploads(root: Path) -> None:
    shutil.rmtree(root / "data/prepared")
    app = page(view="Reconstruct")
    assert "no images in data/prepared: dvc repro prepare. Upload an image instead." in told(app)
    buffer = io.BytesIO()
    Image.fromarray(images(1, 3)[0]).save(buffer, "PNG")
    app.get("file_uploader")[0].upload("a.png", buffer.getvalue(), "image/png")
    assert "PSNR" in told(app.run())


def test_a_damaged_one_is_told_and_others_shown(root: Path) -> None:
    shutil.copytree(root / "models/toy", root / "models/cut")
    (root / "models/cut/5/weights.safetensors").write_bytes(b"")
    app = page()
    assert "cut/5" in told(app) and "data:image/png" in shown(app)


def test_nothing_trained_offers_a_toy(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(root / "models")
    app = page()
    assert "Nothing is trained here yet" in told(app)
    kept = {"preset": "toy", "train": {"updates": 8}}
    monkeypatch.setattr(toy, "SETTINGS", {**toy.SETTINGS, **kept})
    app.button[0].click().run()
    assert "data:image/png" in shown(app)
    (only,) = entries(root.parent / "cache/sharpvae/gallery").values()
    vae = opened(only).vae
    assert only.name == "toy/0" and vae.image_size == 16 and vae.headline == "normal"
    assert not (root / "models").exists()


def test_a_toy_that_cannot_be_kept_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(root / "models")

    def full(_: object) -> Path:
        raise UserError("cache", "room", "a full disk", "make room")

    monkeypatch.setattr(toy, "train_toy", full)
    app = page().button[0].click().run()
    assert "a full disk" in told(app)


def test_sliders_start_where_the_address_says(root: Path) -> None:
    first, other = (shown(page(view="Sliders", at0=at)) for at in ("0,0,0,0", "3,0,0,0"))
    assert first != other
    assert np.char.count(first, "data:image/png") == np.char.count(other, "data:image/png") == 1
