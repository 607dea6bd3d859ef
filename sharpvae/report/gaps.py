"""Three FIDs side by side: from the prior, from the mixture, reconstructed; and how to read them.

Reconstructions show what decoder and code can do; samples add what the source of the codes spoils
(Dai & Wipf 2019; Ghosh et al. 2020).
"""

from __future__ import annotations

from sharpvae.report.numerals import decimals, fixed, percent, with_interval
from sharpvae.report.scores import Comparison
from sharpvae.report.tables import Table

SOURCES = {"fid": "Prior", "fid_mixture": "Mixture", "fid_reconstruction": "Reconstructions"}
CAVEAT = (
    "FIDs do not add up, and reconstructions have an advantage: they start from the test images "
    "themselves. So the differences say where to look, not how much each part costs."
)


def gap_table(comparison: Comparison) -> Table:
    """The three FIDs of every variant, and what their differences say."""
    means = [comparison.estimate(n, key).mean for n in comparison.variants for key in SOURCES]
    places = decimals(means)
    rows = []
    for name in comparison.variants:
        cells = [
            " ".join(with_interval(comparison.estimate(name, key), places, False)).rstrip()
            for key in SOURCES
        ]
        rows.append([name, *cells, reading(comparison, name, places)])
    return Table(["FID from", *SOURCES.values(), "Reading"], rows, {1, 2, 3})


def reading(comparison: Comparison, name: str, places: int) -> str:
    """One sentence on one variant; differences that `places` digits do not show count for none."""
    if comparison.collapsed(name):
        return "It has collapsed: the decoder ignores the codes, wherever they come from."
    prior, mixture, bottom = (
        float(fixed(comparison.estimate(name, key).mean, places)) for key in SOURCES
    )
    if prior <= bottom:
        return (
            "Samples are as near to real images as reconstructions are: the prior costs nothing "
            "that FID sees, and what is left to gain is the decoder's."
        )
    fault = (
        "the codes: the encoder does not put images where the prior draws"
        if prior - bottom > bottom
        else "the decoder: even reconstructions come out that far from real images"
    )
    if mixture >= prior:
        told = comparison.estimates[name]["class_agreement"] is not None
        apart = " Its codes are drawn apart from the classes asked for." if told else ""
        return f"Most of the distance lies with {fault}. The mixture does not help.{apart}"
    share = min(1.0, (prior - mixture) / (prior - bottom))
    gained = percent(share).lstrip("+")
    return (
        f"Most of the distance lies with {fault}. The mixture closes {gained} of the gap between "
        "prior and reconstructions."
    )
