"""An ablation as a page, as Markdown, as a table of numbers and as pictures."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sharpvae.core.files import copy_file, write_text
from sharpvae.proof.effects import (
    KINDS,
    MEASURES,
    TIMES,
    Effects,
    Measure,
    Results,
    effects_on,
    size,
    told,
    verdict,
)
from sharpvae.proof.figures import interaction_panel, waterfall_panel
from sharpvae.report.canvas import Panel, render_sheet
from sharpvae.report.numerals import join, short
from sharpvae.report.page import chart, escape, markdown_table, template, typographic
from sharpvae.report.statistics import Effect
from sharpvae.report.tables import Table
from sharpvae.report.theme import LIGHT

SHOWN_INTERACTIONS = 3
NAMED = 3  # factors that the sentence gives numbers of
PAGE, TEXT, ROWS, PICTURE = "ablation.html", "ablation.md", "ablation.csv", "ablation.png"


class Written(NamedTuple):
    """All files of an ablation, by name."""

    texts: dict[str, str]
    pictures: dict[str, bytes]
    sentence: str


def build(results: Results) -> Written:
    """Make every file; the same results give the same bytes."""
    found = [effects_on(results, measure) for measure in MEASURES]
    waterfalls = [
        waterfall_panel(results, effects)
        for effects in found[:2]
        if effects.whole is not None and all(f.share for f in effects.factors.values())
    ]
    interactions = [
        interaction_panel(results, one, found[0].measure)
        for one in found[0].interactions[:SHOWN_INTERACTIONS]
    ]
    summary = sentence(results, found[0])
    pictures = {}
    if waterfalls:
        pictures[PICTURE] = render_sheet(waterfalls[:1], [], LIGHT, {})
    texts = {
        PAGE: render_page(results, found, summary, waterfalls, interactions),
        TEXT: render_text(results, found, summary, bool(waterfalls)),
        ROWS: rows(results, found),
    }
    return Written(texts, pictures, summary)


def write(written: Written, folder: Path) -> None:
    """Write all files into `folder`, each in the place of the last one."""
    for name, text in written.texts.items():
        write_text(folder / name, text)
    for name, png in written.pictures.items():
        unfinished = folder / f".{name}.new"
        unfinished.write_bytes(png)
        copy_file(unfinished, folder / name)
        unfinished.unlink()


def sentence(results: Results, effects: Effects) -> str:
    """What brought the whole change of the first measure, in plain words."""
    ablation, measure = results.plan.ablation, effects.measure
    if effects.whole is None:
        return f"{measure.label}: an end did not run, so there is no whole change to share out."
    whole = f"From {ablation.start} to {ablation.end}, {measure.label} changes by a factor of "
    whole += f"{told(effects.whole).removeprefix(TIMES)}"
    shares = {
        name: own.share for name, own in effects.factors.items() if own.share is not None
    }  # fmt: skip
    shown = {n: e for n, e in shares.items() if verdict(e, measure) == "better"}
    if not shown:
        return f"{whole}; of no single factor is it shown that it brings a part of that."
    largest = sorted(shown, key=lambda name: size(shown[name]))
    parts = [f"{name} {told(shown[name])}" for name in largest[:NAMED]]
    text = f"{whole}. What is shown to bring it: {join(parts)}."
    if rest := largest[NAMED:]:
        text += f" Less is brought by {join(rest)}."
    worse = [n for n, e in shares.items() if verdict(e, measure) == "worse"]
    return text + (f" {join(worse)} took some of it back." if worse else "")


def factor_table(effects: Effects) -> Table:
    """Each factor's effects on one score, the largest share first."""
    measure = effects.measure
    head = ["Factor", *(kind[0].upper() + kind[1:] for kind in KINDS.values()), "Share is shown"]

    def weight(name: str) -> float:
        share = effects.factors[name].share
        return 0.0 if share is None else -abs(size(share))

    lines = []
    for name in sorted(effects.factors, key=weight):
        own = effects.factors[name]
        shown = "" if own.share is None else verdict(own.share, measure)
        lines.append([name, *map(told, own), shown])
    return Table(head, lines, set(range(1, len(KINDS) + 1)))


def interaction_table(effects: Effects) -> Table:
    """Of the pairs of factors that the design tells apart, the strongest first."""
    head = ["Both together, beyond each", "Effect", "Shown", "Or"]
    lines = []
    for one in effects.interactions[: 2 * SHOWN_INTERACTIONS]:
        pairs = [f"{a} and {b}" for a, b in one.pairs]
        lines.append([
            pairs[0], told(one.effect), verdict(one.effect, effects.measure), "; ".join(pairs[1:])
        ])  # fmt: skip
    return Table(head, lines, {1})


