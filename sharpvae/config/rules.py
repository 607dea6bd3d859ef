"""Every rule between keys, checked before anything is downloaded or trained.

`train` and `prepare` check again what depends on the number of images, by the same functions:
`objective.schedules.late_start`, `training.config.indivisible`, `datasets.choose`.
"""

from __future__ import annotations

from collections.abc import Callable

from sharpvae.config.experiment import VariantConfig
from sharpvae.config.loss_networks import Errors, existing, loss_networks, weights_found
from sharpvae.config.names import BEFORE
from sharpvae.config.resolve import Resolved
from sharpvae.core.errors import UserError, UserErrors
from sharpvae.datasets.catalogue import entry
from sharpvae.datasets.choose import class_count, too_few_classes
from sharpvae.datasets.config import DataConfig
from sharpvae.datasets.given import require_kind
from sharpvae.objective.schedules import late_start
from sharpvae.sampling.config import unknown_classes
from sharpvae.training.config import MOST_EPOCHS, indivisible
from sharpvae.vae.config import OURS_ALONE
from sharpvae.vae.reference import sources as code_of


def check(resolved: Resolved) -> None:
    """Check every rule: UserErrors with all broken ones, UserError for an unknown `data.name`."""
    entry(resolved.experiment.data.name)
    _raise_all(
        resolved,
        (own_images, given_samples, judge, demands, conditional, arithmetic),
        VARIANT_RULES,
    )


def check_shapes(resolved: Resolved) -> None:
    """UserErrors unless every variant's networks fit the images; unlike `check` reads no files."""
    _raise_all(resolved, (), (image_size, dropout, patches))


def _raise_all(
    resolved: Resolved,
    shared: tuple[Callable[[Resolved], Errors], ...],
    own: tuple[Callable[[Resolved, str], Errors], ...],
) -> None:
    errors = [error for rule in shared for error in rule(resolved)]
    for name, variant in resolved.experiment.variants.items():
        errors += [error for rule in own for error in rule(resolved, name)]
        if variant.before is not None:
            first, known = resolved.before(name), {str(error) for error in errors}
            found = [error for rule in own for error in rule(first, f"{name}.{BEFORE}")]
            errors += [error for error in found if str(error) not in known]
    if errors:
        raise UserErrors(errors)


def own_images(resolved: Resolved) -> Errors:
    """`data.path` exists, and is set where `data.name` needs it."""
    data = resolved.experiment.data
    if data.name == "folder" and data.path is None:
        expected = "a folder or .zip of images, which data.name: folder reads"
        yield UserError("data.path", expected, "null", "set data.path to where your images are")
    yield from existing("data.path", data.path)


def given_samples(resolved: Resolved) -> Errors:
    """Samples that were made elsewhere are there, in a form that can be read."""
    for name, given in resolved.experiment.given.items():
        try:
            require_kind(given.samples, f"variants.{name}.samples")
        except UserError as error:
            yield error


def judge(resolved: Resolved) -> Errors:
    """The trained judge owes nothing to the critic; what `metrics.features` names is installed."""
    experiment, sources = resolved.experiment, resolved.sources
    if experiment.judge.seed == experiment.critic.seed:
        ours, other = sources["judge.seed"], sources["critic.seed"]
        reason = "the network that scores must owe nothing to one that a loss uses"
        expected, found = f"another seed than the critic's: {reason}", experiment.judge.seed
        yield UserError(ours, expected, f"{found}, as {other}", f"change {ours} or {other}")
    key, given = sources["metrics.weights"], experiment.metrics.weights
    if experiment.metrics.features == "panel":
        yield from existing(key, given)
    else:
        yield from weights_found(
            "inception", given, key, f"set {sources['metrics.features']}: panel"
        )


def demands(resolved: Resolved) -> Errors:
    """Presets that contradict each other; one that an explicit key overrides does not."""
    tree = resolved.experiment.model_dump()
    for where, preset, key, value in resolved.demands:
        section, name = key.split(".")
        source, effective = resolved.sources[key], tree[section][name]
        if effective != value and source != key:
            expected = (
                f"a preset that agrees with {source}, which says {effective} for all variants"
            )
            fix = f"set {key} yourself, which settles it, or name another preset"
            yield UserError(where, expected, f"{preset}, which is made for {value}", fix)


