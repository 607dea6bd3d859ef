"""Does the data suffice for what is asked of it? Each answer names the key to change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sharpvae.config.schema import DataConfig
from sharpvae.config.stage_files import Minimum
from sharpvae.datasets.image_files import clean
from sharpvae.datasets.packed import SPLITS, Skipped, SplitName
from sharpvae.errors import UserError, UserErrors, nearest

_NEEDED_BY = {
    "train": "a batch of every network: train.batch_size, twice judge.batch_size and twice "
    "critic.batch_size, and metrics.kid_subset_size",
    "validation": "the validation loss",
    "test": "one KID subset: metrics.kid_subset_size",
}
_SHOWN = 5


def chosen_classes(
    class_names: tuple[str, ...] | None, config: DataConfig, place: str
) -> list[int] | None:
    """Labels that `data.classes` picks, ascending; all where it is null; None without labels.

    Raises:
        UserError: an unknown class, or classes asked of data that has none.
    """
    if config.classes is None:
        return None if class_names is None else list(range(len(class_names)))
    if class_names is None:
        raise UserError(
            "data.classes", "null, for there are no class folders", repr(config.classes),
            f"set data.classes: null, or sort the images of {place} into one folder a class",
        )  # fmt: skip
    asked = [clean(name) for name in config.classes]  # one spelling, as the folders have it
    unknown = [name for name in asked if name not in class_names]
    if unknown:
        raise UserErrors([
            UserError("data.classes", f"a class of {place}", repr(name), nearest(name, class_names))
            for name in unknown
        ])  # fmt: skip
    return [label for label, name in enumerate(class_names) if name in asked]


def require_possible(config: DataConfig, minimum: Minimum) -> None:
    """What needs no data to be refused, so that nothing is downloaded in vain.

    Raises:
        UserError: `data.subset` is a count below what the splits need together.
    """
    needed = minimum.train + minimum.validation + minimum.test
    if isinstance(config.subset, int) and config.subset < needed:
        raise UserError(
            "data.subset",
            f"at least {needed} images: {minimum.train} train, {minimum.validation} validation, "
            f"{minimum.test} test",
            str(config.subset),
            "raise data.subset, or lower metrics.kid_subset_size and the batch sizes",
        )


def require(
    counts: Mapping[SplitName, int],
    minimum: Minimum,
    config: DataConfig,
    own_splits: frozenset[SplitName],
    lost: str = "",
) -> None:
    """Every split holds enough images for the later stages.

    Args:
        counts: images in each split.
        own_splits: the splits that the publishers set apart.
        lost: what became of others, if that is known.

    Raises:
        UserErrors: one for each split that does not, naming the keys that would change it.
    """
    listed = ", ".join(f"{counts[split]} {split}" for split in SPLITS)
    listed += f"; {lost}" if lost else ""
    errors = []
    for split in SPLITS:
        needed: int = getattr(minimum, split)
        if counts[split] < needed:
            key = _key(split, config, own_splits)
            errors.append(UserError(
                key, f"at least {needed} {split} images, for {_NEEDED_BY[split]}",
                f"{counts[split]} (the splits hold {listed})",
                f"{_remedy(split, config, own_splits)}, or lower the keys named above",
            ))  # fmt: skip
    if errors:
        raise UserErrors(errors)


def _key(split: SplitName, config: DataConfig, own_splits: frozenset[SplitName]) -> str:
    if config.subset is not None:
        return "data.subset"
    if config.classes is not None:
        return "data.classes"
    if split != "train" and split not in own_splits:
        return f"data.{split}_fraction"
    return "data.path" if config.name in ("folder", "zip") else "data.name"


def _remedy(split: SplitName, config: DataConfig, own_splits: frozenset[SplitName]) -> str:
    remedies = []
    if config.subset is not None:
        remedies.append("raise data.subset")
    if config.classes is not None:
        remedies.append("name more data.classes")
    if split != "train" and split not in own_splits:
        remedies.append(f"raise data.{split}_fraction")
    if config.name in ("folder", "zip"):
        remedies.append("add images to data.path")
    return ", ".join(remedies or ["choose a larger dataset as data.name"])


def require_all_usable(place: str, skipped: Sequence[Skipped]) -> None:
    """What `data.strict` asks for: no file was passed over.

    Raises:
        UserError: some were; names the first few.
    """
    if skipped:
        raise UserError(
            place, "nothing but usable images, for data.strict is true",
            f"{len(skipped)} files that are none ({_few(skipped)})",
            "mend or remove them, or set data.strict: false, which skips and lists them",
        )  # fmt: skip


def no_usable_image(folder: str, skipped: Sequence[Skipped]) -> UserError:
    """The error for a folder all of whose files had to be skipped."""
    return UserError(
        folder, "at least one image", f"none usable of {len(skipped)} files ({_few(skipped)})",
        "put images there, or leave it out: change data.path or data.classes",
    )  # fmt: skip


def _few(skipped: Sequence[Skipped]) -> str:
    listed = "; ".join(f"{item.file}: {item.reason}" for item in skipped[:_SHOWN])
    return listed + (f"; and {len(skipped) - _SHOWN} more" if len(skipped) > _SHOWN else "")
