"""Claims of the literature as files, and the verdicts that measurements give them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, ValidationError

from sharpvae.config.experiment import SHARED_SECTIONS
from sharpvae.config.messages import describe_in
from sharpvae.config.names import CLAIMS, NAME, SINGLE, is_name, read_params
from sharpvae.config.resolve import resolve
from sharpvae.config.rules import check
from sharpvae.core.config import Section, is_given
from sharpvae.core.errors import UserError, UserErrors, nearest
from sharpvae.perception.pretrained import PRETRAINED
from sharpvae.proof.readings import SECONDS
from sharpvae.report.scores import BY_KEY
from sharpvae.report.statistics import FID_FLOOR, Kind, Reading, contrast, interval

FEWEST_SEEDS = 3  # of which a verdict can be given
Outcome = Literal["confirmed", "refuted", "undecided"]
_FORM = re.compile(
    r"(?P<one>[\w-]+)\.(?P<score>\w+)"
    r"(?:\s+(?P<sign>[/-])\s+(?P<other>[\w-]+)\.(?P<second>\w+))?"
    r"\s+(?P<side>[<>])\s+(?P<bound>-?\d+(?:\.\d+)?(?:e-?\d+)?)"
)


class Expectation(NamedTuple):
    """One comparison of `expect`: a score, a ratio or a difference of two, and a bound."""

    text: str
    arms: tuple[str, ...]  # one or two
    scores: tuple[str, ...]  # likewise
    kind: Kind
    below: bool
    bound: float


class Claim(Section):
    """claims/<name>.yaml"""

    document: str
    claim: str
    arms: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]
    params: dict[str, Any]  # dotted key of params.yaml -> value, for all arms
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    expect: Annotated[list[str], Field(min_length=1)]
    needs: list[str]  # pretrained weights
    note: str

    @property
    def expectations(self) -> list[Expectation]:
        """`expect`, which `load_claim` has read."""
        return [_expectation(text, self, "") for text in self.expect]


def load_claim(path: Path) -> Claim:
    """Read one file of claims/.

    Raises:
        UserError: it is missing, is not YAML, or is not what a claim is made of; an expression
            names an arm or a score that there is none of.
    """
    try:
        claim = Claim.model_validate(read_params(path))
    except ValidationError as error:
        found = [describe_in(path, item, Claim.model_fields) for item in error.errors()]
        raise UserErrors(found) from None
    for text in claim.expect:
        _expectation(text, claim, f"{path}: expect")
    for name, sections in claim.arms.items():
        if not is_name(name):
            raise UserError(f"{path}: arms.{name}", NAME, repr(name), "rename the arm")
        if is_given(sections):
            where, expected = f"{path}: arms.{name}.samples", "the settings of a training"
            raise UserError(where, expected, "images made elsewhere", "remove the arm")
    for name in claim.needs:
        if name not in PRETRAINED:
            expected, fix = "names of `sharpvae weights`", nearest(name, PRETRAINED)
            raise UserError(f"{path}: needs", expected, repr(name), fix)
    for key in claim.params:
        if key.partition(".")[0] not in (*SHARED_SECTIONS, *SINGLE):
            expected = f"a key of {', '.join(SHARED_SECTIONS)}, or preset"
            raise UserError(f"{path}: params.{key}", expected, repr(key), "set it in the arms")
    return claim


def _expectation(text: str, claim: Claim, where: str) -> Expectation:
    found = _FORM.fullmatch(text.strip())
    if found is None:
        expected = "<arm>.<score> [/ or - <arm>.<score>] < or > <number>"
        raise UserError(where, expected, repr(text), "spaces around /, -, < and >")
    arms = tuple(name for name in (found["one"], found["other"]) if name is not None)
    scores = tuple(name for name in (found["score"], found["second"]) if name is not None)
    for name in arms:
        if name not in claim.arms:
            raise UserError(where, "one of the arms", repr(name), nearest(name, claim.arms))
    for name in scores:
        if name not in (*BY_KEY, SECONDS):
            fix = nearest(name, [*BY_KEY, SECONDS])
            raise UserError(where, "a score", repr(name), fix)
    ratio = found["sign"] == "/" or (len(arms) == 1 and is_distance(scores[0]))
    return Expectation(
        text, arms, scores, "ratio" if ratio else "difference", found["side"] == "<",
        float(found["bound"]),
    )  # fmt: skip


def is_distance(score: str) -> bool:
    """Whether a score has a value for each judge."""
    return score in BY_KEY and BY_KEY[score].base == "fid"


def shared_params(claim: Claim, params: Mapping[str, Any]) -> dict[str, Any]:
    """The sections of params.yaml that a claim changes, with its `params`."""
    changed: dict[str, Any] = {}
    for key, value in claim.params.items():
        section, _, rest = key.partition(".")
        before = changed.get(section, params.get(section) or {})
        if rest and not isinstance(before, Mapping):
            fix = f"a claim sets {key} in it"
            raise UserError(section, "a section of keys", repr(before), fix)
        changed[section] = {**before, rest: value} if rest else value
    return changed


def require_arms(
    name: str, claim: Claim, params: Mapping[str, Any], studies: Mapping[str, dict[str, Any]]
) -> None:
    """Check the arms of a claim as variants of params.yaml are.

    Raises:
        UserError: an arm is no variant, or cannot be trained.
    """
    shared = shared_params(claim, params)
    trial = {**params, **shared, "seeds": claim.seeds, "variants": claim.arms}
    try:
        check(resolve(trial, studies))
    except UserError as error:
        where = f"{CLAIMS}/{name}.yaml: {error.where}"
        raise UserError(where, error.expected, error.found, error.fix) from None


def require_one_meaning(claims: Mapping[str, Claim]) -> None:
    """UserError where an arm of one name is two things in two claims: it is trained once."""
    seen: dict[str, tuple[str, Any]] = {}
    for name, claim in claims.items():
        for arm, sections in claim.arms.items():
            own = sections, claim.params
            other, meaning = seen.setdefault(arm, (name, own))
            if meaning != own:
                raise UserError(
                    f"{CLAIMS}/{name}.yaml: arms.{arm}", f"what it is in {CLAIMS}/{other}.yaml",
                    "other settings or params", "give one of the two another name",
                )  # fmt: skip


class Finding(NamedTuple):
    """What came of one expectation."""

    text: str
    value: float | None
    low: float | None
    high: float | None
    outcome: Outcome
    why: str  # it is undecided; "" otherwise


Readings = Mapping[str, Mapping[str, list[Reading]]]  # arm -> score -> one a seed


def judge(
    expectation: Expectation, readings: Readings, weights: Mapping[str, float], seeds: int
) -> Finding:
    """Whether a measurement bears an expectation out, refutes it, or does not tell.

    By the 95 % interval over seeds, judges and images: it has to lie on one side of the bound.
    """
    text = expectation.text
    found = []
    for arm, score in zip(expectation.arms, expectation.scores, strict=True):
        if score not in readings[arm]:
            return Finding(text, None, None, None, "undecided", f"{arm} has no {score}")
        found.append(readings[arm][score])
    panel = weights if is_distance(expectation.scores[0]) else None
    try:
        if len(found) == 1:
            value, low, high, _ = interval(
                found[0], expectation.kind, weights=panel, floor=FID_FLOOR
            )  # fmt: skip
        else:
            terms = [(1.0, found[0]), (-1.0, found[1])]
            effect = contrast(terms, expectation.kind, weights=panel, floor=FID_FLOOR)
            value, low, high = effect.estimate, effect.low, effect.high
    except ValueError as error:
        return Finding(text, None, None, None, "undecided", str(error))
    if seeds < FEWEST_SEEDS:
        why = f"{seeds} {'seeds are' if seeds > 1 else 'seed is'} too few for a verdict"
        return Finding(text, value, low, high, "undecided", why)
    if low is None or high is None:
        return Finding(text, value, low, high, "undecided", "no interval is known")
    holds, fails = high < expectation.bound, low > expectation.bound
    if not expectation.below:
        holds, fails = fails, holds
    if holds or fails:
        return Finding(text, value, low, high, "confirmed" if holds else "refuted", "")
    return Finding(text, value, low, high, "undecided", "the interval holds the bound")


def outcome(findings: Sequence[Finding]) -> Outcome:
    """Of a claim: confirmed if all are, refuted if one is."""
    outcomes = {finding.outcome for finding in findings}
    if "refuted" in outcomes:
        return "refuted"
    return "confirmed" if outcomes == {"confirmed"} else "undecided"