def conditional(resolved: Resolved) -> Errors:
    """Conditional variants have labels, as far as that is known before the images are read."""
    data, variants = resolved.experiment.data, resolved.experiment.variants
    named = [name for name, variant in variants.items() if variant.model.conditional]
    try:
        count = class_count(data) if named else None
    except UserError as error:  # the folder or .zip cannot be read
        yield error
        return
    if count is not None and count < 2:
        keys = (resolved.sources[f"variants.{name}.model.conditional"] for name in named)
        yield from (too_few_classes(key, data, count) for key in dict.fromkeys(keys))


def arithmetic(resolved: Resolved) -> Errors:
    """`sample.arithmetic` names classes that exist, where catalogue or params.yaml know them."""
    data = resolved.experiment.data
    names = data.classes or entry(data.name).class_names
    rows = {
        resolved.sources[f"variants.{name}.sample.arithmetic"]: variant.sample.arithmetic
        for name, variant in resolved.experiment.variants.items()
    }
    if names is not None:
        for key, row in rows.items():
            yield from unknown_classes(key, row, names)


def image_size(resolved: Resolved, name: str) -> Errors:
    """The encoder halves images without a remainder."""
    variant, sources = resolved.variant(name)
    size, stride = resolved.experiment.data.image_size, variant.model.stride
    if size % stride:
        down = size // stride * stride
        sizes = f"{down} or {down + stride}" if down >= 16 else f"{down + stride}"
        halvings = len(variant.model.widths)
        expected = f"a multiple of {stride}: variant '{name}' halves it {halvings} times"
        fix = f"set data.image_size to {sizes}, or give {sources['model.widths']} fewer entries"
        yield UserError(sources["data.image_size"], expected, str(size), fix)


def dropout(resolved: Resolved, name: str) -> Errors:
    """Only linear layers drop units."""
    variant, sources = resolved.variant(name)
    if variant.model.family != "mlp" and variant.model.dropout > 0:
        expected = "0: only the linear layers of an mlp drop units"
        found = f"{variant.model.dropout:g}, with {sources['model.family']}: conv"
        fix = "set it to 0, or model.family: mlp"
        yield UserError(sources["model.dropout"], expected, found, fix)


def own_network(resolved: Resolved, name: str) -> Errors:
    """The code of a network of the user's own can be read; no key is set that nobody reads.

    Set for this variant, that is: what other layers say may well be meant for other variants.
    """
    variant, sources = resolved.variant(name)
    key, family = sources["model.family"], variant.model.family
    fix = "remove it, or pass it on in model.arguments" if variant.model.own else "remove it"
    for setting in OURS_ALONE if variant.model.own else ("arguments",):
        where = f"variants.{name}.model.{setting}"
        if where in resolved.given and sources[f"model.{setting}"] == where:
            expected = f"no such key beside {key}: {family}, which does not read it"
            yield UserError(where, expected, "it is set", fix)
    if variant.model.own:
        try:
            code_of(family)
        except UserError as error:
            yield UserError(key, error.expected, f"{family}: {error.found}", error.fix)


def enough_samples(resolved: Resolved, name: str) -> Errors:
    """A KID subset can be drawn from the samples."""
    variant, sources = resolved.variant(name)
    count, subset = variant.sample.count, resolved.experiment.metrics.kid_subset_size
    if count is not None and subset is not None and count < subset:
        expected = f"at least {subset} images, the size of one KID subset"
        fix = f"raise it, or lower {sources['metrics.kid_subset_size']}"
        yield UserError(sources["sample.count"], expected, str(count), fix)


def schedules(resolved: Resolved, name: str) -> Errors:
    """A weight above 0 starts before the end of training, as far as the images are counted; a
    length in fractions is one."""
    variant, sources = resolved.variant(name)
    weights = {"beta": variant.loss.beta} | variant.loss.weights.model_dump()
    for term in ("beta", "perceptual", "adversarial"):
        schedule = getattr(variant.loss.schedules, term)
        if schedule.unit == "fraction" and schedule.length > 1:
            length, fix = f"{schedule.length:g}", "correct it, or set unit: epochs beside it"
            unit = sources[f"loss.schedules.{term}.unit"]
            most_of_it = f"at most 1, the whole training ({unit}: fraction)"
            yield UserError(sources[f"loss.schedules.{term}.length"], most_of_it, length, fix)
        most = most_epoch_steps(resolved.experiment.data, variant)
        counted = most if schedule.unit == "steps" else None
        epochs, updates = variant.train.epochs or MOST_EPOCHS, variant.train.updates
        if counted is not None and updates is not None:
            # Rounded up to whole epochs, of which the longest is one pass over all images more.
            counted, epochs = 1, updates + updates // MOST_EPOCHS + counted
        expected = late_start(schedule, weights[term], epochs, counted)
        if expected is not None:
            zero = "loss.beta" if term == "beta" else f"loss.weights.{term}"
            found = f"{schedule.start:g} ({schedule.unit})"
            budget = "epochs" if variant.train.updates is None else "updates"
            fix = f"start earlier, raise {sources[f'train.{budget}']}, or set {zero}: 0"
            where = sources[f"loss.schedules.{term}.start"]
            yield UserError(where, f"{expected}, in variant '{name}'", found, fix)


