"""A trained VAE in Hugging Face's form: its class there, and its model card."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import ModelCardData, PyTorchModelHubMixin

from sharpvae.core.errors import UserError
from sharpvae.core.files import read_json, write_text
from sharpvae.core.weights import load_weights
from sharpvae.datasets.catalogue import entry
from sharpvae.images.packed import SPLITS, Card, load_card
from sharpvae.report.artefacts import Known, load_floors
from sharpvae.report.numerals import NOTHING, PLUS_MINUS, decimals, fixed, short, thousands
from sharpvae.report.page import escape, markdown_table
from sharpvae.report.scores import BY_KEY, GOAL_TEXT, HEADLINE, Metric
from sharpvae.sampling.stored import FILE, save_priors
from sharpvae.trained.model import NETWORK, TrainedVAE
from sharpvae.vae.config import ModelConfig
from sharpvae.vae.vae import VAE

CARD = "README.md"
PREPARED, REPORTS = Path("data/prepared"), Path("reports")
# The last two are how Hugging Face finds models of its mixin.
TAGS = ("vae", "image-generation", "model_hub_mixin", "pytorch_model_hub_mixin")
# Those that Hugging Face has under the same name in small letters.
_LICENCES = {"apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0"}
_PLACE = "owner/name"


class HubVAE(VAE, PyTorchModelHubMixin, library_name="sharpvae", tags=list(TAGS)):
    """A `VAE` that Hugging Face's `from_pretrained` and `save_pretrained` read and write.

    `HubVAE.from_pretrained("owner/name")` gives the PyTorch module. For draws from its priors, and
    NumPy arrays in and out, `sharpvae.load` takes the same folder.

    Args:
        image_channels: as of `VAE`, like the next two.
        image_size: H and W.
        classes: 0 where it is not conditional.
        model: the section `model`, as in network.json.
    """

    def __init__(
        self, image_channels: int, image_size: int, classes: int, model: dict[str, Any]
    ) -> None:
        super().__init__(ModelConfig.model_validate(model), image_channels, image_size, classes)

    @classmethod
    def _load_as_safetensor(
        cls, model: Any, model_file: str, map_location: str, strict: bool
    ) -> Any:
        """Every weight must be there, which Hugging Face leaves open; UserError if one is not."""
        load_weights(Path(model_file), model)
        return model.to(map_location).eval()


class Origin(NamedTuple):
    """Where a VAE is from."""

    root: Path  # of the repository with its scores and its data
    variant: str
    seed: int


class Evidence(NamedTuple):
    """What a model card tells of a VAE beside what it is."""

    origin: Origin
    scores: Mapping[str, float | None]  # as of reports/metrics.json
    floors: Mapping[str, Known]
    data: Card


def write_hub(vae: TrainedVAE, origin: Origin, directory: Path) -> None:
    """Write README.md, config.json, model.safetensors and priors.safetensors into `directory`.

    Raises:
        UserError: the priors, scores, floors or the card of the data are missing or of others.
    """
    evidence = gather(vae, origin)
    network = HubVAE(**read_json(vae.folder / NETWORK))
    network.load_state_dict(vae.network.state_dict())
    write_text(directory / CARD, model_card(vae, evidence))  # else the mixin writes one of its own
    network.save_pretrained(directory)
    save_priors(directory / FILE, vae.priors, vae.network)


def gather(vae: TrainedVAE, origin: Origin) -> Evidence:
    """Read what stands in a repository about a VAE; UserError where it is missing or of others."""
    metrics, prepared = origin.root / REPORTS / "metrics.json", origin.root / PREPARED
    rows = load_floors(metrics)  # of the same form
    if origin.variant not in rows:
        expected = f"the scores of {origin.variant}, which a model card tells"
        found = f"those of {', '.join(rows) or 'none'}"
        raise UserError(str(metrics), expected, found, "score it: dvc repro")
    data = load_card(prepared)
    if (data.image_size, data.channels) != (vae.image_size, vae.channels):
        raise UserError(
            str(prepared), f"the images that {origin.variant} learned from",
            f"{data.title}, {data.image_size} pixels, {data.channels} channels",
            "train it on these: dvc repro",
        )  # fmt: skip
    floors = load_floors(origin.root / REPORTS / "floors.json")
    return Evidence(origin, rows[origin.variant], floors, data)


def model_card(vae: TrainedVAE, evidence: Evidence) -> str:
    """README.md: metadata as YAML, then how to use it, its scores beside floors, and its data."""
    origin, data = evidence.origin, evidence.data
    kind = "grey" if vae.channels == 1 else "RGB"
    classes = f", for one of {vae.classes} classes that is asked for" if vae.classes else ""
    blocks = [
        f"---\n{_metadata(vae, data).to_yaml()}\n---",
        f"# {escape(origin.variant)}, a VAE of {escape(data.title)}",
        f"A variational autoencoder, trained and scored by SharpVAE: variant "
        f"{escape(origin.variant)}, seed {origin.seed}. It draws {kind} images of "
        f"{vae.image_size} \N{MULTIPLICATION SIGN} {vae.image_size} pixels from codes of "
        f"{vae.latent_dim} dimensions{classes}.",
        _usage(vae),
        "## Scores",
        _score_table(evidence),
        f"Of samples drawn from {_source(vae)}, unless a row says otherwise, against the test "
        "images; beside them what other real images score, and images of known faults. "
        f"{_spread(evidence.scores)}FID is the geometric mean over a panel of judges: compare it "
        "within this table alone.",
        "## Data",
        markdown_table([["", ""], *_data_rows(data)], ()),
        "`license` at the top of this file is that of these images, from which the weights were "
        "learned. SharpVAE itself is under Apache-2.0.",
    ]
    return "\n\n".join(blocks) + "\n"


def _metadata(vae: TrainedVAE, data: Card) -> ModelCardData:
    """What Hugging Face sorts models by."""
    name = re.sub(r"[^a-z0-9.]+", "-", data.licence.lower()).strip("-")
    known = name in _LICENCES
    return ModelCardData(
        library_name="sharpvae",
        license=name if known else "other",
        license_name=None if known else f"images-{name}",
        tags=[*TAGS, *(["conditional"] if vae.classes else [])],
        pipeline_tag=None if vae.classes else "unconditional-image-generation",
    )


def _usage(vae: TrainedVAE) -> str:
    label = ", label=0" if vae.classes else ""
    shape = f"(16, {vae.image_size}, {vae.image_size}, {vae.channels})"
    return f"""```sh
pip install 'sharpvae[export]'
```

