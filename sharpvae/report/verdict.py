"""What the scores say, in one sentence, and what stands against it."""

from __future__ import annotations

from typing import Literal, NamedTuple

from sharpvae.report.comparison import Comparison
from sharpvae.report.numerals import fixed, join, short
from sharpvae.report.statistics import Effect, verdict_of

Outcome = Literal["better", "mixed", "worse", "not shown", "collapsed", "alone"]
KEYS = ("blur_px", "fid")  # what the sentence is about
NEARLY = 0.75  # reconstructions that keep this share of the samples' blur: it is the decoder's
SHARP = 0.1  # px; less blur cannot be seen
_ENDLESS = 1000.0  # a ratio of FIDs from which the end of an interval says nothing
_LEADS: dict[Outcome, str] = {
    "better": "{best} is better than {baseline}",
    "mixed": "{best} is a mixed result against {baseline}",
    "worse": "{best} is worse than {baseline}",
    "not shown": "{best} and {baseline}: no difference shown",
}


class Verdict(NamedTuple):
    """The outcome of the comparison."""

    outcome: Outcome
    sentence: str
    steps: list[str]  # what each variant brought over the one before; none of a single step
    notes: list[str]  # what limits the sentence


def verdict(comparison: Comparison) -> Verdict:
    """Compare the best of the other variants with the first.

    The best is the one with the lowest mean FID of the validation split among those that have not
    collapsed.
    """
    baseline, *others = comparison.variants
    notes = [*_seeds_note(comparison), *_elsewhere_note(comparison)]
    if not others:
        return Verdict(*_alone(comparison, baseline), [], notes)
    healthy = [name for name in others if not comparison.collapsed(name)]
    best = min(healthy or others, key=comparison.validation_fid)
    fallen = [name for name in comparison.variants if comparison.collapsed(name)]
    told = () if healthy else (best,)  # in the sentence itself
    notes = [collapse(comparison, name) for name in fallen if name not in told] + notes
    if not healthy:
        sentence = f"{collapse(comparison, best)} So it shows nothing against {baseline}."
        return Verdict("collapsed", sentence, steps(comparison), notes)
    return Verdict(*_compared(comparison, baseline, best), steps(comparison), notes)


def steps(comparison: Comparison) -> list[str]:
    """What each variant brought over the one before it, a sentence each, where there are two.

    See `Comparison.steps`.
    """
    pairs = comparison.steps
    return [_step(comparison, before, name) for name, before in pairs] if len(pairs) > 1 else []


def _step(comparison: Comparison, before: str, name: str) -> str:
    parts = []
    if (effect := comparison.step(name, before, "fid")) is not None:
        unseeded = {name, before} <= set(comparison.elsewhere)
        parts.append(f"{verdict_of(effect, 'lower')}, {ratio_text(effect, unseeded)}")
    for key, label, unit in (("blur_px", "blur", " px"), ("coverage", "coverage", "")):
        old, new = (comparison.mean(variant, key) for variant in (before, name))
        if old is not None and new is not None:
            parts.append(f"{label} {fixed(old, 2)} to {fixed(new, 2)}{unit}")
    return f"From {before} to {name}: {'; '.join(parts) or 'no score that both have'}."


def _compared(comparison: Comparison, baseline: str, best: str) -> tuple[Outcome, str]:
    outcome = _outcome(comparison, best)
    lead = _LEADS[outcome].format(best=best, baseline=baseline)
    parts = [f"{blurriness(comparison, baseline)}, {_blur(comparison, best, short_form=True)}"]
    effect = comparison.effects.get((best, "fid"))
    if effect is not None:
        unseeded = {best, baseline} <= set(comparison.elsewhere)
        parts[0] += f" ({ratio_text(effect, unseeded)})"
    if found := cause(comparison, best):
        parts.append(found)
    return outcome, f"{lead}: {'; '.join(parts)}."


def _outcome(comparison: Comparison, best: str) -> Outcome:
    """What `KEYS` show. A blur that speaks against the distances settles nothing.

    Fog without contrast has a sharp grain, whose blur is little; the distances
    see that it is fog, though few judges may not show by how much.
    """
    shown = {comparison.change(best, key) for key in KEYS} - {"no difference shown"}
    fid = comparison.effects.get((best, "fid"))
    if shown and fid is not None and fid.estimate != 1:
        shown.add("better" if fid.estimate < 1 else "worse")
    if shown == {"better"}:
        return "better"
    if shown == {"worse"}:
        return "worse"
    return "mixed" if shown else "not shown"


