from __future__ import annotations

import re
import subprocess
import sys

import pytest

from sharpvae.core.errors import UserError
from sharpvae.datasets.catalogue import CATALOGUE, entry
from tests.datasets.samples import REPOSITORY


def test_the_datasets_are_there() -> None:
    assert list(CATALOGUE) == [
        "mnist5k", "mnist", "fashion-mnist", "kmnist", "cifar10", "svhn", "celeba", "flowers102",
        "fruits360-apples", "wikiart-impressionism", "dsprites", "shapes", "folder", "zip",
    ]  # fmt: skip
    for name in CATALOGUE:
        assert entry(name).name == name


@pytest.mark.parametrize(
    ("wrong", "right"), [("mnist5000", "mnist5k"), ("fashion_mnist", "fashion-mnist")]
)
def test_an_unknown_name_is_told_the_nearest(wrong: str, right: str) -> None:
    with pytest.raises(UserError) as caught:
        entry(wrong)
    text = str(caught.value)
    assert text.startswith("data.name\n")
    assert repr(wrong) in text
    assert f"did you mean '{right}'?" in text
    assert "mnist, fashion-mnist, kmnist" in text


def test_names_are_cheap_to_check() -> None:
    """`configure` calls it: no numpy, no Pillow, no torch."""
    code = (
        "import sys; from sharpvae.datasets.catalogue import entry; entry('mnist');"
        "print(sorted({'numpy', 'PIL', 'torch', 'mlxtend'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=True
    )
    assert done.stdout.strip() == "[]"


def test_entries_are_whole() -> None:
    for dataset in CATALOGUE.values():
        assert dataset.title
        assert dataset.licence
        assert dataset.source
        for file in dataset.files:
            assert file.digest is None or re.fullmatch(
                r"sha256:[0-9a-f]{64}|md5:[0-9a-f]{32}", file.digest
            )
            assert file.size is None or file.size > 0
        for address in dataset.addresses:
            assert re.fullmatch(r"https?://.*/", address)
        if dataset.class_names:
            assert len(set(dataset.class_names)) == len(dataset.class_names)
        if dataset.groups:
            assert [name for name, _ in dataset.groups] == list(dataset.class_names or ())
        here = dataset.reader in ("csv", "folder", "shapes")
        reachable = dataset.addresses or dataset.by_hand or here
        assert reachable, "no word on where it comes from"