def most_epoch_steps(data: DataConfig, variant: VariantConfig) -> int | None:
    """The most updates an epoch can have; None where the number of images is unknown.

    Every image that the catalogue or `data.subset` counts is taken for a training image.
    """
    images = data.subset if isinstance(data.subset, int) else entry(data.name).images
    return None if images is None else images // variant.train.batch_size


def patches(resolved: Resolved, name: str) -> Errors:
    """The discriminator halves images, and at least one patch must be left."""
    variant, sources = resolved.variant(name)
    size, adversarial = resolved.experiment.data.image_size, variant.loss.adversarial
    least = adversarial.smallest_side
    if variant.loss.weights.adversarial > 0 and size < least:
        expected = f"at most {size.bit_length() + 1} entries for images of {size} pixels"
        found = f"{len(adversarial.widths)}, which need {least} pixels"
        fix = "give it fewer entries, or raise data.image_size"
        yield UserError(sources["loss.adversarial.widths"], expected, found, fix)


def shares(resolved: Resolved, name: str) -> Errors:
    """A share of the loss needs a sum of positive terms; a likelihood may be negative."""
    variant, sources = resolved.variant(name)
    loss, key = variant.loss, sources["loss.kl_share"]
    if loss.kl_share > 0 and loss.beta == 0:
        expected = f"{sources['loss.beta']} above 0, the most that the controller may use"
        yield UserError(key, expected, "0")
    elif loss.kl_share > 0 and loss.weights.gaussian > 0:
        reason = "its likelihood may be negative, and has a share in no sum"
        expected = f"0 where weights.gaussian is above 0: {reason}"
        found = f"{loss.kl_share:g} with {sources['loss.weights.gaussian']}"
        fix = "set one of the two to 0; the Gaussian term needs no controller"
        yield UserError(key, expected, found, fix)


def selection(resolved: Resolved, name: str) -> Errors:
    """The validation loss decides nothing where training minimises something else."""
    variant, sources = resolved.variant(name)
    remedies: dict[str, str] = {}
    if variant.train.best_by == "loss":
        by_images = "or choose by what is seen: train.best_by: fid"
        remedies = {"early_stop_patience": f"0, {by_images}", "keep": f"last, {by_images}"}
    if variant.loss.weights.adversarial > 0:
        reason = "the validation loss leaves the adversarial term out, and favours the time before"
        key = "loss.weights.adversarial"
    elif variant.loss.kl_share > 0:
        reason = "validation is at loss.beta, the most that the controller may use"
        key = "loss.kl_share"
        remedies["scheduler"] = "cosine, which follows the updates"
    else:
        return
    expected = f"no decision by the validation loss under {sources[key]}: {reason}"
    for setting, remedy in remedies.items():
        value = getattr(variant.train, setting)
        if value not in (0, "last", "none", "cosine", "step"):
            fix = f"set variants.{name}.train.{setting}: {remedy}"
            yield UserError(sources[f"train.{setting}"], expected, str(value), fix)


def parts(resolved: Resolved, name: str) -> Errors:
    """Processes, and the parts of an accumulated batch, take equal shares of it."""
    variant, sources = resolved.variant(name)
    train = variant.train
    factors = " * ".join(
        f"{sources[f'train.{key}']} {getattr(train, key)}"
        for key in ("accumulate", "devices", "nodes")
        if getattr(train, key) > 1
    )
    batch_size = sources["train.batch_size"]
    error = indivisible(train.batch_size, train.accumulate, train.processes, batch_size, factors)
    if error is not None:
        yield error
    elif train.batch_size // train.accumulate < variant.model.least:
        expected = f"at most {train.batch_size // 2}: batch norm needs two images at a time"
        fix = "lower it" if variant.model.own else "lower it, or set model.norm: group"
        yield UserError(sources["train.accumulate"], expected, str(train.accumulate), fix)


VARIANT_RULES = (
    own_network, image_size, dropout, enough_samples, loss_networks, schedules, patches, shares,
    selection, parts,
)  # fmt: skip