```python
from huggingface_hub import snapshot_download
from sharpvae import load

vae = load(snapshot_download("{_PLACE}"))
images = vae.sample(16, seed=1{label})  # uint8 {shape}
```

`sharpvae.trained.hub.HubVAE.from_pretrained("{_PLACE}")` gives the PyTorch module alone."""


def _source(vae: TrainedVAE) -> str:
    names = {"normal": "N(0, I)", "mixture": "a Gaussian mixture fitted to its codes",
             "flow": "a flow fitted to its codes"}  # fmt: skip
    return names[vae.headline or "normal"]


def _spread(scores: Mapping[str, float | None]) -> str:
    if not any(key.endswith("_ci") for key in scores):
        return ""
    return f"They are means over several seeds {PLUS_MINUS} half of the 95 % interval. "


def _score_table(evidence: Evidence) -> str:
    """A row a score, a column for the VAE and for each floor."""
    floors = evidence.floors
    keys = [key for key in HEADLINE if evidence.scores.get(key) is not None]
    rows = [
        [
            escape(BY_KEY[key].name), GOAL_TEXT[BY_KEY[key].goal],
            _score(BY_KEY[key], evidence.scores),
            *(_floor(BY_KEY[key], scores) for scores in floors.values()),
        ]
        for key in keys
    ]  # fmt: skip
    head = ["Score", "Better", "This VAE", *map(escape, floors)]
    return markdown_table([head, *rows], range(2, len(head)))


def _score(metric: Metric, scores: Mapping[str, float | None]) -> str:
    value, half = scores[metric.key] or 0.0, scores.get(f"{metric.key}_ci")
    places = max(metric.places, decimals([value]))
    spread = "" if half is None else f" {PLUS_MINUS} {fixed(half, places)}"
    return f"{fixed(value, places, metric.signed)}{spread}"


def _floor(metric: Metric, scores: Known) -> str:
    """Nothing for the scores of further draws: their floors are those of the first."""
    if metric.base != metric.key or metric.key not in scores:
        return ""
    value = scores[metric.key]
    return NOTHING if value is None else short(value)


def _data_rows(data: Card) -> list[list[str]]:
    """A name and a value in each row. Where somebody's own images lie is theirs to tell."""
    own = entry(data.name).reader == "folder"
    rows = {
        "Data": data.title,
        "Source": "images of one's own" if own else data.source,
        "Licence": data.licence,
        "Citation": data.citation,
        "Images": ", ".join(f"{thousands(data.counts[split])} {split}" for split in SPLITS),
        "Classes": ", ".join(data.class_names or ()),
    }
    return [[name, escape(value)] for name, value in rows.items() if value]
