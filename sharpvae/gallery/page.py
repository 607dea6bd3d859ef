"""The gallery's page: what to look at, and how."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from sharpvae.core.errors import UserError
from sharpvae.core.threads import use_threads
from sharpvae.gallery.models import Chosen, Entry, entries, opened, toy_root
from sharpvae.gallery.show import look
from sharpvae.gallery.views import VIEWS

MOST = 3  # VAEs side by side


def show(root: Path, more: Sequence[Path]) -> None:
    """Draw the page anew, as Streamlit does after every change.

    Args:
        root: the workspace.
        more: other VAEs, named by whoever started the gallery.
    """
    use_threads(1)  # of a few images; more would wait for each other longer than they work
    st.set_page_config("SharpVAE gallery", layout="wide")
    look()
    found = entries(root, more)
    if not found:
        found = entries(toy_root())
    if not found:
        _nothing(root)
        return
    names = list(found)
    with st.sidebar:
        st.markdown("### SharpVAE gallery")
        view = st.radio("view", list(VIEWS), key="view", bind="query-params")
        asked = st.multiselect(
            f"VAEs, up to {MOST}", names, names[:MOST][-2:], max_selections=MOST, key="vae",
            bind="query-params",
        )  # fmt: skip
        st.caption("The address holds what you see: copy it to share the view.")
    chosen = [one for name in asked if (one := _open(found[name])) is not None]
    if not chosen:
        st.info("Choose a VAE on the left.")
        return
    try:
        VIEWS[view](chosen)
    except UserError as error:
        st.error(str(error))


def _open(entry: Entry) -> Chosen | None:
    try:
        return _cached(entry, entry.stamp)
    except (UserError, OSError) as error:
        st.error(f"{entry.name}: {error}")
        return None


@st.cache_resource(max_entries=2 * MOST, show_spinner="reading weights")
def _cached(entry: Entry, stamp: tuple[int, ...]) -> Chosen:
    """`stamp` has it read anew after another training."""
    return opened(entry)


def _nothing(root: Path) -> None:
    """What to do where no VAE is trained."""
    st.markdown("### Nothing is trained here yet")
    st.write(
        f"`{root.resolve().name}` holds no trained VAE. Run this in a repository of SharpVAE, then "
        "reload the page:"
    )
    st.code("dvc repro", language="bash")
    st.write(
        "Or try the gallery with a toy: a VAE of the 5000 digits, trained for half a minute, which "
        "is too short to be good. It is kept in the cache, not in this folder."
    )
    if st.button("Train the toy", type="primary"):
        bar = st.progress(0.0, "training")

        def told(share: float) -> None:
            bar.progress(min(share, 1.0), "training")

        from sharpvae.gallery.toy import train_toy  # imports all that trains

        try:
            train_toy(told)
        except UserError as error:
            st.error(str(error))
            return
        st.rerun()
