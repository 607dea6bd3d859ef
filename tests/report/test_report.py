"""The whole report from a synthetic tree."""

from __future__ import annotations

import csv
import io
import json
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from PIL import Image

from sharpvae.core.config import load_stage
from sharpvae.core.errors import UserError, visible
from sharpvae.report.evidence import ReportStage, load_evidence, load_history
from sharpvae.report.page import Report, build_report, escape, write_report
from sharpvae.report.scores import BY_KEY
from tests.report.tree import (
    BLURRY,
    PROTOCOL,
    SHARP,
    blobs,
    run_elsewhere,
    run_of,
    write_tree,
)

VOID = {"meta", "img", "br", "source", "link", "input", "hr"}
ODD = "a<b>&\"c'|_x_"
COLLAPSED = run_of(BLURRY | {"sharpness": 0.88}, collapsed=True)


class Page(HTMLParser):
    """Notes every element and attribute, and fails on tags that do not pair."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def report_of(root: Path) -> Report:
    stage = load_stage(root / "configs/report.json", ReportStage)
    return build_report(load_evidence(stage, root))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two variants, one of an odd name, over two seeds, in RGB."""
    return write_tree(
        tmp_path_factory.mktemp("pair"),
        {
            "original": {0: BLURRY, 4: BLURRY | {"fid": 123.0}},
            ODD: {0: SHARP, 4: SHARP | {"fid": 46.0}},
        },
        changes={ODD: {"loss.beta": 2.0, "loss.weights.perceptual": 0.5}},
        images=blobs(60, 3),
    )


@pytest.fixture(scope="module")
def report(pair: Path) -> Report:
    return report_of(pair)


@pytest.fixture(scope="module")
def page(report: Report) -> Page:
    return Page(report.texts["report.html"])


def test_same_inputs_same_bytes(pair: Path, report: Report) -> None:
    again = report_of(pair)
    assert again.texts == report.texts
    assert again.figures == report.figures


def test_the_page_needs_no_other_file(page: Page, report: Report) -> None:
    for _, attributes in page.elements:
        for name in ("src", "srcset", "href", "data", "action", "poster"):
            value = attributes.get(name, "data:")
            assert value.startswith(("data:image/png;base64,", "#")) or value == "data:"
    assert not page.all("script")
    assert not page.all("link")
    assert not re.search(r"url\((?!#)|@import", report.texts["report.html"])


def test_pictures_have_alt_texts_and_sizes(page: Page) -> None:
    images = page.all("img")
    # 9 grids, 3 strips, 2 pictures of suspects, a sheet
    assert len(images) == 15
    assert all(image["alt"] and int(image["width"]) > 0 < int(image["height"]) for image in images)
    # 7 curves, 2 histograms, the power by frequency, the KL of each dimension, 2 maps of codes
    charts = page.all("svg")
    assert len(charts) == 13
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in charts)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_tables_have_scopes_and_links_lead_somewhere(page: Page) -> None:
    assert all(head.get("scope") for head in page.all("th"))
    targets = {attributes.get("id") for _, attributes in page.elements}
    assert {link["href"][1:] for link in page.all("a")} <= targets
    labels = [a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a]
    assert set(labels) <= targets


def test_odd_names_are_text_not_markup(page: Page, report: Report) -> None:
    assert (
        f"{ODD} is better than original".replace("'", "\N{RIGHT SINGLE QUOTATION MARK}")
        in page.text
    )
    assert "a<b" not in report.texts["report.html"]
    assert escape(ODD) == "a\\<b\\>\\&\"c'\\|\\_x\\_"
    rows = [line for line in report.texts["report.md"].splitlines() if line.startswith("| FID |")]
    assert len(re.findall(r"(?<!\\)\|", rows[0])) == 2 + 2 + 5 + 1


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Zs"]) | st.just(" ")))
def test_what_is_escaped_is_the_same_text_to_commonmark(text: str) -> None:
    source = f"| {escape(text)}. |\n|:--|\n"
    rendered = MarkdownIt("commonmark").enable("table").render(source)
    cell = re.fullmatch(r"<table>\n<thead>\n<tr>\n<th.*?>(.*)</th>.*", rendered, re.DOTALL)
    assert cell is not None
    assert unescape(cell[1]) == f"{visible(text)}.".lstrip(" ")


