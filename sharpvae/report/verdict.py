"""What the scores say, in one sentence, and what stands against it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from sharpvae.report.scores import BY_KEY, Comparison, distance, separate
from sharpvae.report.tables import decimals, fixed, join, percent

Change = Literal["better", "worse", "same"]
Outcome = Literal["improved", "mixed", "not improved", "unclear", "collapsed", "alone"]
KEYS = ("fid", "sharpness")  # what the sentence is about


class Verdict(NamedTuple):
    """The outcome of the comparison."""

    outcome: Outcome
    sentence: str  # which variant, over which baseline, and how FID and sharpness changed
    notes: list[str]  # what limits the sentence


def verdict(comparison: Comparison) -> Verdict:
    """Compare the best of the other variants with the first.

    The best is the one with the lowest mean FID among those that have not collapsed.
    """
    baseline, *others = comparison.variants
    if not others:
        outcome, sentence = _alone(comparison, baseline)
        return Verdict(outcome, sentence, _seeds_note(comparison))
    healthy = [name for name in others if not comparison.collapsed(name)]
    best = min(healthy or others, key=lambda name: comparison.estimate(name, "fid").mean)
    notes = [
        f"{name} has collapsed: {_collapse(comparison, name)}. Its decoder ignores the latent "
        "code, so its sharpness, however near 1, says nothing."
        for name in comparison.variants
        if name != best and comparison.collapsed(name)
    ]
    if len(others) > 1:
        notes.append(
            f"{best} was picked from {len(others)} variants for its low FID on these same test "
            "images, so its scores flatter it a little; a fresh seed would tell."
        )
    pair = _Pair(comparison, baseline, best)
    if not healthy:
        outcome, sentence = _collapsed(pair)
    elif comparison.collapsed(baseline):
        outcome, sentence = _over_collapsed(pair)
    else:
        outcome, sentence = _compared(pair)
    return Verdict(outcome, sentence, notes + _seeds_note(comparison))


class _Pair(NamedTuple):
    """The baseline and the variant that is compared with it."""

    comparison: Comparison
    baseline: str
    best: str

    def means(self, key: str) -> tuple[float, float]:
        """Of the baseline, and of the other."""
        estimate = self.comparison.estimate
        return estimate(self.baseline, key).mean, estimate(self.best, key).mean

    def shown(self, key: str) -> tuple[str, str]:
        return _value(self.comparison, self.baseline, key), _value(self.comparison, self.best, key)

    def change(self, key: str) -> Change:
        """Whether the other's mean is nearer the goal, at the precision shown."""
        (before, after), shown = self.means(key), self.shown(key)
        if before == after or shown[0] == shown[1]:
            return "same"
        goal = BY_KEY[key].goal
        return "better" if distance(after, goal) < distance(before, goal) else "worse"

    def separated(self, key: str) -> bool:
        """Whether the intervals separate, in either direction."""
        goal = BY_KEY[key].goal
        one, two = (self.comparison.estimate(name, key) for name in (self.best, self.baseline))
        return separate(one, two, goal) or separate(two, one, goal)


def _compared(pair: _Pair) -> tuple[Outcome, str]:
    baseline, best, several = pair.baseline, pair.best, len(pair.comparison.seeds) > 1
    changes = [pair.change(key) for key in KEYS]
    fid, sharpness = _fid_moves(pair), f"{_sharpness_moves(pair)}{_certainty(pair, KEYS)}."
    if "better" not in changes:
        return "not improved", f"{best} does not beat {baseline}: {fid}, and {sharpness}"
    if "worse" in changes:
        return "mixed", f"{best} is a mixed result against {baseline}: {fid}, but {sharpness}"
    if several and not any(map(pair.separated, KEYS)):
        return "unclear", (
            f"{best} scores better than {baseline} on average, but this may be chance: "
            f"{fid}, and {sharpness}"
        )
    verb = "beats" if several else "scores better than"  # one seed is an observation
    return "improved", f"{best} {verb} {baseline}: {fid}, and {sharpness}"


def _alone(comparison: Comparison, name: str) -> tuple[Outcome, str]:
    fid, sharpness = (_value(comparison, name, key) for key in KEYS)
    if comparison.collapsed(name):
        return "collapsed", (
            f"{name} has collapsed: {_collapse(comparison, name)}, so its sharpness of {sharpness} "
            f"means nothing; its FID is {fid}."
        )
    return "alone", (
        f"{name} is the only variant: its FID is {fid} and its samples are {sharpness} times as "
        "sharp as real images (goal 1), with no baseline to compare with."
    )


