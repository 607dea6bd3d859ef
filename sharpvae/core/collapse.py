"""The one rule for posterior collapse, for a running training and for the report alike."""

from __future__ import annotations

import math

# Nats of an image: with less a code cannot even tell in which half of the images one is.
NOTHING = math.log(2)


def collapsed(kl: float, signals: int, information: float | None = None) -> tuple[bool, str]:
    """Whether a code tells less than ln 2 nats of its image, and a sentence that says so.

    What it tells, the mutual information, is never known, but bounds from above are, and the lowest
    decides. The KL is one (Hoffman and Johnson 2016, ELBO surgery). It can be large all the same
    where every image has the same posterior, under free bits or a KL floor; hence the second,
    `information`, which a running training does not have. In its place no moving mean at all counts
    as no information. The share of active units is no sign: a code of 1 dimension in 500 may tell
    all there is to tell, and 500 that move may move less than their noise.

    Args:
        kl: nats an image, summed over dimensions, >= 0.
        signals: axes that carry a signal, else active units; >= 0.
        information: a bound in nats, such as `sharpvae.scoring.latent.KLSplit.information`.

    Raises:
        ValueError: a number that is NaN or negative by more than rounding.
    """
    bounds = [kl] if information is None else [kl, information]
    for value in (*bounds, signals):
        if not value > -1e-3:  # float32 sums may fall below 0
            raise ValueError(f"KL, information and signals are at least 0, not {value}")
    still = information is None and signals == 0
    most = 0.0 if still else max(min(bounds), 0.0)
    if most < NOTHING:
        reason = (
            f"the codes of all images are the same, whatever the KL ({kl:.3g} nats)"
            if still
            else f"its codes tell at most {most:.3g} nats of an image, and it takes {NOTHING:.3g} "
            "to tell in which half of all images one is"
        )
        return True, f"collapsed: {reason}"
    what = "axis carries" if signals == 1 else "axes carry"
    return False, f"not collapsed: {signals} {what} up to {most:.3g} nats of an image"
