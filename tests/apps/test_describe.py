from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from apps import describe as app
from sharpvae.training.build import multiply_adds
from sharpvae.vae.vae import VAE
from tests.datasets.samples import REPOSITORY
from tests.feeds import feed_of
from tests.networks import changed, written
from tests.toy import with_variants


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with params.yaml and the studies alone."""
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    shutil.copytree(REPOSITORY / "studies", tmp_path / "studies")
    shutil.copytree(REPOSITORY / "presets", tmp_path / "presets")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_variant_with_its_totals(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main([]) == 0
    text = capsys.readouterr().out
    assert text.index("original: 32x32x1, 200 latent") < text.index("improved: 32x32x1, 512 latent")
    assert "ConvTranspose2d 4x4, stride 2" in text
    assert "sharp: discriminator, in training alone" in text
    assert text.count("whole") == 4
    assert "55,601" in text  # the parameters that training `original` reports


def test_one_variant_in_colour(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["original", "--channels", "3"]) == 0
    text = capsys.readouterr().out
    assert "original: 32x32x3" in text
    assert "improved" not in text


def test_a_conditional_variant_sees_the_classes(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (place / "params.yaml").read_text().replace("conditional: false", "conditional: true ")
    (place / "params.yaml").write_text(text)
    assert app.main(["improved"]) == 0
    assert "512 latent dimensions, 10 classes" in capsys.readouterr().out
    (place / "params.yaml").write_text(text.replace("name: mnist5k", "name: celeba "))
    assert app.main([]) == 1
    assert "celeba has no labels" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "kinds", "gone"),
    [
        ("family: conv", "family: mlp ", ["BatchNorm1d", "Unflatten"], "Conv"),
        ("blocks: plain   ", "blocks: residual", ["encoder.body.0.3.branch.2"], "Unknown"),
        ("norm: batch", "norm: group", ["GroupNorm"], "BatchNorm2d"),
    ],
)
def test_every_family(
    place: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, kinds: list[str], gone: str
) -> None:
    text = (place / "params.yaml").read_text()
    assert text.count(old) == 1
    (place / "params.yaml").write_text(text.replace(old, new))
    assert app.main(["improved"]) == 0
    printed = capsys.readouterr().out
    for kind in kinds:
        assert kind in printed
    assert gone not in printed


def test_mistakes(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["origin"]) == 1
    assert "did you mean 'original'?" in capsys.readouterr().err
    params = (place / "params.yaml").read_text().replace("name: mnist5k ", "name: folder  ")
    (place / "params.yaml").write_text(params)
    assert app.main([]) == 1
    assert "dvc repro prepare" in capsys.readouterr().err


def test_images_made_elsewhere_have_no_layers(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (place / "params.yaml").open("a") as file:
        file.write("\n  theirs: {samples: theirs.npy}\n")
    assert app.main([]) == 0
    assert "theirs" not in capsys.readouterr().out
    assert app.main(["theirs"]) == 1
    told = capsys.readouterr().err
    assert "a variant that is trained" in told and "valid names: original" in told


def test_the_discriminator_of_an_adversarial_variant(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (place / "params.yaml").read_text()
    (place / "params.yaml").write_text(text.replace("adversarial: null", "adversarial: 1.0 "))
    assert app.main(["improved"]) == 0
    printed = capsys.readouterr().out
    assert "improved: discriminator, in training alone" in printed
    assert "16 x 32 x 32" in printed, "128 channels, times the laptop's 0.125"


def test_an_image_that_no_network_can_halve(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (place / "params.yaml").read_text()
    (place / "params.yaml").write_text(text.replace("image_size: null", "image_size: 28  "))
    assert app.main([]) == 1
    assert "multiple of 16" in capsys.readouterr().err


@pytest.mark.parametrize("changes", [{}, {"family": "mlp"}, {"conditional": True, "kernel": 3}])
def test_training_counts_the_same_multiply_adds(model_config, changes: dict[str, object]) -> None:
    vae = VAE(model_config(**changes), 3, 16, 10)
    feed = feed_of(torch.zeros(2, 3, 16, 16, dtype=torch.uint8), torch.arange(2))
    assert vae.training
    counted = multiply_adds(vae, feed)
    assert vae.training
    assert counted == sum(layer.multiply_adds for layer in app.layers(vae, 3, 16)) > 1000


def own(place: Path, text: str) -> None:
    """Make `mine`, a network of the user's own, the only variant."""
    family = written(place, text)
    params = place / "params.yaml"
    mine = f"  mine: {{model: {{family: '{family}', latent_dim: 4}}}}"
    params.write_text(with_variants(params.read_text(), mine))


def test_a_network_of_the_user_s_own(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own(place, changed("self.decoder(latents)", "latents @ self.decoder.weight.T"))
    assert app.main([]) == 1, "the bias of the decoder is left out"
    assert "no gradient reaches decoder.bias" in capsys.readouterr().err
    own(place, changed("(latent_dim, pixels)", "(latent_dim, pixels, bias=False)").replace(
        "self.decoder(latents)", "latents @ self.decoder.weight.T"))  # fmt: skip
    assert app.main(["mine"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["network.body", "Linear", "8", "8,200", "8,192"] in rows
    assert ["elsewhere", "4,096", "4,096"] in rows
    total = 8200 + 72 + 4096
    assert ["whole", f"{total:,}", f"{8192 + 64 + 4096:,}"] in rows


def test_a_layer_that_is_passed_twice_has_its_parameters_once(place: Path, model_config) -> None:
    text = changed("(latent_dim, pixels)", "(latent_dim, pixels); self.mix = nn.Linear(8, 8)")
    text = text.replace(".relu()", ".relu().tanh() + 0")
    text = text.replace("self.heads(self.body", "self.heads(self.mix(self.mix(self.body")
    text = text.replace(".relu().tanh() + 0)", ".relu())))")
    vae = VAE(model_config(family=written(place, text)), 1, 16)
    found = app.layers(vae, 1, 16)
    assert [layer.parameters for layer in found if layer.name == "network.mix"] == [72, 0]
    assert sum(layer.parameters for layer in found) == sum(w.numel() for w in vae.parameters())
    assert found[-1].name == "network.decoder", "nothing is elsewhere"
