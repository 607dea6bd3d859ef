"""Damage at rest: each artefact that a stage wrote, as whoever reads it next finds it.

Cut, emptied, of another run, or with one bit turned where that can be noticed: the reader has to
name the file and the remedy, and nothing may be scored as if it were whole.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sharpvae.core.config import load_stage
from sharpvae.core.errors import UserError
from sharpvae.core.files import read_json, write_json
from sharpvae.images.packed import load_card, load_split
from sharpvae.perception.critic import load_critic
from sharpvae.report.evidence import ReportStage, load_evidence
from sharpvae.scoring.judges import PixelJudge, RandomJudge
from sharpvae.trained.export import export
from sharpvae.trained.model import load
from sharpvae.training.build import perceptual_distance
from sharpvae.vae.vae import load_vae
from stages import configure, critic, evaluate, prepare, reference, report, sample, train
from tests.hostile.campaign import attack, some
from tests.toy import toy, with_variants

PREPARED, SAMPLES, MODEL = "data/prepared", "data/samples/first/0", "models/first/0"
SCORES, REFERENCE = "reports/scores/first/0", "models/reference"
LINES = "  first: {}\n  second: {model: {latent_dim: 7}, sample: {count: 40}}\n"
CPU = torch.device("cpu")


def scored(root: Path) -> None:
    evaluate.main("first", "0")


def reported(root: Path) -> None:
    load_evidence(load_stage(root / "configs/report.json", ReportStage), root)


def loaded(root: Path) -> None:
    """As a person draws from it: by the prior that it is judged by, so that priors are read."""
    load(root / MODEL, "cpu").sample(1)


def exported(root: Path) -> None:
    export(root, "first", 0, "safetensors", root / "exports/first")


def learned_from(root: Path) -> None:
    """The critic, as a training reads it."""
    from sharpvae.config.resolve import resolve_file

    loss = resolve_file(root / "params.yaml").experiment.variants["first"].loss
    weights = loss.weights.model_copy(update={"perceptual": 1.0})
    told = loss.perceptual.model_copy(update={"network": "critic"})
    loss = loss.model_copy(update={"weights": weights, "perceptual": told})
    perceptual_distance(loss, root / "models/critic", torch.zeros(2, 1, 16, 16))


READERS: dict[Callable[[Path], None], list[str]] = {
    scored: [
        "configs/first/evaluate.json", f"{PREPARED}/test.npy", f"{PREPARED}/validation.npy",
        f"{PREPARED}/train.npy", f"{REFERENCE}/reals.npz", f"{REFERENCE}/reference.json",
        f"{SAMPLES}/priors.json", f"{SAMPLES}/prior.npy", f"{SAMPLES}/flow.npy",
        f"{SAMPLES}/reconstruction.npy", f"{SAMPLES}/reconstruction_validation.npy",
        f"{SAMPLES}/likelihood.json", f"{SAMPLES}/posterior.npz", f"{MODEL}/summary.json",
    ],
    reported: [
        "configs/report.json", f"{PREPARED}/card.json", f"{PREPARED}/sheet.png",
        f"{PREPARED}/test.npy", f"{SAMPLES}/headline.npy", f"{SAMPLES}/mixture.npy",
        f"{SAMPLES}/posterior.npz", f"{REFERENCE}/reference.json", "models/critic/critic.json",
        "reports/floors.json", f"{SCORES}/scores.json", f"{SCORES}/summary.json",
        f"{SCORES}/history.csv", f"{SCORES}/per_image.npz", "reports/live/first/0/cost.json",
    ],
    loaded: [f"{MODEL}/network.json", f"{MODEL}/weights.safetensors",
             f"{SAMPLES}/priors.safetensors"],
    exported: [f"{MODEL}/network.json", f"{MODEL}/weights.safetensors",
               f"{SAMPLES}/priors.safetensors"],
    lambda root: learned_from(root): ["models/critic/critic.json",
                                      "models/critic/critic.safetensors"],
}  # fmt: skip
CASES = [(read, name) for read, names in READERS.items() for name in names]
# One bit anywhere in these is noticed: by a sum of ours, or the CRC of a zip or a PNG.
SUMMED = (".npz", ".png", f"{PREPARED}/test.npy", f"{PREPARED}/validation.npy",
          f"{PREPARED}/train.npy", f"{MODEL}/weights.safetensors")  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that the stages write for two small variants of different sizes."""
    root = toy(tmp_path_factory.mktemp("whole"), lambda text: with_variants(text, LINES))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for stage in (configure, prepare, critic, reference):
            stage.main()
        for variant in ("first", "second"):
            for run in (train, sample, evaluate):
                run.main(variant, "0")
        report.main()
    described = read_json(root / REFERENCE / "reference.json")
    for name in ("pixels", "random"):  # the judges of `quick`, which may have no say on toy data
        described["judges"][name]["weight"] = 1.0
    write_json(root / REFERENCE / "reference.json", described)
    return root


