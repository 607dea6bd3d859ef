"""The files of an ablation: what stands in them, and that they hold together."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sharpvae.proof.effects import MEASURE, effects_on, told
from sharpvae.proof.page import PAGE, PICTURE, ROWS, TEXT, build, write
from sharpvae.report.statistics import Reading, contrast
from tests.proof.test_effects import MADE, results

GAIN = {"network": -0.5, "loss": -2.0, "training": 0.3, "prior": 0.0}


def planted(on: frozenset[str]) -> float:
    return 6.0 + sum(GAIN[name] for name in on)


WRITTEN = build(results(planted, 0.05))


class Balanced(HTMLParser):
    """Fails where a tag is closed that is not the last one opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "img", "path", "use", "link", "input", "br", "rect", "line"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            assert tag in ("path", "use", "rect", "line"), f"{tag} closes {self.open[-3:]}"


def test_the_sentence_names_what_is_shown_the_largest_first() -> None:
    assert re.match(
        r"From original to sharp, FID changes by a factor of 0\.1\d* \(.*\)\. What is shown to "
        r"bring it: loss .* and network .*\. training took some of it back\.$",
        WRITTEN.sentence,
    ), WRITTEN.sentence


def test_where_nothing_is_shown_the_sentence_says_so() -> None:
    nothing = build(results(lambda on: 5.0, 0.3, 1))
    assert "of no single factor is it shown" in nothing.sentence
    assert "no difference shown" in nothing.texts[TEXT]


def test_the_page_says_how_it_is_made_again_with_its_own_seeds() -> None:
    again = f"sharpvae study ablation {MADE.name} --seeds {','.join(map(str, MADE.ablation.seeds))}"
    assert f"<code>{again}</code>" in WRITTEN.texts[PAGE] and f"`{again}`" in WRITTEN.texts[TEXT]


def test_every_effect_and_every_arm_is_a_row() -> None:
    rows = list(csv.DictReader(io.StringIO(WRITTEN.texts[ROWS])))
    of_fid = [row for row in rows if row["score"] == "fid"]
    kinds = [row["kind"] for row in of_fid]
    for kind in ("share", "alone", "last", "average"):
        assert kinds.count(kind) == len(GAIN)
    assert kinds.count("arm") == len(MADE.arms) and kinds.count("whole") == 1
    share = next(row for row in of_fid if row["kind"] == "share" and row["of"] == "loss")
    assert float(share["low"]) < float(share["estimate"]) < float(share["high"])
    assert float(share["holm_low"]) <= float(share["low"])
    assert share["verdict"] == "better"


def test_the_page_is_whole_and_asks_nobody() -> None:
    page = WRITTEN.texts[PAGE]
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert not re.search(r"(src|href)=\"(?!#|data:)", page)
    assert "<script" not in page
    for arm in MADE.arms:
        assert arm in page
    anchors = set(re.findall(r'href="#([\w-]+)"', page))
    assert anchors <= set(re.findall(r'id="([\w-]+)"', page))


def test_the_same_results_give_the_same_bytes(tmp_path: Path) -> None:
    again = build(results(planted, 0.05))
    assert again == WRITTEN
    write(again, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {PAGE, TEXT, ROWS, PICTURE}
    assert (tmp_path / PICTURE).read_bytes().startswith(b"\x89PNG")


def test_what_is_missing_is_told_on_the_page() -> None:
    written = build(results(planted, 0.05, without="plus-loss"))
    assert "plus-loss: no run" in written.texts[PAGE]
    assert "plus-loss: no run" in written.texts[TEXT]


def test_an_end_that_did_not_run_leaves_a_page_without_a_waterfall() -> None:
    written = build(results(planted, 0.05, without="sharp"))
    assert "an end did not run" in written.sentence
    assert not written.pictures


def test_intervals_beyond_a_factor_of_a_thousand_are_without_end() -> None:
    one = [Reading.alone(v) for v in (1.0, 1e6, 1e-3)]
    other = [Reading.alone(v) for v in (1.0, 1.0, 1.0)]
    assert "without end" in told(contrast([(1, one), (-1, other)], "ratio"))
    assert told(None) == ""


@pytest.mark.parametrize("key", ["fid", "seconds"])
def test_shares_on_the_page_multiply_to_the_whole(key: str) -> None:
    effects = effects_on(results(planted, 0.0), MEASURE[key])
    product = 1.0
    for own in effects.factors.values():
        assert own.share is not None
        product *= own.share.estimate
    assert effects.whole is not None and product == pytest.approx(effects.whole.estimate)
