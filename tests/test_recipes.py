"""The recipes of CONTRIBUTING.md, followed in a copy of the repository.

What each recipe changes stands in its table below: file -> edits, each a text that stands there and
what takes its place; an empty text appends, or makes the file.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.datasets.samples import TinyDigits
from tests.imports import REPOSITORY
from tests.processes import SHARPVAE

Edits = dict[str, list[tuple[str, str]]]

LOSS: Edits = {
    "sharpvae/objective/terms.py": [
        ('    "frequency": frequency_error,\n',
         '    "frequency": frequency_error,\n    "dummy": dummy_error,\n'),
        ("TERMS: ",
         "def dummy_error(images: Tensor, reconstructions: Tensor) -> Tensor:\n"
         "    return (images - reconstructions).square().square().flatten(1).sum(1)\n\n\nTERMS: "),
    ],
    "sharpvae/objective/config.py": [
        ("    frequency: NonNegative = 0.0\n",
         "    frequency: NonNegative = 0.0\n    dummy: NonNegative = 0.0\n"),
    ],
}  # fmt: skip
FAMILY: Edits = {
    "sharpvae/vae/config.py": [('Literal["conv", "mlp"]', 'Literal["conv", "mlp", "dummy"]')],
    "sharpvae/vae/layers.py": [
        ("",
         "\n\ndef dummy_encoder(config, image_channels, image_size):\n"
         "    pool = nn.AvgPool2d(config.stride)\n"
         "    side = image_size // config.stride\n"
         "    return EncoderBody(nn.Sequential(pool, nn.Flatten()), image_channels * side**2)\n"),
    ],
    "sharpvae/vae/vae.py": [
        ("    conv_decoder,\n", "    conv_decoder,\n    dummy_encoder,\n"),
        ("self.body, features = conv_encoder(",
         "build = dummy_encoder if config.family == 'dummy' else conv_encoder\n"
         "            self.body, features = build("),
    ],
}  # fmt: skip
DATASET: Edits = {
    "sharpvae/datasets/catalogue.py": [
        ("ENTRIES = (\n",
         'ENTRIES = (\n    Entry(\n        name="dummy", title="", licence="", citation="", '
         'reader="idx", source="",\n        channels=1, class_names=_DIGITS,\n'
         "        files=tuple(File(name, None, None) for name in _IDX_NAMES),\n    ),\n"),
    ],
}  # fmt: skip
METRIC: Edits = {
    "sharpvae/scoring/measures.py": [
        ("", "\n\ndef dummy(images, reconstructions):\n    return float(len(images))\n"),
        ('        "psnr": ', '        "dummy": dummy(test, reconstruction),\n        "psnr": '),
    ],
    "sharpvae/report/scores.py": [
        ("METRICS: tuple[Metric, ...] = (\n",
         "METRICS: tuple[Metric, ...] = (\n"
         '    Metric("dummy", "Dummy", RECONSTRUCTION, "higher", "Nothing."),\n'),
    ],
}  # fmt: skip
STUDY: Edits = {
    "studies/dummy.yaml": [
        ("", "title: a dummy\nabout: nothing\nclaims: [none]\nloss: {beta: 0.125}\n"),
    ],
    "params.yaml": [("\nvariants:\n", "\nvariants:\n  dummy: {study: dummy}\n")],
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The repository's files as they stand in the working tree, without pictures."""
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=REPOSITORY, text=True)
    for name in listed.split("\0"):
        if name and not name.startswith(("docs/", "tests/")) and (REPOSITORY / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, tmp_path / name)
    return tmp_path


def follow(copy: Path, recipe: Edits) -> None:
    for name, edits in recipe.items():
        path = copy / name
        for old, new in edits:
            text = path.read_text(encoding="utf-8") if path.exists() else ""
            assert old == "" or text.count(old) == 1, f"{name}: {old}"
            path.write_text(text.replace(old, new) if old else text + new, encoding="utf-8")