@pytest.fixture
def place(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, in which scores are made by the quick judges."""
    root = tmp_path / "copy"
    shutil.copytree(whole, root)
    monkeypatch.chdir(root)
    quick = "sharpvae.scoring.evaluate.members"
    monkeypatch.setattr(quick, lambda metrics, channels, learned: {
        "random": RandomJudge(channels), "pixels": PixelJudge(),
    })  # fmt: skip
    return root


def damages(path: Path, other: Path) -> dict[str, bytes]:
    """What may become of a file."""
    data = path.read_bytes()
    middle = len(data) // 2
    found = {"cut": data[:middle], "cut by a byte": data[:-2], "emptied": b"", "grown": data * 2,
             "zeros": bytes(len(data)), "of another kind": other.read_bytes()}  # fmt: skip
    if str(path).endswith(SUMMED):
        place = middle + 3
        found["one bit"] = data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]
    if path.suffix == ".csv":
        del found["cut by a byte"], found["cut"], found["grown"]  # it may end with any line
    if path.suffix in (".npz", ".png"):
        del found["grown"]  # all of it is there, and read
    if path.suffix == ".png":
        del found["cut by a byte"]  # of the end mark, behind the picture
    return found


@pytest.mark.slow
def test_damage_is_noticed_and_named_by_whoever_reads_it(
    request: pytest.FixtureRequest, place: Path, share: float
) -> None:
    for read in READERS:
        read(place)
    before = (place / SCORES / "scores.json").read_bytes()
    inputs = []
    for read, name in CASES:
        other = "test.npy" if name.endswith((".json", ".csv")) else "card.json"
        told = damages(place / name, place / PREPARED / other)
        inputs += [(read, name, what, data) for what, data in told.items()]
    inputs = random.Random(0).sample(inputs, some(share, len(inputs)))

    def damaged(item: tuple[Callable[[Path], None], str, str, bytes]) -> None:
        read, name, what, data = item
        kept = (place / name).read_bytes()
        (place / name).write_bytes(data)
        try:
            read(place)
        except UserError as error:
            named = Path(name).name in f"{error.where} {error.expected}"
            if not (named and error.fix):
                raise AssertionError(f"{name}, {what}: {error}") from None
            raise
        finally:
            (place / name).write_bytes(kept)
        raise AssertionError(f"{name}, {what}: taken for whole by {read.__name__}")

    tally = attack(request, "damage at rest", inputs, damaged, large=True, seconds=20.0)
    assert tally.refused == len(inputs)
    assert (place / SCORES / "scores.json").stat().st_size == len(before)


@pytest.mark.slow
def test_what_belongs_to_another_variant_is_refused(
    request: pytest.FixtureRequest, place: Path
) -> None:
    """Where it differs in anything but values; DVC tells the rest (docs/trust.md)."""
    cases = [
        (scored, f"{SAMPLES}/reconstruction.npy", f"{SAMPLES}/headline.npy"),
        (loaded, f"{MODEL}/weights.safetensors", f"{MODEL}/weights.safetensors"),
        (loaded, f"{MODEL}/network.json", f"{MODEL}/network.json"),
        (loaded, f"{SAMPLES}/priors.safetensors", f"{SAMPLES}/priors.safetensors"),
        (exported, f"{SAMPLES}/priors.safetensors", f"{SAMPLES}/priors.safetensors"),
    ]

    def swapped(case: tuple[Callable[[Path], None], str, str]) -> None:
        read, ours, theirs = case
        kept = (place / ours).read_bytes()
        shutil.copy(place / theirs.replace("first", "second"), place / ours)
        try:
            read(place)
        finally:
            (place / ours).write_bytes(kept)

    tally = attack(request, "artefacts of another variant", cases, swapped, large=True, seconds=20)
    assert tally.refused == len(cases)


def packed(folder: Path) -> Path:
    """A split, and a card with its sum."""
    from tests.hostile.test_records import CARD

    images = np.arange(2 * 256, dtype=np.uint16).astype(np.uint8).reshape(2, 16, 16, 1)
    np.save(folder / "test.npy", images)
    return write_sum(folder, CARD)


def write_sum(folder: Path, card: Any) -> Path:
    import hashlib
    from dataclasses import replace

    from sharpvae.images.packed import write_card

    digest = hashlib.sha256((folder / "test.npy").read_bytes()).hexdigest()
    write_card(folder, replace(card, sha256={"test": digest}))
    return folder / "test.npy"


def test_one_bit_of_the_prepared_images_is_noticed(tmp_path: Path) -> None:
    path = packed(tmp_path)
    assert len(load_split(tmp_path, "test").images) == 2
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"as in card\.json") as caught:
        load_split(tmp_path, "test")
    assert caught.value.where == str(path) and "dvc repro --force prepare" in caught.value.fix


def test_a_card_of_another_form_is_told(tmp_path: Path) -> None:
    packed(tmp_path)
    card = read_json(tmp_path / "card.json")
    for key, value in (("skipped", {}), ("skipped", ["a"]), ("counts", 3), ("channels", "x")):
        write_json(tmp_path / "card.json", card | {key: value})
        with pytest.raises(UserError, match=key):
            load_card(tmp_path)


def test_critic_and_vae_are_named_where_they_are_damaged(tmp_path: Path) -> None:
    for name, read in (("critic.json", load_critic), ("network.json", lambda p: load_vae(p, CPU))):
        (tmp_path / name).write_text("{}")
        with pytest.raises(UserError, match=name) as caught:
            read(tmp_path)
        assert "dvc repro" in caught.value.fix
