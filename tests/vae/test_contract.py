"""What breaks the contract is told in one message before training, and leaves nothing behind."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from sharpvae.core.errors import UserError
from sharpvae.vae.contract import check
from tests.networks import EXAMPLE, NETWORK, changed, written

CPU = torch.device("cpu")
INIT = "        super().__init__()\n"
CODE = "        return mean, log_var\n"
IMAGES = "        return torch.sigmoid(self.decoder(latents)).view(-1, *self.shape)\n"
LINEAR = "self.body = nn.Linear(pixels, width)"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    return tmp_path


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("arguments", [{}, {"width": 3}])
def test_a_network_that_keeps_it_passes(model_config, place: Path, channels, arguments) -> None:
    check(model_config(family=written(place), arguments=arguments), channels, 16, 0, CPU)


@pytest.mark.parametrize("conditional", [True, False])
def test_the_example_passes(model_config, conditional: bool) -> None:
    config = model_config(family=EXAMPLE, conditional=conditional, arguments={"width": 8})
    check(config, 3, 16, 5 if conditional else 0, CPU)


def test_our_families_need_no_trial(model_config) -> None:
    check(model_config(conditional=True), 1, 16, 0, CPU)  # which could not even be built


BROKEN = {
    "import": (f"\nraise RuntimeError('boom')\n{NETWORK}", ["RuntimeError: boom (", "line 2)"]),
    "exit": (f"raise SystemExit(3)\n{NETWORK}", ["SystemExit: 3"]),
    "missing import": (f"import nosuch\n{NETWORK}", ["No module named 'nosuch'", "line 1"]),
    "name": (NETWORK.replace("class Net(", "class Nett("), ["no such name", "mean 'Nett'"]),
    "no module": (NETWORK.replace("(nn.Module)", ""), ["a subclass of torch.nn.Module"]),
    "construction": (changed(INIT, f"{INIT}        raise ValueError('wide')\n"),
                     ["a class that takes image_channels", "ValueError: wide", "line 8"]),
    "arguments": (changed(" latent_dim, width=8", ""), ["TypeError", "'latent_dim'"]),
    "no decode": (changed("def decode", "def decod"), ["no decode"]),
    "encode raises": (changed(CODE, "        return self.nothing\n"),
                      ["encode(float32 [2, 1, 16, 16]) to work", "AttributeError", "line 16"]),
    "one value": (changed(CODE, "        return mean\n"),
                  ["(mean, log_var) from encode", "float32 [2, 4] each", "found:    float32"]),
    "three values": (changed(CODE, "        return 1, 2, 3\n"), ["a tuple of 3"]),
    "nothing": (changed(CODE, ""), ["nothing"]),
    "shape": (changed(CODE, "        return mean, log_var[:, 1:]\n"),
              ["log_var from encode: float32 [2, 4]", "float32 [2, 3]"]),
    "type": (changed(CODE, "        return mean.double(), log_var\n"),
             ["mean from encode: float32 [2, 4]", "float64 [2, 4]"]),
    "no tensor": (changed(CODE, "        return mean, 0.0\n"), ["log_var", "a float"]),
    "image shape": (changed("view(-1, *self.shape)", "flatten(1)"),
                    ["images from decode: float32 [2, 1, 16, 16]", "float32 [2, 256]"]),
    "range": (changed("torch.sigmoid", "torch.tanh"), ["images in [0, 1]", "from -", "sigmoid"]),
    "nan": (changed(CODE, "        return mean * float('nan'), log_var\n"),
            ["finite numbers as mean from encode", "nan or infinity"]),
    "infinite": (changed(CODE, "        return mean, log_var / 0\n"), ["log_var", "infinity"]),
    "random": (changed(CODE, "        return mean + torch.randn_like(mean), log_var\n"),
               ["encode to return the same again in evaluation mode"]),
    "random images": (changed(IMAGES, "        return torch.rand(len(latents), *self.shape)\n"),
                      ["decode to return the same again"]),
    "the rest of the batch": (changed(CODE, "        return mean - mean.mean(0), log_var\n"),
                              ["one input alone", "what else is in the batch"]),
    "single image": (changed(CODE, "        return mean.squeeze(), log_var\n"),
                     ["float32 [1, 4]", "float32 [4]"]),
    "in place": (changed("images.view", "images.mul_(0.5).view"), ["changes it in place"]),
    "frozen": (changed("(latent_dim, pixels)", "(latent_dim, pixels); self.requires_grad_(False)"),
               ["parameters to train", "none that requires a gradient"]),
    "spare": (changed(LINEAR, f"{LINEAR}\n        self.spare = nn.Linear(2, 2)"),
              ["no gradient reaches spare.weight", "requires_grad_(False)"]),
    "two names": (changed(LINEAR, f"{LINEAR}\n        self.again = self.body"),
                  ["one name for each tensor", "body.weight and again.weight are one"]),
    "other generators": (changed(LINEAR, f"{LINEAR}\n        import os\n        self.register_"
                         "buffer('odd', torch.tensor(list(os.urandom(8))))"),
                         ["the same weights", "odd differs"]),
    "lazy": (changed(LINEAR, "self.body = nn.LazyLinear(width)"), ["body.weight is lazy"]),
    "more state": (NETWORK + "\n    def get_extra_state(self):\n        return {}\n",
                   ["a state_dict of tensors", "_extra_state is a dict"]),
    "uncopied": (NETWORK + "\n    def __deepcopy__(self, memo):\n        raise TypeError('no')\n",
                 ["copy.deepcopy", "TypeError: no"]),
    "training": (changed("self.body(images", "self.twice(images")
                 + "\n    def twice(self, x):\n        assert not self.training\n"
                   "        return self.body(x)\n",
                 ["in training mode", "AssertionError", "line 22"]),
    "no weight at the pixels": (
        NETWORK.replace("        self.decoder = nn.Linear(latent_dim, pixels)\n", "").replace(
            IMAGES, "        return latents.mean(1).sigmoid()[:, None, None, None]"
                    ".expand(-1, *self.shape)\n"),
        ["images that depend on a weight"]),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Lazy modules")
@pytest.mark.parametrize("name", BROKEN)
def test_a_network_that_breaks_it_is_told_and_leaves_nothing(
    model_config, place: Path, name: str
) -> None:
    text, parts = BROKEN[name]
    family = written(place, text)
    before = sorted(place.rglob("*"))
    with pytest.raises(UserError) as caught:
        check(model_config(family=family), 1, 16, 0, CPU)
    said = str(caught.value)
    assert said.startswith("model.family: networks/net.py:Net\n")
    for part in parts:
        assert part in said, said
    assert sorted(place.rglob("*")) == before


def test_a_network_without_parameters_is_told(model_config, place: Path) -> None:
    text = NETWORK[: NETWORK.index("        pixels")] + (
        "\n    def encode(self, images):\n        return images[:, 0, 0, :4], images[:, 0, 1, :4]\n"
        "\n    def decode(self, latents):\n        return latents.sigmoid()\n"
    )
    with pytest.raises(UserError, match=r"(?s)parameters to train.*found:    none\n"):
        check(model_config(family=written(place, text)), 1, 16, 0, CPU)


def test_labels_are_part_of_it(model_config, place: Path) -> None:
    """A network that takes none cannot be conditional."""
    config = model_config(family=written(place), conditional=True)
    with pytest.raises(UserError, match="classes"):
        check(config, 1, 16, 3, CPU)
    family = written(place, changed("width=8", "classes=0, width=8"))
    with pytest.raises(UserError, match=r"encode\(float32 \[2, 1, 16, 16\], int64 \[2\]\) to work"):
        check(model_config(family=family, conditional=True), 1, 16, 3, CPU)