def run(copy: Path, *arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_contributing_names_the_files_of_every_recipe() -> None:
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    chapters = re.split(r"^### ", text, flags=re.MULTILINE)[1:]
    assert len(chapters) == 5
    for chapter, recipe in zip(chapters, (LOSS, FAMILY, DATASET, METRIC, STUDY), strict=True):
        for name in recipe:
            assert f"`{name.replace('dummy', '<name>')}`" in chapter, chapter.splitlines()[0]


@pytest.mark.slow
def test_a_loss_term(copy: Path) -> None:
    follow(copy, LOSS)
    params = (copy / "params.yaml").read_text(encoding="utf-8")
    params = params.replace("    mse: null  ", "    dummy: 0.25\n    mse: null  ")
    (copy / "params.yaml").write_text(params, encoding="utf-8")
    run(copy, "-m", "stages.configure")
    said = run(copy, "-c", """
import json, torch
from pathlib import Path
from sharpvae.objective.config import LossConfig
from sharpvae.objective.objective import Objective
from sharpvae.objective.schedules import Span

loss = json.loads(Path("configs/original/train.json").read_text())["loss"]
assert loss["weights"]["dummy"] == 0.0, "a study says all of its loss"
loss = json.loads(Path("configs/improved/train.json").read_text())["loss"]
loss["weights"]["perceptual"] = 0.0
objective = Objective(LossConfig.model_validate(loss), 4, 1, Span(1, 1), None)
images = torch.ones(1, 1, 2, 2)
terms = objective.terms(images, 0 * images, torch.zeros(1, 1), torch.zeros(1, 1))
print(loss["weights"]["dummy"], terms["dummy"].item())
""")  # fmt: skip
    assert said.split() == ["0.25", "4.0"]


@pytest.mark.slow
def test_a_network_family(copy: Path) -> None:
    follow(copy, FAMILY)
    said = run(copy, "-c", """
import torch
from pathlib import Path
from sharpvae.config.resolve import resolve_file
from sharpvae.vae.vae import VAE

model = resolve_file(Path("params.yaml")).experiment.variants["improved"].model
vae = VAE(model.model_copy(update={"family": "dummy", "latent_dim": 3}), 1, 32)
images, posterior = vae(torch.zeros(2, 1, 32, 32), torch.zeros(2, 3))
print(*images.shape, *posterior.mean.shape, type(vae.encoder.body[0]).__name__)
""")  # fmt: skip
    assert said.split() == ["2", "1", "32", "32", "2", "3", "AvgPool2d"]


def test_a_dataset(copy: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    follow(copy, DATASET)
    assert "\ndummy " in run(copy, *SHARPVAE, "datasets")
    raw, digits = tmp_path_factory.mktemp("raw"), TinyDigits().packed()
    (raw / "dummy").mkdir()
    for name, content in digits.items():
        (raw / "dummy" / name).write_bytes(content)
    said = run(copy, "-c", """
import sys
from pathlib import Path
from sharpvae.config.resolve import resolve_file
from sharpvae.core.console import Progress
from sharpvae.datasets.catalogue import entry
from sharpvae.datasets.readers import open_pool

data = resolve_file(Path("params.yaml")).experiment.data.model_copy(update={"name": "dummy"})
with open_pool(entry("dummy"), data, Path(sys.argv[1]), Progress()) as pool:
    print(len(pool.names), *pool.image(0).shape, *sorted(pool.own_splits))
""", str(raw))  # fmt: skip
    assert said.split() == ["60", "28", "28", "1", "test", "train"]


@pytest.mark.slow
def test_a_metric(copy: Path) -> None:
    follow(copy, METRIC)
    said = run(copy, "-c", """
import numpy as np
from sharpvae.report.scores import BY_KEY
from sharpvae.scoring.measures import likeness

images = np.zeros((3, 16, 16, 1), np.uint8)
print(BY_KEY["dummy"].label, likeness(images, images)["dummy"])
""")  # fmt: skip
    assert said.split() == ["Dummy", "3.0"]


def test_a_study(copy: Path) -> None:
    follow(copy, STUDY)
    run(copy, "-m", "stages.configure")
    assert '"beta": 0.125' in (copy / "configs/dummy/train.json").read_text(encoding="utf-8")
    assert "a dummy" in run(copy, *SHARPVAE, "study")
