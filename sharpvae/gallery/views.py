"""What there is to see of the VAEs that were chosen, a function each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from sharpvae.core.errors import UserError
from sharpvae.gallery import draws, files
from sharpvae.gallery.models import Chosen, Data, scores
from sharpvae.gallery.show import Shown, large, pictures, sliders, table
from sharpvae.report.artefacts import load_floors
from sharpvae.report.numerals import NOTHING, short
from sharpvae.report.scores import BY_KEY, GOAL_TEXT, HEADLINE
from sharpvae.trained.model import PRIORS

Images = NDArray[np.uint8]

REACH = 3.0  # standard deviations
_SHARES = 7  # pictures of a row of arithmetic
_OWN = "its own"  # the prior that a variant is judged by
_BESIDE = {"real": "real images", "blur_1": "blurred by 1 px", "noise": "noise"}


def samples(chosen: Sequence[Chosen]) -> None:
    """Draws of each VAE, from one prior and one seed, and the training image nearest to one."""
    first, second, third, fourth = st.columns(4)
    prior = first.selectbox("prior", [_OWN, *PRIORS], key="prior", bind="query-params")
    seed = second.number_input("seed", 0, 2**31, 0, key="seed", bind="query-params")
    heat = third.slider("temperature", 0.0, 1.5, 1.0, 0.05, key="temperature", bind="query-params")
    count = fourth.slider("count", 1, 100, 36, key="count", bind="query-params")
    label = _label(chosen, "class", every=True)
    columns = max(1, round(count**0.5))
    shown: dict[str, Shown] = {}
    for one in chosen:
        asked = (one.vae.headline or "normal") if prior == _OWN else prior
        try:
            images = draws.sampled(one.vae, count, seed, asked, _own(one, label), heat)
        except UserError as error:
            st.warning(f"{one.name}: {error}")
            continue
        source = "N(0, I)" if asked == "normal" else f"its {asked}"
        shown[one.name] = Shown(f"{one.name}, from {source}", images, columns)
    _show(shown)
    if not shown:
        return
    which = st.columns(3)[0].number_input(
        "nearest training image of sample", 0, count - 1, 0, key="sample", bind="query-params"
    )
    for own in chosen:
        if own.data is not None and own.name in shown:
            _nearest(own, own.data, shown[own.name].images[which])


def _nearest(chosen: Chosen, data: Data, sample: Images) -> None:
    position, apart = draws.nearest(data, sample)
    both = np.stack([sample, data.train.images[position]])
    caption = f"{chosen.name}: sample, training image {position}; RMS difference {apart:.3f}"
    pictures(Shown(caption, both, 2, 96))


@st.fragment
def sliding(chosen: Sequence[Chosen]) -> None:
    """Move through the latent space of each VAE by hand."""
    kind, count, position = _directions("slide", 8, 16)
    label = _label(chosen, "class")
    for number, one in enumerate(chosen):
        moves = draws.moves(one.vae, kind, count)
        base, told = _base(one, moves, position)
        with st.container(border=len(chosen) > 1):
            left, right = st.columns([2, 3], vertical_alignment="center")
            parameter = f"at{number}"
            serial = f"{one.name} {kind} {len(moves.names)}"
            with right:
                at = sliders(moves.names, _written(parameter), REACH, serial)
            _write(parameter, at)
            values = np.array([at], np.float32)
            image = draws.moved(one.vae, base, moves.steps, values, _own(one, label))
            with left:
                pictures(large(f"{one.name}, from {told}", image[0]))
    st.caption("In standard deviations of the codes. A double click puts a slider back to 0.")


def traversal(chosen: Sequence[Chosen]) -> None:
    """One row a direction, from -3 to 3 standard deviations."""
    kind, count, position = _directions("rows", 8, 24)
    label = _label(chosen, "class")
    columns, shown = 9, dict[str, Shown]()
    for one in chosen:
        moves = draws.moves(one.vae, kind, count)
        base, told = _base(one, moves, position)
        values = draws.grid_values(len(moves.names), columns, REACH)
        images = draws.moved(one.vae, base, moves.steps, values, _own(one, label))
        caption = f"{one.name}, from {told}; rows: {', '.join(moves.names)}"
        shown[one.name] = Shown(caption, images, columns)
    _show(shown)


def morph(chosen: Sequence[Chosen]) -> None:
    """The way from one image to another, as a strip and as a film."""
    start, end = _picture(chosen, "first image", 0), _picture(chosen, "second image", 1)
    left, right = st.columns(2)
    steps = left.slider("steps", 4, 48, 16, key="steps", bind="query-params")
    paths: list[Literal["linear", "spherical"]] = ["linear", "spherical"]
    path = right.segmented_control(
        "path", paths, default="linear", key="path", required=True, bind="query-params"
    )
    label, shown = _label(chosen, "class"), dict[str, Shown]()
    for one in chosen:
        first, last = start(one), end(one)
        if first is None or last is None:
            continue
        asked = draws.asked(one.vae, _own(one, label))
        images = one.vae.interpolate(first, last, steps, path, asked)
        shown[one.name] = Shown(one.name, images, min(steps, 16))
    _show(shown)
    if shown:
        strips = [one.images for one in shown.values()]
        st.image(files.animation(strips, "gif"), caption=" · ".join(shown))
        forms: tuple[files.Film, ...] = ("gif", "mp4")
        for form in forms:
            _download(form.upper(), partial(files.animation, strips, form), f"morph.{form}")


def reconstruction(chosen: Sequence[Chosen]) -> None:
    """What each VAE makes of an image, and how far that is off."""
    given = _picture(chosen, "image", 0)
    label = _label(chosen, "class")
    for one in chosen:
        image = given(one)
        if image is None:
            continue
        found = draws.reconstructed(one.vae, image, _own(one, label))
        blur = "unknown" if found.blur_px is None else f"{found.blur_px:.2f} px"
        told = f"PSNR {found.psnr:.1f} dB, blur {blur}, SSIM {found.ssim:.2f}"
        st.markdown(f"**{_plain(one.name)}**: {told}")
        pictures(
            large("image", found.images[0]), large("reconstruction", found.images[1]),
            large("error", found.error[0]),
        )  # fmt: skip
        _take({one.name: Shown("", found.images, 2)})
    st.caption(
        "Blur is the Gaussian that takes the image's spectrum to the reconstruction's. The error "
        "is bright from a quarter of the range on."
    )


def arithmetic(chosen: Sequence[Chosen]) -> None:
    """An image, plus what one class or attribute has, minus what another has."""
    known = next((one.data for one in chosen if one.data is not None), None)
    groups = {} if known is None else draws.groups(known)
    if len(groups) < 2:
        st.info("The images have neither classes nor attributes.")
        return
    names, (left, right) = list(groups), st.columns(2)
    plus = left.selectbox("plus", names, 1, key="plus", bind="query-params")
    minus = right.selectbox("minus", names, 0, key="minus", bind="query-params")
    strength = st.slider("strength", 0.0, 3.0, 1.5, 0.1, key="strength", bind="query-params")
    given, shown = _picture(chosen, "image", 0), dict[str, Shown]()
    asked = _label(chosen, "class")
    for one in chosen:
        image = given(one)
        if image is None or one.data is None:
            continue
        own = draws.groups(one.data)
        if not {plus, minus} <= set(own):
            st.warning(f"{one.name}: its images have no such class")
            continue
        label = draws.asked(one.vae, _own(one, asked))
        code = one.vae.encode(image[None], label).mean[0]
        direction = draws.mean_code(one, own[plus]) - draws.mean_code(one, own[minus])
        shares = np.linspace(0, strength, _SHARES, dtype=np.float32)[:, None]
        images = one.vae.decode(code + shares * direction, label)
        shown[one.name] = Shown(f"{one.name}: + {plus} - {minus}", images, _SHARES)
    _show(shown)


def quiz(chosen: Sequence[Chosen]) -> None:
    """Ten pictures: which are real?"""
    ready = [one for one in chosen if one.data is not None]
    if not ready:
        st.info("Real images are missing: dvc repro prepare")
        return
    left, right = st.columns(2)
    name = left.selectbox(
        "against", [one.name for one in ready], key="against", bind="query-params"
    )
    seed = right.number_input("round", 0, 2**31, 0, key="round", bind="query-params")
    found = draws.quiz(next(one for one in ready if one.name == name), seed)
    with st.form(f"quiz {name} {seed}"):
        answers = []
        for start in range(0, draws.QUIZ, 5):
            for at, column in enumerate(st.columns(5), start):
                with column:
                    pictures(Shown(f"{at + 1}", found.images[at : at + 1], 1, 128))
                    answers.append(st.radio(
                        f"picture {at + 1}", ["real", "fake"], index=None, horizontal=True,
                        label_visibility="collapsed", key=f"answer {name} {seed} {at}",
                    ))  # fmt: skip
        done = st.form_submit_button("How many are right?")
    if done:
        truth = ["real" if real else "fake" for real in found.real]
        right_ones = sum(said == is_ for said, is_ in zip(answers, truth, strict=True))
        verdict = "no better than a coin" if right_ones <= 7 else "better than a coin would be"
        st.markdown(f"**{right_ones} of {draws.QUIZ}** right: {verdict}.")
        st.markdown(" · ".join(f"{at + 1} {what}" for at, what in enumerate(truth)))
        st.caption("Guessing gets 8 or more right once in 18 rounds.")


def scored(chosen: Sequence[Chosen]) -> None:
    """The scores of `dvc repro`, with floors, spectra and the whole report."""
    own = {one.name: scores(one.entry) for one in chosen}
    if not any(own.values()):
        st.info("Nothing is scored here: dvc repro")
        return
    root = chosen[0].entry.root
    try:
        floors = load_floors(root / "reports/floors.json")
    except UserError as error:
        st.warning(str(error))
        floors = {}
    beside = {name: told for name, told in _BESIDE.items() if name in floors}
    rows = {}
    for key in HEADLINE:
        metric = BY_KEY.get(key)
        if metric is None or all(found.get(key) is None for found in own.values()):
            continue
        values = [found.get(key) for found in own.values()]
        values += [floors[name].get(metric.base) for name in beside]
        told = [NOTHING if value is None else short(value) for value in values]
        rows[f"{metric.name} {GOAL_TEXT[metric.goal]}"] = told
    table([*((name, False) for name in own), *((told, True) for told in beside.values())], rows)
    st.caption("Of the test images; over all seeds that were trained.")
    spectra, report = root / "reports/figures/spectra.png", root / "reports/report.html"
    if spectra.is_file():
        st.image(spectra.read_bytes(), caption="Spectra of samples and real images")
    if report.is_file():
        page = report.read_text(encoding="utf-8")
        _download("the report", lambda: page, "report.html")
        if st.toggle("show the report here", key="report", bind="query-params"):
            st.iframe(page, height=900)


VIEWS: dict[str, Callable[[Sequence[Chosen]], None]] = {
    "Samples": samples, "Sliders": sliding, "Traversal": traversal, "Morph": morph,
    "Reconstruct": reconstruction, "Arithmetic": arithmetic, "Real or fake?": quiz,
    "Scores": scored,
}  # fmt: skip


def _directions(key: str, count: int, most: int) -> tuple[str, int, int]:
    """Which directions, how many, and the test image to start from; -1 for the mean code."""
    left, middle, right = st.columns(3)
    kind = left.segmented_control(
        "along", ["axes", "dimensions"], default="axes", key="along", required=True,
        bind="query-params", help="Signal axes: where codes of images differ most beyond noise.",
    )  # fmt: skip
    chosen = middle.slider("how many", 1, most, count, key=f"many {key}", bind="query-params")
    position = right.number_input(
        "from test image", -1, None, -1, key="from", bind="query-params",
        help="-1 starts from the mean code.",
    )  # fmt: skip
    return kind, chosen, position


def _base(one: Chosen, moves: draws.Moves, position: int) -> tuple[draws.Floats, str]:
    """The code to start from, and its name."""
    if position < 0 or one.data is None:
        return moves.centre, "the mean code"
    position %= len(one.data.test.images)
    image = np.asarray(one.data.test.images[position : position + 1])
    label = draws.shown_labels(one.data.test, position) if one.vae.classes else None
    return one.vae.encode(image, label).mean[0], f"test image {position}"


def _label(chosen: Sequence[Chosen], key: str, every: bool = False) -> str | None:
    """The class to ask conditional VAEs for; None: one after the other, or there are none."""
    names = [name for one in chosen for name in one.class_names]
    if not names:
        return None
    options = [*(["all in turn"] if every else []), *dict.fromkeys(names)]
    found = st.selectbox("class", options, key=key, bind="query-params")
    return None if every and found == options[0] else found


def _own(one: Chosen, label: str | None) -> int | None:
    """The number of a class, of a VAE that knows it."""
    return one.class_names.index(label) if label in one.class_names else None


Picture = Callable[[Chosen], Images | None]


def _picture(chosen: Sequence[Chosen], key: str, position: int) -> Picture:
    """Choose an image, of the test split or one's own; for each VAE in its size and colours."""
    left, right = st.columns(2)
    at = left.number_input(f"{key}: test image", 0, None, position, key=key, bind="query-params")
    uploaded = right.file_uploader(f"{key}: or one of your own", key=f"upload {key}")
    if uploaded is None:
        return lambda one: _of_test(one, at)
    name, content = uploaded.name, uploaded.getvalue()
    return lambda one: _uploaded(one, name, content)


