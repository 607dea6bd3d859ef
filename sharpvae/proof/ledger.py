"""docs/claims.md: every claim with its verdict, from what was measured, and nothing by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from sharpvae.config.names import CLAIMS
from sharpvae.core.errors import UserError
from sharpvae.proof.claims import Claim, Finding
from sharpvae.report.numerals import fixed, short
from sharpvae.report.page import escape, markdown_table

LEDGER = "docs/claims.json"  # what was measured, which the page is made from
PAGE = "docs/claims.md"
DOCUMENTS = {
    "000": "Document 000: a blurry VAE and how to mend it",
    "001": "Document 001: a collapsed posterior and how to mend it",
    "002": "Document 002: a conditional VAE with a cyclic beta",
    "003": "Document 003: a simple and a composite loss",
    "004": "Document 004: loss presets and modes",
}


class Entry(NamedTuple):
    """What came of one claim."""

    digest: str  # of the claim, to tell an entry of what it was before
    outcome: str
    findings: list[Finding]
    seeds: list[int]
    date: str  # of the measurement, ISO 8601


def digest(claim: Claim) -> str:
    """Of all that bears on its verdict."""
    told = claim.model_dump(exclude={"claim", "note", "document"})
    return sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def load_ledger(path: Path) -> dict[str, Entry]:
    """Claim -> entry; nothing where no claim was ever judged.

    Raises:
        UserError: the file is not what `save` writes.
    """
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {name: _entry(own) for name, own in content.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        fix = f"git checkout {path}, or remove it and judge the claims again"
        raise UserError(str(path), "the verdicts of claims", str(error), fix) from None


def _entry(own: Mapping[str, Any]) -> Entry:
    return Entry(**{**own, "findings": [Finding(**finding) for finding in own["findings"]]})


def as_json(ledger: Mapping[str, Entry]) -> str:
    """The text of the file, claims in the order of their names."""
    content = {
        name: entry._asdict() | {"findings": [finding._asdict() for finding in entry.findings]}
        for name, entry in sorted(ledger.items())
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def render(
    claims: Mapping[str, Claim], ledger: Mapping[str, Entry], missing: Mapping[str, str]
) -> str:
    """The page.

    Args:
        missing: claim -> why it could not be run on this machine.
    """
    counts = dict.fromkeys(("confirmed", "refuted", "undecided"), 0)
    blocks: list[str] = []
    by_document: dict[str, list[str]] = {}
    for name in sorted(claims):
        by_document.setdefault(claims[name].document, []).append(name)
    for document, names in sorted(by_document.items()):
        rows = [["claim", "expected: measured (95 % interval)", "verdict", "date", "file"]]
        for name in names:
            row, verdict = _row(name, claims[name], ledger.get(name), missing.get(name, ""))
            rows.append(row)
            counts[verdict] = counts.get(verdict, 0) + 1
        title = DOCUMENTS.get(document, f"Document {document}")
        blocks += [f"## {title}", markdown_table(rows, ())]
    told = "So far: " + ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    notes = [
        f"- {name}: {escape(claims[name].note)}" for name in sorted(claims) if claims[name].note
    ]
    head = [
        "# What five projects claimed, and what came out here",
        "Written by `sharpvae study claims` from `docs/claims.json`; do not edit. Each claim is a "
        f"file in [{CLAIMS}/](../{CLAIMS}): its arms, data, seeds, and the outcome expected, as "
        "comparisons of scores on the test split. A claim is **confirmed** where the 95 % interval "
        "over seeds, judges and images of every comparison lies on the side that was expected, "
        "**refuted** where that of one lies on the other side, and **undecided** otherwise: one "
        f"seed decides nothing. {told}.",
        "    sharpvae study claims            # all; what was trained is not trained again\n"
        "    sharpvae study claims <name>     # one",
    ]
    return "\n\n".join([*head, *blocks, *(["## Notes", "\n".join(notes)] if notes else [])]) + "\n"


def _row(name: str, claim: Claim, entry: Entry | None, missing: str) -> tuple[list[str], str]:
    """Its cells, and the word it counts under."""
    file = f"[{name}](../{CLAIMS}/{name}.yaml)"
    expected = "<br>".join(f"`{text}`" for text in claim.expect)
    if entry is None or entry.digest != digest(claim):
        why = missing or ("not run yet" if entry is None else "not run since it was changed")
        return [escape(claim.claim), expected, escape(why), "", file], "not run"
    measured = "<br>".join(map(_measured, entry.findings))
    reasons = sorted({finding.why for finding in entry.findings if finding.why})
    verdict = f"**{entry.outcome}**" + (f": {escape('; '.join(reasons))}" if reasons else "")
    return [escape(claim.claim), measured, verdict, entry.date, file], entry.outcome


def _measured(finding: Finding) -> str:
    text = f"`{finding.text}`"
    if finding.value is None:
        return text
    value = _number(finding.value)
    if finding.low is None or finding.high is None:
        return f"{text}: {value}"
    return f"{text}: {value} ({_number(finding.low)} to {_number(finding.high)})"


def _number(value: float) -> str:
    return short(value) if abs(value) >= 0.001 or value == 0 else fixed(value, 5)
