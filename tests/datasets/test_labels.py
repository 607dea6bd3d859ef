"""A conditional variant without classes is refused before anything is spent."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sharpvae.config.names import Studies, read_settings
from sharpvae.config.resolve import Resolved, resolve
from sharpvae.config.rules import arithmetic, conditional
from sharpvae.core.errors import UserError, UserErrors
from sharpvae.datasets.choose import class_count
from tests.datasets.samples import REPOSITORY, fill

PARAMS = read_settings(REPOSITORY / "params.yaml")


def resolved(model: dict[str, Any], **data: Any) -> Resolved:
    """The project's params.yaml with changes to `variants.improved.model` and `data`."""
    params = copy.deepcopy(PARAMS)
    params["data"].update(data)
    params["variants"]["improved"]["model"].update(model)
    return resolve(params, Studies(REPOSITORY / "studies"))


def broken(rule: Callable[[Resolved], Iterator[UserError]], resolved: Resolved) -> None:
    if errors := list(rule(resolved)):
        raise UserErrors(errors)


def message(**data: Any) -> str:
    with pytest.raises(UserError) as caught:
        broken(conditional, resolved({"conditional": True}, **data))
    return str(caught.value)


@pytest.mark.parametrize(
    ("data", "count"),
    [
        ({"name": "mnist"}, 10),
        ({"name": "mnist", "classes": ["3", "5"]}, 2),
        ({"name": "mnist", "classes": ["3", "3"]}, 1),
        ({"name": "celeba"}, 0),
        ({"name": "flowers102"}, None),
        ({"name": "folder"}, None),
    ],
)
def test_what_is_known_before_the_images_are_there(data: dict[str, Any], count: int | None) -> None:
    assert class_count(resolved({}, **data).experiment.data) == count


def test_ones_own_images_are_looked_at(tmp_path: Path) -> None:
    def count(**more: Any) -> int | None:
        return class_count(resolved({}, name="folder", path=str(tmp_path), **more).experiment.data)

    fill(tmp_path / "train" / "cat", 2)
    fill(tmp_path / "train" / "dog", 2)
    fill(tmp_path / "test" / "cat", 2)
    assert count() == 2
    assert count(classes=["dog"]) == 1
    with pytest.raises(UserErrors, match=r"data\.classes(.|\n)*did you mean 'dog'"):
        count(classes=["dig"])


def test_data_without_labels_is_refused(tmp_path: Path) -> None:
    text = message(name="celeba")
    for part in ("variants.improved.model.conditional", "two classes", "celeba has no labels"):
        assert part in text
    fill(tmp_path, 2)
    assert f"{tmp_path} has no labels" in message(name="folder", path=str(tmp_path))


def test_one_class_is_refused() -> None:
    text = message(name="mnist", classes=["3"])
    for part in ("variants.improved.model.conditional", "one class", "data.classes"):
        assert part in text


def test_a_shared_key_is_told_once() -> None:
    params = copy.deepcopy(PARAMS)
    params["data"]["name"] = "celeba"
    params["model"]["conditional"] = True
    with pytest.raises(UserErrors) as caught:
        broken(conditional, resolve(params, Studies(REPOSITORY / "studies")))
    assert [error.where for error in caught.value.errors] == ["model.conditional"]


def test_what_is_fine_passes() -> None:
    broken(conditional, resolved({"conditional": True}, name="mnist"))
    broken(conditional, resolved({"conditional": True}, name="flowers102"))
    broken(conditional, resolved({"conditional": False}, name="celeba"))


def with_rows(rows: list[list[str]] | None, **data: Any) -> Resolved:
    params = copy.deepcopy(PARAMS)
    params["data"].update(data)
    params["sample"]["arithmetic"] = rows
    return resolve(params, Studies(REPOSITORY / "studies"))


def test_arithmetic_with_a_class_that_is_not_there_is_refused() -> None:
    """Once, though both variants inherit the key."""
    with pytest.raises(UserErrors) as caught:
        broken(arithmetic, with_rows([["1", "7", "3"], ["1", "seven", "12"]]))
    wheres = [(error.where, error.found) for error in caught.value.errors]
    assert wheres == [("sample.arithmetic[1]", "'seven'"), ("sample.arithmetic[1]", "'12'")]
    with pytest.raises(UserErrors, match="valid names: 3, 5"):
        broken(arithmetic, with_rows([["3", "5", "7"]], classes=["3", "5"]))


@pytest.mark.parametrize(
    ("rows", "data"),
    [
        ([["1", "7", "3"]], {}), ([], {}), (None, {}),
        ([["cat", "dog", "cat"]], {"name": "folder"}),  # only the files can tell
        ([["cat", "dog", "cat"]], {"name": "celeba"}),  # without labels the picture is left out
    ],
)  # fmt: skip
def test_arithmetic_that_may_be_right_passes(
    rows: list[list[str]] | None, data: dict[str, Any]
) -> None:
    broken(arithmetic, with_rows(rows, **data))
