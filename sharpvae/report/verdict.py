"""What the scores say, in one sentence, and what stands against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sharpvae.report.metrics import BY_KEY
from sharpvae.report.scores import Comparison, distance, separate
from sharpvae.report.tables import decimals, fixed, join, percent

Change = Literal["better", "worse", "same"]
Outcome = Literal["improved", "mixed", "not improved", "unclear", "collapsed", "alone"]


@dataclass(frozen=True)
class Verdict:
    """The outcome of the comparison.

    Attributes:
        sentence: which variant, over which baseline, and how FID and sharpness changed.
        notes: what a careful reader should know before repeating the sentence.
    """

    outcome: Outcome
    sentence: str
    notes: list[str]


def verdict(comparison: Comparison) -> Verdict:
    """Compare the best of the other variants with the first.

    The best is the one with the lowest mean FID among those that have not collapsed.
    """
    baseline = comparison.baseline
    others = comparison.variants[1:]
    if not others:
        return _alone(comparison)
    healthy = [name for name in others if not comparison.collapsed(name)]
    best = min(healthy or others, key=lambda name: comparison.estimate(name, "fid").mean)
    notes = [_collapse_note(comparison, name) for name in comparison.variants if name != best]
    notes += [_choice_note(others, best), _seeds_note(comparison)]
    if not healthy:
        outcome, sentence = _collapsed(comparison, baseline, best)
    elif comparison.collapsed(baseline):
        outcome, sentence = _over_collapsed(comparison, baseline, best)
    else:
        outcome, sentence = _compared(comparison, baseline, best)
    return Verdict(outcome, sentence, [note for note in notes if note])


def change(comparison: Comparison, key: str, baseline: str, other: str) -> Change:
    """Whether `other`'s mean is nearer the goal than `baseline`'s, at the precision shown."""
    goal = BY_KEY[key].goal
    before, after = (comparison.estimate(name, key).mean for name in (baseline, other))
    if before == after or fixed(before, _places(comparison, key)) == fixed(
        after, _places(comparison, key)
    ):
        return "same"
    return "better" if distance(after, goal) < distance(before, goal) else "worse"


def _compared(comparison: Comparison, baseline: str, best: str) -> tuple[Outcome, str]:
    changes = [change(comparison, key, baseline, best) for key in ("fid", "sharpness")]
    fid = _fid_moves(comparison, baseline, best)
    sharpness = _sharpness_moves(comparison, baseline, best)
    certainty = _certainty(comparison, baseline, best)
    if "better" not in changes:
        return "not improved", (
            f"{best} does not beat {baseline}: {fid}, and {sharpness}{certainty}."
        )
    if "worse" in changes:
        return "mixed", (
            f"{best} is a mixed result against {baseline}: {fid}, but {sharpness}{certainty}."
        )
    if len(comparison.seeds) > 1 and not _separated(comparison, baseline, best):
        return "unclear", (
            f"{best} scores better than {baseline} on average, but this may be chance: "
            f"{fid}, and {sharpness}{certainty}."
        )
    # one seed supports no more than a report of what was seen
    verb = "beats" if len(comparison.seeds) > 1 else "scores better than"
    return "improved", f"{best} {verb} {baseline}: {fid}, and {sharpness}{certainty}."


def _alone(comparison: Comparison) -> Verdict:
    name = comparison.baseline
    fid, sharpness = _value(comparison, name, "fid"), _value(comparison, name, "sharpness")
    notes = [_seeds_note(comparison)]
    if comparison.collapsed(name):
        return Verdict(
            "collapsed",
            f"{name} has collapsed: {_collapse(comparison, name)}, so its sharpness of {sharpness} "
            f"means nothing; its FID is {fid}.",
            [note for note in notes if note],
        )
    sentence = (
        f"{name} is the only variant: its FID is {fid} and its samples are {sharpness} times as "
        "sharp as real images (goal 1), with no baseline to compare with."
    )
    return Verdict("alone", sentence, [note for note in notes if note])


def _collapsed(comparison: Comparison, baseline: str, best: str) -> tuple[Outcome, str]:
    fids = [_value(comparison, name, "fid") for name in (best, baseline)]
    return "collapsed", (
        f"{best} has collapsed, so it shows nothing against {baseline}: "
        f"{_collapse(comparison, best)}, its sharpness of {_value(comparison, best, 'sharpness')} "
        f"means nothing, and its FID is {fids[0]} against {fids[1]}."
    )


def _over_collapsed(comparison: Comparison, baseline: str, best: str) -> tuple[Outcome, str]:
    better = change(comparison, "fid", baseline, best) == "better"
    clear = _separated(comparison, baseline, best, keys=("fid",))
    outcome: Outcome = "not improved"
    if better:
        outcome = "improved" if clear or len(comparison.seeds) == 1 else "unclear"
    verb = "beats" if better else "does not even beat"
    return outcome, (
        f"{best} {verb} {baseline}, which has collapsed: "
        f"{_fid_moves(comparison, baseline, best)}, and {best}'s samples are "
        f"{_value(comparison, best, 'sharpness')} times as sharp as real images (goal 1)"
        f"{_certainty(comparison, baseline, best, keys=('fid',))}."
    )


def _certainty(
    comparison: Comparison, baseline: str, best: str, keys: Sequence[str] = ("fid", "sharpness")
) -> str:
    """The end of the sentence: how far the seeds support what it says of `keys`."""
    count = len(comparison.seeds)
    if count == 1:
        return "\N{NO-BREAK SPACE}\N{EM DASH} from one seed: an observation, not yet a finding"
    names = {"fid": "FID", "sharpness": "sharpness"}
    clear = [names[key] for key in keys if _separated(comparison, baseline, best, keys=(key,))]
    over = f"95\N{NO-BREAK SPACE}% intervals over {count} seeds"
    if len(clear) == len(keys):
        return f"; the {over} do not overlap"
    if not clear:
        return f"; the {over} overlap"
    other = "sharpness" if clear == ["FID"] else "FID"
    return f"; the {over} separate for {clear[0]} but overlap for {other}"


def _separated(
    comparison: Comparison, baseline: str, best: str, keys: Sequence[str] = ("fid", "sharpness")
) -> bool:
    """Whether the intervals separate, in either direction, for at least one of `keys`."""
    for key in keys:
        goal = BY_KEY[key].goal
        one, two = comparison.estimate(best, key), comparison.estimate(baseline, key)
        if separate(one, two, goal) or separate(two, one, goal):
            return True
    return False


def _fid_moves(comparison: Comparison, baseline: str, best: str) -> str:
    before, after = (comparison.estimate(name, "fid").mean for name in (baseline, best))
    values = [_value(comparison, name, "fid") for name in (baseline, best)]
    if values[0] == values[1]:
        return f"FID stays at {values[0]}"
    verb = "falls" if after < before else "rises"
    share = f" ({percent(after / before - 1)})" if before > 0 else ""
    return f"FID {verb} from {values[0]} to {values[1]}{share}"


def _sharpness_moves(comparison: Comparison, baseline: str, best: str) -> str:
    before, after = (comparison.estimate(name, "sharpness").mean for name in (baseline, best))
    values = [_value(comparison, name, "sharpness") for name in (baseline, best)]
    if values[0] == values[1]:
        return f"sharpness stays at {values[0]} of the real images' (goal 1)"
    verb = "falls" if after < before else "rises"
    nearer = change(comparison, "sharpness", baseline, best) == "better"
    goal = "goal 1" if nearer else "further from the goal of 1"
    return f"sharpness {verb} from {values[0]} to {values[1]} of the real images' ({goal})"


def _collapse(comparison: Comparison, name: str) -> str:
    """How far it has collapsed, as a clause."""
    seeds = comparison.collapsed(name)
    units = comparison.estimate(name, "active_units").values
    most = max(units[comparison.seeds.index(seed)] for seed in seeds)
    total = comparison.latent_dims[name]
    if most == 0:
        amount = f"none of its {total} latent dimensions is active"
    else:
        bound = "at most " if len(seeds) > 1 else "only "
        amount = f"{bound}{fixed(most, decimals([most]))} of its {total} latent dimensions active"
    if len(comparison.seeds) == 1:
        return amount
    if len(seeds) == len(comparison.seeds):
        return f"{amount} in any of {len(seeds)} seeds"
    return f"{amount} in {'seed' if len(seeds) == 1 else 'seeds'} {join(map(str, seeds))}"


def _collapse_note(comparison: Comparison, name: str) -> str:
    if not comparison.collapsed(name):
        return ""
    return (
        f"{name} has collapsed: {_collapse(comparison, name)}. Its decoder ignores the latent "
        "code, so its sharpness, however near 1, says nothing."
    )


def _choice_note(others: Sequence[str], best: str) -> str:
    if len(others) < 2:
        return ""
    return (
        f"{best} was picked from {len(others)} variants for its low FID on these same test images, "
        "so its scores flatter it a little; a fresh seed would tell."
    )


def _seeds_note(comparison: Comparison) -> str:
    if len(comparison.seeds) == 1:
        return (
            "One seed cannot tell a better method from a luckier start. For intervals, set "
            "seeds: [0, 1, 2] in params.yaml."
        )
    return ""


def _places(comparison: Comparison, key: str) -> int:
    return decimals(comparison.estimate(name, key).mean for name in comparison.variants)


def _value(comparison: Comparison, name: str, key: str) -> str:
    return fixed(comparison.estimate(name, key).mean, _places(comparison, key))