def test_the_page_says_how_the_numbers_were_made(page: Page) -> None:
    for text in (
        "the test split", "imagenet (256 features)", "20 subsets of 30 images",
        "torch-fidelity 0.4.0",
        "trained on 400 images to tell the classes apart; right for 97.2\N{NO-BREAK SPACE}%",
        "in the loss of a<b>", "Images seen",
        "loss.beta", "dvc repro", "CC BY-SA 3.0", "32 \N{MULTIPLICATION SIGN} 32 pixels, RGB",
    ):  # fmt: skip
        assert text in page.text, text


def test_metrics_and_curves(report: Report, pair: Path) -> None:
    metrics = json.loads(report.texts["metrics.json"])
    assert list(metrics) == ["original", ODD]
    assert metrics["original"]["fid"] == pytest.approx((120.4 * 123) ** 0.5, rel=1e-5)
    rows = list(csv.DictReader(io.StringIO(report.texts["curves.csv"])))
    assert list(rows[0]) == ["epoch", "variant", "seed", "split", "term", "value"]
    assert {(row["variant"], row["seed"]) for row in rows} == {
        (name, seed) for name in ("original", ODD) for seed in ("0", "4")
    }
    history = (pair / "reports/scores/original/0/history.csv").read_text().splitlines()[1:]
    assert [row["value"] for row in rows[: len(history)]] == [h.split(",")[-1] for h in history]


def test_figures_are_pngs_without_metadata(report: Report) -> None:
    assert set(report.figures) == {
        "samples.png", "prior.png", "mixture.png", "flow.png", "reconstructions.png",
        "sharpness.png", "curves.png", "spectra.png", "nearest.png", "codes.png",
    }  # fmt: skip
    for name, png in report.figures.items():
        with Image.open(io.BytesIO(png)) as image:
            assert not {"Software", "Creation Time"} & set(image.info), name
    shown = set(re.findall(r"figures/(\S+\.png)", report.texts["report.md"]))
    assert shown == {"samples.png", "reconstructions.png"}


def test_writing_replaces_the_last_report_whole(report: Report, tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures/old.png").write_bytes(b"")
    write_report(report, tmp_path)
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == sorted(report.figures)
    assert (tmp_path / "report.html").read_text() == report.texts["report.html"]
    assert {path.name for path in tmp_path.iterdir()} == {*report.texts, "figures"}


def test_pictures_come_before_words_and_words_before_numbers(page: Page) -> None:
    sections = [section["aria-labelledby"] for section in page.all("section")]
    first = ["samples", "reconstructions", "verdict", "scores", "spectra", "judges"]
    assert sections[:6] == [f"{name}-title" for name in first]
    assert len(page.all("details")) == len(sections) - len(first) - 1, "the rest is folded"


def test_a_floor_that_a_score_does_not_see_is_marked(page: Page, report: Report) -> None:
    assert "The score is blind to the fault" in page.text
    (row,) = [
        r for r in report.texts["report.md"].splitlines() if r.startswith("| Sharpness ratio")
    ]
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells[4:] == ["0.25", "0.25", "0.25\N{DAGGER}", "0.25\N{DOUBLE DAGGER}", "\N{EN DASH}"]


def test_one_variant(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"only": {0: BLURRY | {"beta_sigma": None}}})
    found = report_of(root)
    text = Page(found.texts["report.html"]).text
    assert "One variant was trained, so nothing differs." in text
    assert json.loads(found.texts["metrics.json"])["only"]["beta_sigma"] is None


def test_scores_that_do_not_exist_are_left_out_with_their_reason(tmp_path: Path) -> None:
    gone = [key for key in BY_KEY if BY_KEY[key].base in ("fid", "blur_px", "nn_ratio", "artefact")]
    record = run_of(
        BLURRY | dict.fromkeys(gone), power={"headline": None}, suspects=[], replicates={}
    )  # fmt: skip
    found = report_of(write_tree(tmp_path, {"original": {0: BLURRY}, "flat": {0: record}}))
    text = Page(found.texts["report.html"]).text
    assert "Blur, px of flat: all images are alike" in text
    assert "Nearest neighbour ratio of flat: all images are alike" in text
    assert json.loads(found.texts["metrics.json"])["flat"]["fid"] is None


def test_three_variants_one_collapsed(tmp_path: Path) -> None:
    scores = {"original": {0: BLURRY}, "collapsed": {0: COLLAPSED}, "improved": {0: SHARP}}
    found = report_of(write_tree(tmp_path, scores))
    page = Page(found.texts["report.html"])
    assert len(page.all("s")) > 1, "its sharpness is struck out"
    assert "collapsed variant\N{RIGHT SINGLE QUOTATION MARK}s sharpness is struck out" in page.text
    assert "**0.550** better" in found.texts["report.md"]
    assert "~~0.880~~" in found.texts["report.md"]


