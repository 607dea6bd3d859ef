"""configs/prepare.json -> data/prepared/: find the images, split them, pack them."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

from rich.table import Table

from sharpvae.core.config import load_stage
from sharpvae.core.console import Display, run, terminal
from sharpvae.core.files import fresh_directory
from sharpvae.datasets.config import PrepareStage
from sharpvae.datasets.pack import prepare
from sharpvae.images.packed import Card

CONFIG, RAW, PREPARED = Path("configs/prepare.json"), Path("data/raw"), Path("data/prepared")
SHOWN = 5  # skipped files that are named on the terminal; the card names all


def main() -> None:
    """Prepare; on a mistake data/prepared/ stays as it was."""
    stage = load_stage(CONFIG, PrepareStage)
    with fresh_directory(PREPARED) as directory, closing(Display()) as display:
        card = prepare(stage.data, stage.minimum, RAW, directory, display)
    show(card)


def show(card: Card) -> None:
    """Print what was packed."""
    table = Table(title=card.title, title_justify="left", show_header=False)
    kind = "grey" if card.channels == 1 else "RGB"
    classes = "no labels" if card.class_names is None else ", ".join(card.class_names)
    for split, count in card.counts.items():
        table.add_row(split, f"{count} images")
    table.add_row("size", f"{card.image_size} x {card.image_size}, {kind} ({card.fit})")
    if card.binarize is not None:
        table.add_row("pixels", f"black or white, drawn at random ({card.binarize})")
    table.add_row("classes", classes)
    table.add_row("duplicates", f"{card.duplicates_removed} removed")
    table.add_row("skipped", f"{len(card.skipped)} files")
    console = terminal()
    console.print(table, markup=False)
    for item in card.skipped[:SHOWN]:
        console.print(f"skipped {item.file}: {item.reason}", markup=False, highlight=False)
    if len(card.skipped) > SHOWN:
        console.print(f"... and {len(card.skipped) - SHOWN} more: {PREPARED / 'card.json'}")


if __name__ == "__main__":
    run(main, sys.argv)
