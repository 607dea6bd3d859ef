"""A trained VAE in a form that other programs read, in a folder of its own."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

from sharpvae.core.errors import UserError, nearest
from sharpvae.core.files import copy_file, expanded, fresh_directory, unwritable, write_json
from sharpvae.sampling.stored import FILE, save_priors
from sharpvae.trained.model import NETWORK, WEIGHTS, TrainedVAE, load

# Form -> the packages that it needs beside those of the project.
FORMS: dict[str, tuple[str, ...]] = {
    "onnx": ("onnx", "onnxruntime"),
    "safetensors": (),
    "hub": ("huggingface_hub",),
}
MARK = "export.json"  # tells a folder that was written here from anybody else's
MODELS = Path("models")


def export(root: Path, variant: str, seed: int, form: str, out: Path) -> str:
    """Write the VAE of a variant and a seed into the folder `out`, in one of `FORMS`.

    - `onnx`: see `sharpvae.trained.onnx_files.graphs`
    - `safetensors`: weights.safetensors, network.json and priors.safetensors
    - `hub`: see `sharpvae.trained.hub.write_hub`

    Beside them export.json says what it is, and the SHA-256 of each file. A folder that an earlier
    call wrote is replaced whole. After a mistake nothing is written, and what was there still is.

    Args:
        root: the repository with models/, data/ and reports/.

    Returns:
        what there is to say about it; may be empty.

    Raises:
        UserError: there is no such VAE, a package is missing, `out` holds what was not written
            here, an ONNX file computes something else than PyTorch, or what a model card tells is
            missing.
    """
    folder = trained_folder(root, variant, seed)
    _check_packages(form)
    place = _place(out)
    vae = load(folder, "cpu")
    with _whole(place) as directory:
        said = _write(vae, root, variant, seed, form, directory)
        about = {
            "form": form, "variant": variant, "seed": seed, "image_size": vae.image_size,
            "channels": vae.channels, "latent_dim": vae.latent_dim, "classes": vae.classes,
            "class_names": vae.class_names,
        }  # fmt: skip
        files = {path.name: _digest(path) for path in sorted(directory.iterdir())}
        write_json(directory / MARK, {**about, "files": files})
    return said


def trained_folder(root: Path, variant: str, seed: int) -> Path:
    """models/<variant>/<seed>; UserError, with the names that there are, where it holds no VAE."""
    trained: dict[str, list[int]] = {}
    for file in (root / MODELS).glob(f"*/*/{NETWORK}"):
        if file.parent.name.isdecimal():
            trained.setdefault(file.parents[1].name, []).append(int(file.parent.name))
    if not trained:
        raise UserError(
            str(root / MODELS), "trained VAEs, models/<variant>/<seed>", "none",
            "run from the top of the repository, or train them: dvc repro",
        )  # fmt: skip
    if variant not in trained:
        expected = "a variant that is trained"
        raise UserError("variant", expected, repr(variant), nearest(variant, sorted(trained)))
    if seed not in trained[variant]:
        seeds = sorted(trained[variant])
        raise UserError(
            "--seed", f"a seed that {variant} is trained with: {', '.join(map(str, seeds))}",
            str(seed), f"train it: dvc exp run -S 'seeds={sorted([*seeds, seed])}'",
        )  # fmt: skip
    return root / MODELS / variant / str(seed)


def _check_packages(form: str) -> None:
    for name in FORMS[form]:
        if find_spec(name) is None:
            raise UserError(
                f"--to {form}", f"the package {name}", "it is not installed",
                "pip install 'sharpvae[export]'",
            )  # fmt: skip


def _write(vae: TrainedVAE, root: Path, variant: str, seed: int, form: str, directory: Path) -> str:
    """Write the files of one form; what there is to say about them."""
    if form == "onnx":
        from sharpvae.trained.onnx_files import write_onnx  # wants packages that are optional

        apart = write_onnx(vae, directory)
        return f"ONNX Runtime computes what PyTorch does, to within {apart:.1g}"
    if form == "hub":
        from sharpvae.trained.hub import Origin, write_hub  # likewise

        write_hub(vae, Origin(root, variant, seed), directory)
        return ""
    for name in (WEIGHTS, NETWORK):
        copy_file(vae.folder / name, directory / name)
    save_priors(directory / FILE, vae.priors, vae.network)
    return ""


def _place(out: Path) -> Path:
    """The folder `out`, resolved; UserError where something there was not written by `export`."""
    place = expanded(out).resolve()
    if not place.exists():
        return place
    expected = "a new folder, or one that `sharpvae export` wrote, which it replaces"
    found = "a file"
    if place.is_dir():
        foreign = _foreign(place)
        more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
        found = f"with files of others, or changed: {', '.join(foreign[:3])}{more}"
        if not foreign:
            here = Path.cwd()
            if place != here and place not in here.parents:
                return place
            found = "the folder that this was called in"
    raise UserError(str(out), expected, found, "name another one with --out, or move it away")


def _foreign(place: Path) -> list[str]:
    """What is in a folder, but was not written there by `export`, or was changed since."""
    names = sorted(os.listdir(place))
    try:
        written = json.loads((place / MARK).read_text(encoding="utf-8"))["files"]
        return [
            name
            for name in names
            if name != MARK
            and not ((place / name).is_file() and written.get(name) == _digest(place / name))
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return names


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _whole(place: Path) -> Iterator[Path]:
    """`fresh_directory`, which after a mistake takes the folders away, too, that it made above."""
    made = [parent for parent in place.parents if not parent.exists()]
    try:
        with fresh_directory(place) as directory:
            yield directory
    except BaseException as error:
        for parent in made:
            with suppress(OSError):
                parent.rmdir()
        if isinstance(error, OSError):
            raise unwritable(place.parent, "the exported VAE", 0, error) from None
        raise