def _uploaded(one: Chosen, name: str, content: bytes) -> Images | None:
    fit: Any = one.data.card.fit if one.data is not None else "pad"  # which `configure` checked
    try:
        return files.read_upload(name, content, one.vae.image_size, one.vae.channels, fit)
    except UserError as error:
        st.error(str(error))
        return None


def _of_test(one: Chosen, position: int) -> Images | None:
    if one.data is None:
        st.warning(f"{one.name}: {one.missing}. Upload an image instead.")
        return None
    return np.asarray(one.data.test.images[position % len(one.data.test.images)])


def _show(shown: Mapping[str, Shown]) -> None:
    """Pictures by the name of their VAE, and below them what people may take away."""
    pictures(*shown.values())
    _take(shown)


def _take(shown: Mapping[str, Shown]) -> None:
    with st.container(horizontal=True):
        for name, one in shown.items():
            file = "".join(c if c.isalnum() else "-" for c in name)
            _download(f"PNG, {name}", partial(files.png, one.images, one.columns), f"{file}.png")
            _download(f"NPZ, {name}", partial(files.npz, one.images), f"{file}.npz")


def _download(label: str, make: Callable[[], Any], name: str) -> None:
    """A button that makes its file when it is pressed."""
    st.download_button(label, make, name, key=f"download {label}", on_click="ignore")


def _written(parameter: str) -> list[float]:
    """Where sliders stand by the address."""
    try:
        return [float(part) for part in st.query_params.get(parameter, "").split(",")]
    except ValueError:
        return []


def _write(parameter: str, at: Sequence[float]) -> None:
    text = ",".join(f"{value:g}" for value in at)
    if not any(at):
        st.query_params.pop(parameter, None)
    elif st.query_params.get(parameter) != text:
        st.query_params[parameter] = text


def _plain(name: str) -> str:
    """Text that Markdown shows as it is."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]()<>#+-.!|$:~" else c for c in name)