def arm_table(results: Results) -> Table:
    """Every arm that ran, and its scores."""
    head = ["Arm", *(measure.label for measure in MEASURES), "Updates"]
    lines = []
    for name in results.readings:
        cells = []
        for measure in MEASURES:
            known = results.has(name, measure.key)
            cells.append(short(results.level(name, measure.key).centre) if known else "")
        lines.append([name, *cells, str(results.updates[name])])
    return Table(head, lines, set(range(1, len(head))))


def setting_table(results: Results) -> Table:
    """What each factor switches."""
    lines = [
        [name, f"{key}: {off} \N{RIGHTWARDS ARROW} {on}"]
        for name, keys in results.plan.factors.items()
        for key, (off, on) in keys.items()
    ]
    return Table(["Factor", "Setting"], lines)


def gaps(results: Results, found: Sequence[Effects]) -> list[str]:
    """What is missing, and why."""
    lines = [f"{effects.measure.label}: {effects.missing}" for effects in found if effects.missing]
    lines += [f"{arm}: no run" for arm in results.plan.arms if arm not in results.readings]
    return lines + [
        f"{arm}: no {key}, {reason}"
        for arm, own in results.reasons.items()
        for key, reason in own.items()
    ]


def render_page(
    results: Results, found: Sequence[Effects], summary: str, waterfalls: Sequence[Panel],
    interactions: Sequence[Panel],
) -> str:  # fmt: skip
    """The whole page, in the look of the report."""
    plan = results.plan
    return template("ablation.html", Path(__file__).parent / "templates").render(
        title=plan.ablation.title,
        ablation=plan.ablation,
        plan=plan,
        sentence=typographic(summary),
        waterfalls=list(map(chart, waterfalls)),
        interactions=list(map(chart, interactions)),
        tables=[(effects.measure, factor_table(effects)) for effects in found],
        pairs=interaction_table(found[0]),
        arms=arm_table(results),
        settings=setting_table(results),
        gaps=list(map(typographic, gaps(results, found))),
        several=len(plan.ablation.seeds) > 1,
    )


def render_text(
    results: Results, found: Sequence[Effects], summary: str, pictured: bool
) -> str:  # fmt: skip
    """A short text for a pull request."""
    ablation = results.plan.ablation
    blocks = [f"# {escape(ablation.title)}", f"**{escape(summary)}**"]
    if pictured:
        blocks.append(f"![{escape(found[0].measure.label)} by factor]({PICTURE})")
    for effects in found[:2]:
        table = factor_table(effects)
        lines = [list(map(escape, row)) for row in (table.head, *table.rows)]
        blocks += [f"## {effects.measure.label}", markdown_table(lines, table.numeric)]
    seeds = ", ".join(map(str, ablation.seeds))
    blocks += [f"- {escape(line)}" for line in gaps(results, found)]
    blocks.append(
        f"{len(results.readings)} arms, seeds {seeds}, equal {ablation.match.replace('_', '-')}. "
        f"Made again by: `{results.plan.command}`"
    )
    return "\n\n".join(blocks) + "\n"


def rows(results: Results, found: Sequence[Effects]) -> str:
    """Every number: kind, what it is of, score, estimate, 95 % interval, p and verdict."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([
        "kind", "of", "score", "estimate", "low", "high", "holm_low", "holm_high", "p", "holm_p",
        "verdict",
    ])  # fmt: skip
    for effects in found:
        key, measure = effects.measure.key, effects.measure

        def line(kind: str, of: str, effect: Effect, key: str = key, m: Measure = measure) -> None:
            writer.writerow([
                kind, of, key, *(_plain(value) for value in (
                    effect.estimate, effect.low, effect.high, effect.adjusted_low,
                    effect.adjusted_high, effect.p, effect.adjusted_p,
                )), verdict(effect, m),
            ])  # fmt: skip

        if effects.whole is not None:
            line("whole", "", effects.whole)
        for name, own in effects.factors.items():
            for kind, effect in own._asdict().items():
                if effect is not None:
                    line(kind, name, effect)
        for one in effects.interactions:
            line("interaction", " or ".join("*".join(pair) for pair in one.pairs), one.effect)
        for arm in results.readings:
            if results.has(arm, key):
                level = results.level(arm, key)
                ends = (level.centre, level.low, level.high)
                writer.writerow(["arm", arm, key, *map(_plain, ends), "", "", "", "", ""])
    return buffer.getvalue()


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
