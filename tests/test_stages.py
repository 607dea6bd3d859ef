"""Every stage as DVC runs it, end to end at toy size, and every way it has to end."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from sharpvae.scoring.floors import FLOORS, GOALS
from tests.processes import interruptible
from tests.toy import environment, passes, stage, toy

CONTRACT = {
    "fid", "fid_prior", "fid_mixture", "fid_flow", "fid_reconstruction", "kid", "sharpness",
    "blur_px", "coverage", "artefact", "brightness_gap", "contrast_gap", "psnr", "active_units",
    "signal_axes", "beta_sigma", "distinct", "copied",
}  # fmt: skip
PER_RUN = ("train", "sample", "evaluate")
VARIANTS = ("original", "improved", "sharp")

pytestmark = pytest.mark.slow


def everything(place: Path) -> dict[str, str]:
    """Run all stages; what each printed."""
    said = {name: passes(place, name) for name in ("configure", "prepare", "critic", "reference")}
    for variant in VARIANTS:
        for name in PER_RUN:
            said[f"{name}@{variant}"] = passes(place, name, variant, "0")
    return said | {"report": passes(place, "report")}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    place = toy(tmp_path_factory.mktemp("toy"))
    return place, everything(place)


def test_metrics_hold_to_the_contract(finished) -> None:
    metrics = json.loads((finished[0] / "reports/metrics.json").read_text())
    assert list(metrics) == list(VARIANTS)
    for scores in metrics.values():
        assert set(scores) == CONTRACT
        for key, value in scores.items():  # samples of two epochs may be noise, which has no blur
            assert np.isfinite(value) if value is not None else key.startswith("blur_px"), key
    assert metrics["original"]["beta_sigma"] == pytest.approx(16 * 16 / 2000)
    assert metrics["improved"]["beta_sigma"] == pytest.approx(0.5)


def test_the_reference_knows_every_fault(finished) -> None:
    place = finished[0]
    floors = json.loads((place / "reports/floors.json").read_text())
    assert tuple(floors) == FLOORS
    assert all(set(row) == set(GOALS) for row in floors.values())
    reference = json.loads((place / "models/reference/reference.json").read_text())
    assert list(reference["judges"]) == ["imagenet", "learned", "random", "pixels"]
    assert any(judge["weight"] for judge in reference["judges"].values())


def test_scores_are_of_both_splits_with_reasons(finished) -> None:
    found = json.loads((finished[0] / "reports/scores/improved/0/scores.json").read_text())
    for split in ("scores", "validation"):
        for key in ("fid", "fid_mixture", "fid_reconstruction", "psnr"):
            assert np.isfinite(found[split][key])
    for key, value in found["scores"].items():
        assert value is None or np.isfinite(value), key
    assert isinstance(found["collapsed"], bool) and found["collapse"]


def test_images_follow_the_contract(finished) -> None:
    drawn = finished[0] / "data/samples/improved/0"
    test = np.load(finished[0] / "data/prepared/test.npy")
    for name, count in (
        ("headline", len(test)),
        ("prior", len(test)),
        ("mixture", len(test)),
        ("flow", len(test)),
        ("reconstruction", len(test)),
    ):
        images = np.load(drawn / f"{name}.npy")
        assert images.dtype == np.uint8 and images.shape == (count, *test.shape[1:])
    validation = np.load(finished[0] / "data/prepared/validation.npy")
    again = np.load(drawn / "reconstruction_validation.npy")
    assert again.dtype == np.uint8 and again.shape == validation.shape
    posterior = np.load(drawn / "posterior.npz")
    assert posterior["mean"].shape == posterior["log_var"].shape == (len(test), 512)


def test_pictures_come_with_what_they_show(finished) -> None:
    place, said = finished
    for variant in VARIANTS:
        drawn = place / "data/samples" / variant / "0"
        pictures = {path.stem for path in drawn.glob("*.png")}
        assert pictures == {
            "headline", "prior", "mixture", "flow", "temperature", "traversal",
            "interpolation", "arithmetic",
        }  # fmt: skip
        shows = json.loads((drawn / "pictures.json").read_text())
        assert len(shows["traversal"]["rows"]) == 8
        assert shows["arithmetic"]["rows"][0] == {"plus": "1", "minus": "0", "image": "0"}
        assert "not conditional" in shows["classes"]["left_out"]
        assert "no classes.png: the VAE is not conditional" in said[f"sample@{variant}"]
        with Image.open(drawn / "interpolation.png") as picture:
            scale = picture.width // (11 * 18 + 2)
            assert picture.size == (scale * (11 * 18 + 2), scale * (6 * 18 + 2))


def test_the_priors_say_what_was_tried(finished) -> None:
    priors = json.loads((finished[0] / "data/samples/improved/0/priors.json").read_text())
    assert priors["headline"] == "prior" and np.isfinite(list(priors["validation"].values())).all()
    tried = priors["mixture"]
    assert [candidate["components"] for candidate in tried["candidates"]] == [1, 3]
    fitted = {c["components"]: c["validation"] for c in tried["candidates"] if "validation" in c}
    assert tried["chosen"] == max(fitted, key=fitted.__getitem__)
    assert 1 <= tried["axes"] <= 64 and tried["latent_dim"] == 512


def test_the_model_is_safetensors_with_its_shape_beside_it(finished) -> None:
    model = finished[0] / "models/original/0"
    assert set(load_file(model / "weights.safetensors")) > {"encoder.mean.weight"}
    described = json.loads((model / "network.json").read_text())
    assert described["image_size"] == 16 and described["model"]["latent_dim"] == 200


def test_the_history_has_every_term_of_every_epoch(finished) -> None:
    rows = (finished[0] / "models/improved/0/history.csv").read_text().splitlines()
    assert rows[0] == "epoch,step,split,term,value"
    found = {tuple(row.split(",")[i] for i in (0, 2, 3)) for row in rows[1:]}
    terms = ("mse", "l1", "perceptual", "kl", "loss")
    assert found >= {(e, s, t) for e in "12" for s in ("train", "validation") for t in terms}


def test_the_film_has_a_frame_before_and_one_an_epoch(finished) -> None:
    for folder in ("reconstructions", "samples"):
        frames = sorted((finished[0] / "reports/film/improved/0" / folder).iterdir())
        assert [frame.name for frame in frames] == ["0.png", "1.png", "2.png"]
        with Image.open(frames[0]) as frame:
            assert frame.width >= 8 * 48


def test_training_shows_what_is_in_effect_and_how_it_goes(finished) -> None:
    said = finished[1]["train@improved"]
    for part in ("training improved, seed 0", "beta_sigma 0.5", "latent_dim 512", "epoch   2/2",
                 "images/s", "0:00 left", "perceptual"):  # fmt: skip
        assert part in said, said
    assert "\x1b" not in said, "no escape codes where there is no terminal"


def test_configure_shows_what_differs_and_what_is_overridden(finished) -> None:
    said = finished[1]["configure"]
    assert re.search(r"model\.latent_dim\W+200\W+512", said)
    flowing = " ".join(said.split())
    assert re.search(r"studies/s000-original\.yaml overrides lower layers in .*train\.lr", flowing)


def test_the_report_is_one_self_contained_page(finished) -> None:
    page = (finished[0] / "reports/report.html").read_text()
    assert "<html" in page and "original" in page
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", page)


def test_a_second_run_gives_the_same_bytes(finished, tmp_path: Path) -> None:
    """Every artefact, not the metrics alone: data, weights, samples, scores, page.

    But for how long training took, which the page tells; of the variant that has most, while the
    others stay.
    """
    again = tmp_path / "again"
    shutil.copytree(finished[0], again)
    for name in ("configs", "data/prepared", "models/critic", "models/reference"):
        shutil.rmtree(again / name)
    for path in again.glob("*/**/sharp"):
        shutil.rmtree(path)
    for name in ("configure", "prepare", "critic", "reference"):
        passes(again, name)
    for name in PER_RUN:
        passes(again, name, "sharp", "0")
    cost = "reports/live/sharp/0/cost.json"
    (again / cost).write_bytes((finished[0] / cost).read_bytes())
    passes(again, "report")
    files = [path.relative_to(again) for path in sorted(again.rglob("*")) if path.is_file()]
    assert len(files) > 40
    different = [
        str(path) for path in files
        if (finished[0] / path).read_bytes() != (again / path).read_bytes()
    ]  # fmt: skip
    assert different == []


def test_a_missing_gpu_is_an_error_not_a_fallback(finished, tmp_path: Path) -> None:
    place = tmp_path / "copy"
    shutil.copytree(finished[0], place)
    path = place / "configs/original/sample.json"
    path.write_text(path.read_text().replace('"auto"', '"cuda:7"'))
    done = stage(place, "sample", "original", "0")
    assert done.returncode == 1
    assert "CUDA" in done.stderr and "device: auto" in done.stderr


def test_a_conditional_variant_without_labels_is_refused_twice(finished, tmp_path: Path) -> None:
    """By `configure` where the catalogue knows, else by `train`, before the first update."""
    place = tmp_path / "copy"
    shutil.copytree(finished[0], place)
    text = (place / "params.yaml").read_text().replace("conditional: false", "conditional: true ")
    (place / "params.yaml").write_text(text.replace("name: mnist5k", "name: celeba "))
    done = stage(place, "configure")
    assert done.returncode == 1 and "celeba has no labels" in done.stderr, done.stderr
    for name, change in (
        ("configs/original/train.json", lambda values: values["model"].update(conditional=True)),
        ("data/prepared/card.json", lambda values: values.update(class_names=None)),
    ):
        values = json.loads((place / name).read_text())
        change(values)
        (place / name).write_text(json.dumps(values))
    done = stage(place, "train", "original", "0")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    for part in ("variants.original.model.conditional", "two classes", "without labels"):
        assert part in done.stderr, done.stderr


def test_a_conditional_variant_is_judged_by_the_classes_asked_for(finished, tmp_path: Path) -> None:
    place = tmp_path / "copy"
    shutil.copytree(finished[0], place)
    text = (place / "params.yaml").read_text()
    text = text.replace("{latent_dim: null,", "{conditional: true, latent_dim: 16,")
    (place / "params.yaml").write_text(text)
    passes(place, "configure")
    for name in PER_RUN:
        passes(place, name, "improved", "0")
    passes(place, "report")
    drawn = place / "data/samples/improved/0"
    asked = np.load(drawn / "labels.npy")
    test = np.load(place / "data/prepared/test.npy")
    assert asked.shape == (len(test),) and set(asked.tolist()) == set(range(10))
    assert (drawn / "classes.png").exists()
    metrics = json.loads((place / "reports/metrics.json").read_text())
    assert 0 <= metrics["improved"]["class_agreement"] <= 1
    assert metrics["original"]["class_agreement"] is None
    assert "Right class" in (place / "reports/report.html").read_text()


def test_sample_refuses_arithmetic_with_a_class_that_is_not_there(finished, tmp_path: Path) -> None:
    """Where only the prepared images tell, as with a folder of one's own."""
    place = tmp_path / "copy"
    shutil.copytree(finished[0], place)
    path = place / "configs/original/sample.json"
    values = json.loads(path.read_text())
    values["sample"]["arithmetic"] = [["1", "zwei", "2"]]
    path.write_text(json.dumps(values))
    done = stage(place, "sample", "original", "0")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "sample.arithmetic[0]" in done.stderr and "'zwei'" in done.stderr