@pytest.mark.parametrize(
    "name",
    [
        "data/prepared/card.json",
        "data/prepared/sheet.png",
        "data/prepared/test.npy",
        "data/prepared/train.npy",
        "data/samples/original/0/headline.npy",
        "data/samples/original/0/mixture.npy",
        "data/samples/original/0/posterior.npz",
        "models/critic/critic.json",
        "models/reference/reference.json",
        "reports/floors.json",
        "reports/live/original/0/cost.json",
        "reports/scores/original/0/history.csv",
        "reports/scores/original/0/per_image.npz",
        "reports/scores/original/0/scores.json",
        "reports/scores/original/0/summary.json",
    ],
)
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    root = write_tree(tmp_path, {"original": {0: BLURRY}}, images=blobs(40, 1))
    (root / name).unlink()
    with pytest.raises(UserError, match="no such file") as caught:
        report_of(root)
    assert caught.value.where == str(root / name)


def test_images_that_do_not_fit_are_named(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"original": {0: BLURRY}}, images=blobs(40, 1))
    path = root / "data/samples/original/0/headline.npy"
    np.save(path, blobs(40, 3))
    with pytest.raises(UserError, match=r"uint8 \[N, 32, 32, 1\]") as caught:
        report_of(root)
    assert caught.value.where == str(path)
    path.write_bytes(b"not an array")
    with pytest.raises(UserError, match="a file written by numpy"):
        report_of(root)


def test_suspects_that_are_not_there_are_named(tmp_path: Path) -> None:
    record = run_of(BLURRY, suspects=[[0, 40]])
    root = write_tree(tmp_path, {"original": {0: record}}, images=blobs(40, 1))
    with pytest.raises(UserError, match="40 and 40"):
        report_of(root)


@pytest.mark.parametrize(
    ("text", "found"),
    [("epoch,value\n", "epoch,value"), ("", "nothing"), ("{}1,2,train,mse\n", "1,2,train,mse"),
     ("{}1,2,train,mse,x\n", "1,2,train,mse,x")],
)  # fmt: skip
def test_a_history_that_is_none(tmp_path: Path, text: str, found: str) -> None:
    path = tmp_path / "history.csv"
    path.write_text(text.format("epoch,step,split,term,value\n"))
    with pytest.raises(UserError) as caught:
        load_history(path)
    assert caught.value.found == found


def test_a_history_of_one_endless_line_is_told(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text("x" * 200_000)
    with pytest.raises(UserError, match="field larger than field limit"):
        load_history(path)


def test_images_made_elsewhere_stand_beside_trained_variants(tmp_path: Path) -> None:
    theirs = run_elsewhere(
        SHARP,
        notes=["values were halved"],
        protocol=PROTOCOL | {"fakes": 40, "kid_subset_size": 20},
    )
    root = write_tree(
        tmp_path,
        {"original": {0: BLURRY, 4: BLURRY}, "theirs": {0: theirs, 4: theirs},
         "improved": {0: SHARP, 4: SHARP}},
        changes={"improved": {"loss.beta": 2.0}},
    )  # fmt: skip
    made = report_of(root)
    page = Page(made.texts["report.html"])
    heads = re.findall(r"<th[^>]*>([^<]*)</th>", made.texts["report.html"])
    assert heads.count("theirs") == 4, "scores, judges, all scores, validation"
    assert heads[heads.index("Setting") :][:3] == ["Setting", "original", "improved"]
    assert "samples/theirs.npz" in page.text and "theirs: values were halved." in page.text
    assert "sample.count: 40" in page.text and "on one machine" not in page.text
    labels = re.findall(r"<label><input[^>]*> ([^<]*)</label>", made.texts["report.html"])
    assert labels == ["all", "real test images", "original", "improved"]
    metrics = json.loads(made.texts["metrics.json"])
    assert list(metrics) == ["original", "theirs", "improved"]
    assert metrics["theirs"]["fid"] == SHARP["fid"]
    assert not metrics["theirs"].keys() & {"psnr", "fid_prior", "active_units"}
    assert "theirs" not in made.texts["curves.csv"]
    assert "Different images" in made.texts["report.md"], "as in sharpvae score"


def test_a_score_that_images_made_elsewhere_must_have(tmp_path: Path) -> None:
    theirs = run_elsewhere(SHARP)
    del theirs["scores"]["copied"]
    root = write_tree(tmp_path, {"original": {0: BLURRY}, "theirs": {0: theirs}})
    with pytest.raises(UserError, match="copied"):
        report_of(root)