def _collapsed(pair: _Pair) -> tuple[Outcome, str]:
    before, after = pair.shown("fid")
    return "collapsed", (
        f"{pair.best} has collapsed, so it shows nothing against {pair.baseline}: "
        f"{_collapse(pair.comparison, pair.best)}, its sharpness of {pair.shown('sharpness')[1]} "
        f"means nothing, and its FID is {after} against {before}."
    )


def _over_collapsed(pair: _Pair) -> tuple[Outcome, str]:
    better = pair.change("fid") == "better"
    outcome: Outcome = "not improved"
    if better:
        clear = pair.separated("fid") or len(pair.comparison.seeds) == 1
        outcome = "improved" if clear else "unclear"
    verb = "beats" if better else "does not even beat"
    return outcome, (
        f"{pair.best} {verb} {pair.baseline}, which has collapsed: {_fid_moves(pair)}, and "
        f"{pair.best}'s samples are {pair.shown('sharpness')[1]} times as sharp as real images "
        f"(goal 1){_certainty(pair, ['fid'])}."
    )


def _certainty(pair: _Pair, keys: Sequence[str]) -> str:
    """The end of the sentence: how far the seeds support what it says of `keys`."""
    count = len(pair.comparison.seeds)
    if count == 1:
        return "\N{NO-BREAK SPACE}\N{EM DASH} from one seed: an observation, not yet a finding"
    clear = [key for key in keys if pair.separated(key)]
    over = f"95\N{NO-BREAK SPACE}% intervals over {count} seeds"
    if len(clear) == len(keys):
        return f"; the {over} do not overlap"
    if not clear:
        return f"; the {over} overlap"
    told = ("FID", "sharpness") if clear == ["fid"] else ("sharpness", "FID")
    return f"; the {over} separate for {told[0]} but overlap for {told[1]}"


def _fid_moves(pair: _Pair) -> str:
    (before, after), shown = pair.means("fid"), pair.shown("fid")
    if shown[0] == shown[1]:
        return f"FID stays at {shown[0]}"
    verb = "falls" if after < before else "rises"
    share = f" ({percent(after / before - 1)})" if before > 0 else ""
    return f"FID {verb} from {shown[0]} to {shown[1]}{share}"


def _sharpness_moves(pair: _Pair) -> str:
    (before, after), shown = pair.means("sharpness"), pair.shown("sharpness")
    if shown[0] == shown[1]:
        return f"sharpness stays at {shown[0]} of the real images' (goal 1)"
    verb = "falls" if after < before else "rises"
    goal = "goal 1" if pair.change("sharpness") == "better" else "further from the goal of 1"
    return f"sharpness {verb} from {shown[0]} to {shown[1]} of the real images' ({goal})"


def _collapse(comparison: Comparison, name: str) -> str:
    """How far it has collapsed, as a clause."""
    seeds = comparison.collapsed(name)
    units = comparison.estimate(name, "active_units").values
    most = max(units[comparison.seeds.index(seed)] for seed in seeds)
    total = comparison.latent_dims[name]
    bound = "at most " if len(seeds) > 1 else "only "
    amount = f"{bound}{fixed(most, decimals([most]))} of its {total} latent dimensions active"
    if most == 0:
        amount = f"none of its {total} latent dimensions is active"
    if len(comparison.seeds) == 1:
        return amount
    if len(seeds) == len(comparison.seeds):
        return f"{amount} in any of {len(seeds)} seeds"
    return f"{amount} in {'seed' if len(seeds) == 1 else 'seeds'} {join(map(str, seeds))}"


def _seeds_note(comparison: Comparison) -> list[str]:
    note = "One seed cannot tell a better method from a luckier start. For intervals, set "
    return [f"{note}seeds: [0, 1, 2] in params.yaml."] if len(comparison.seeds) == 1 else []


def _value(comparison: Comparison, name: str, key: str) -> str:
    """The mean, with as many digits as all variants need."""
    places = decimals(comparison.estimate(other, key).mean for other in comparison.variants)
    return fixed(comparison.estimate(name, key).mean, places)