def test_sample_refuses_the_likelihood_of_grey_digits(finished, tmp_path: Path) -> None:
    """Before it draws anything; a variant whose loss is none says so instead."""
    place = tmp_path / "copy"
    shutil.copytree(finished[0], place)
    path = place / "configs/original/sample.json"
    values = json.loads(path.read_text())
    assert values["likelihood"] == "none"
    values["sample"]["likelihood"]["samples"] = 5
    path.write_text(json.dumps(values))
    said = passes(place, "sample", "original", "0")
    assert "log p(x) is left out: the loss is no likelihood" in said
    path.write_text(json.dumps(values | {"likelihood": "bernoulli"}))
    done = stage(place, "sample", "original", "0")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    for part in ("sample.likelihood.samples", "black-and-white", "data.binarize=static"):
        assert part in done.stderr, done.stderr


def test_a_loss_that_explodes_stops_with_the_term(finished, tmp_path: Path) -> None:
    place = tmp_path / "copy"
    shutil.copytree(finished[0], place)
    path = place / "configs/original/train.json"
    path.write_text(path.read_text().replace('"lr": 0.0005', '"lr": 1e30'))
    before = (place / "models/original/0/weights.safetensors").read_bytes()
    done = stage(place, "train", "original", "0")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    for part in ("variant original, seed 0", "a finite number", "at update", "train.lr"):
        assert part in done.stderr, done.stderr
    assert (place / "models/original/0/weights.safetensors").read_bytes() == before


def test_ctrl_c_exits_130_and_leaves_the_old_model(finished, tmp_path: Path) -> None:
    place = tmp_path / "copy"
    shutil.copytree(finished[0], place)
    path = place / "configs/original/train.json"
    path.write_text(path.read_text().replace('"updates": 26', '"updates": 1000000'))
    before = (place / "models/original/0/weights.safetensors").read_bytes()
    process = subprocess.Popen(
        interruptible(sys.executable, "-u", "-m", "stages.train", "original", "0"), cwd=place,
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if "epoch " in line and "images/s" in line:
            break
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in complaint and "Traceback" not in complaint
    assert (place / "models/original/0/weights.safetensors").read_bytes() == before
    left = [path.name for path in (place / "models/original").iterdir()]
    assert left == ["0"], "no temporary folder is left"
