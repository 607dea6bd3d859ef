"""Which classes the images will have, as far as that is known before they are prepared."""

from __future__ import annotations

from pathlib import Path

from sharpvae.config.class_names import unknown_classes
from sharpvae.config.resolve import Resolved
from sharpvae.config.schema import DataConfig
from sharpvae.datasets.catalogue import entry
from sharpvae.errors import UserError, UserErrors


def check_conditional(resolved: Resolved) -> None:
    """Conditional variants have labels to be told, wherever that can be known by now.

    Raises:
        UserErrors: one for each conditional variant, where there are fewer than two classes.
        UserError: the folder or archive of one's own images cannot be made sense of.
    """
    data, variants = resolved.experiment.data, resolved.experiment.variants
    conditional = [name for name, variant in variants.items() if variant.model.conditional]
    count = class_count(data) if conditional else None
    if count is not None and count < 2:
        keys = (resolved.sources[f"variants.{name}.model.conditional"] for name in conditional)
        raise UserErrors([too_few_classes(key, data, count) for key in dict.fromkeys(keys)])


def check_arithmetic(resolved: Resolved) -> None:
    """`sample.arithmetic` names classes that there are, where catalogue or params.yaml know them.

    Raises:
        UserErrors: one for each wrong name.
    """
    data = resolved.experiment.data
    names = data.classes or entry(data.name).class_names
    rows = {
        resolved.sources[f"variants.{name}.sample.arithmetic"]: variant.sample.arithmetic
        for name, variant in resolved.experiment.variants.items()
    }
    wrong = [error for key, row in rows.items() for error in unknown_classes(key, row, names or ())]
    if wrong and names is not None:
        raise UserErrors(wrong)


def class_count(data: DataConfig) -> int | None:
    """Classes that `prepare` will find: 0 without labels, None where only the files can tell.

    Raises:
        UserError: `data.classes` names a class that is not there, or `data.path` is no folder or
            archive of images.
    """
    dataset = entry(data.name)
    if not dataset.labelled:
        return 0
    own = dataset.reader == "folder"
    if own and data.path is None:
        return None
    names = _own_classes(data) if own else dataset.class_names
    if names is None:
        return 0 if own else None
    from sharpvae.datasets.requirements import chosen_classes

    return len(chosen_classes(names, data, f"data.name: {data.name}") or ())


def _own_classes(data: DataConfig) -> tuple[str, ...] | None:
    """The class folders of one's own images, found as `prepare` finds them."""
    from sharpvae.datasets.image_files import layout, open_files
    from sharpvae.datasets.split_folders import sort_out

    path = Path(data.path or "").expanduser()
    files = open_files(path)
    try:
        return sort_out(layout(files, path), str(path)).class_names
    finally:
        files.close()


def too_few_classes(where: str, data: DataConfig, count: int) -> UserError:
    """The mistake of a conditional variant on images of fewer than two classes."""
    own = entry(data.name).reader == "folder"
    place = f"data.path: {data.path}" if own else f"data.name: {data.name}"
    classes = "" if data.classes is None else ", data.classes"
    return UserError(
        where,
        "images of at least two classes, for the network to be told which",
        f"one class, of {place}{classes}" if count else f"{place} has no labels",
        "set it to false, or choose other data (data.name, data.path, data.classes)",
    )