def _alone(comparison: Comparison, name: str) -> tuple[Outcome, str]:
    if comparison.collapsed(name):
        return "collapsed", collapse(comparison, name)
    parts = [blurriness(comparison, name)]
    if found := cause(comparison, name):
        parts.append(found)
    told = "; ".join(parts)
    return "alone", f"{told[0].upper()}{told[1:]}. There is no baseline to compare with."


def blurriness(comparison: Comparison, name: str) -> str:
    """ "samples of original are as blurry as real images blurred by 1.00 px" """
    return f"samples of {name} {_blur(comparison, name)}"


def _blur(comparison: Comparison, name: str, short_form: bool = False) -> str:
    blur = comparison.mean(name, "blur_px")
    who = f"{name} " if short_form else ""
    verb = "" if short_form else "are "
    if blur is None:
        return f"{who}{'has' if short_form else 'have'} no blur that could be measured"
    if blur < SHARP:
        return f"{who}{verb}as sharp as real images"
    if short_form:
        return f"{who}{fixed(blur, 2)} px"
    return f"are as blurry as real images blurred by {fixed(blur, 2)} px"


def cause(comparison: Comparison, name: str) -> str:
    """Whether decoder or prior blurs the samples, as a clause; "" where that is not known."""
    blur = comparison.mean(name, "blur_px")
    bottom = comparison.mean(name, "blur_px_reconstruction")
    if blur is None or bottom is None or blur < SHARP:
        return ""
    if bottom >= NEARLY * blur:
        return "the decoder, not the prior, blurs them"
    return f"the prior adds to the blur of reconstructions, {fixed(bottom, 2)} px"


def ratio_text(effect: Effect, given: bool = False) -> str:
    """ "ratio of FIDs 0.33, 95 % interval 0.2 to 0.5, one seed: over judges and images"

    Of images that were `given`, nobody knows the seeds.
    """
    text = f"ratio of FIDs {short(effect.estimate)}"
    seeds = "one seed: " if effect.seeds == 1 else f"{effect.seeds} seeds: "
    seeds = "" if given else seeds
    if not effect.sources:
        return f"{text}, {seeds}no interval known"
    low, high = effect.adjusted_low, effect.adjusted_high
    assert low is not None
    assert high is not None
    # Holm may ask for a level that the draws do not reach, and two judges tell next to nothing
    ends = f"{short(low)} to {short(high)}" if high < _ENDLESS else "without end"
    return f"{text}, 95\N{NO-BREAK SPACE}% interval {ends}, {seeds}over {join(effect.sources)}"


def collapse(comparison: Comparison, name: str) -> str:
    """Which seeds have collapsed and why, as a sentence."""
    seeds = comparison.collapsed(name)
    runs = zip(comparison.seeds, comparison.runs[name], strict=True)
    why = next(run.collapse for seed, run in runs if seed == seeds[0])
    where = ""
    if len(comparison.seeds) > 1:
        where = f" in {'seed' if len(seeds) == 1 else 'seeds'} {join(map(str, seeds))}"
    return (
        f"{name} has collapsed{where}: {why.removeprefix('collapsed: ')}. Its decoder ignores the "
        "code, so its sharpness, however near 1, says nothing."
    )


def _elsewhere_note(comparison: Comparison) -> list[str]:
    """What intervals do not cover where images that were made elsewhere stand beside others."""
    names = comparison.elsewhere
    if not names or comparison.given:
        return []
    return [
        f"The samples of {join(names)} were made elsewhere, and are the same for every seed: no "
        "interval says what another training of their model would draw."
    ]


def _seeds_note(comparison: Comparison) -> list[str]:
    note = (
        "One seed cannot tell a better method from a luckier start: the intervals are over judges "
        "and images alone. For intervals over seeds, set seeds: [0, 1, 2] in params.yaml."
    )
    if comparison.given:
        note = (
            "Intervals are over judges and images: they say nothing of what another training of "
            "the same models would draw."
        )
    return [note] if len(comparison.seeds) == 1 else []
