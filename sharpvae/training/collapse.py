"""A watch on posterior collapse: the code that has stopped saying anything about the image."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sharpvae.config.loss_schema import LossConfig
from sharpvae.training.records import Epoch

# Nats of an image's KL. The mean KL bounds from above what the code tells of the image (Hoffman &
# Johnson 2016, ELBO surgery), and under ln 2 it cannot even tell in which half of the images it is.
NOTHING = math.log(2)
_RECOVERED = 2 * NOTHING  # above it a collapse is over: a KL that hovers must not warn every epoch
_PATIENCE = 2  # epochs in which it must be seen: the first finds a code that nobody has learnt yet
_FULL = 0.99  # of loss.beta; beta may come from a float32


class CollapseWatch:
    """Looks at the validation of each epoch; what it knows follows from the history alone.

    Collapsed is a posterior whose KL in total is under ln 2 nats, or of which no dimension is
    active. Either alone would miss some: dimensions are also inactive where each image has the same
    posterior off the prior, at whatever KL (free bits and a KL floor invite that, since they make
    such a KL free); and the means of many dimensions may each vary over images, yet drown in noise.

    It says nothing
    - where `loss.beta` is 0: no KL pulls, and a code that nothing holds at the scale of the prior
      may tell images apart by means that vary by less than the 0.01 of an active unit;
    - while beta is below its full value, in a warm-up, in the rise of a cycle or under a controller
      (`loss.kl_share`), which lets go of beta long before: the KL will be another one there;
    - of a small KL where `loss.kl_floor` or `loss.free_bits` make so much free: beta cannot have
      pulled it there. No active dimension is a collapse there too.

    Args:
        loss: of the variant.
    """

    def __init__(self, loss: LossConfig) -> None:
        self.loss = loss
        self.seen = 0  # epochs in a row
        self.warned = False

    def epoch(self, record: Epoch) -> str | None:
        """A warning, once; again only if the code came back in between.

        Args:
            record: the next epoch in order.
        """
        if self.loss.beta == 0:
            return None
        kl, active = record.validation["kl"], record.active_units
        if self._collapsed(record):
            # What came before the full beta does not count, but does not end a collapse either.
            self.seen += record.beta >= _FULL * self.loss.beta
        else:
            self.seen = 0
        if kl > _RECOVERED and active > 0:
            self.warned = False
        if self.warned or self.seen < _PATIENCE:
            return None
        self.warned = True
        return self._warning(record)

    def replay(self, history: Sequence[Epoch]) -> None:
        """Come to know what a watch over `history` from its beginning knows."""
        for record in history:
            self.epoch(record)

    def _collapsed(self, record: Epoch) -> bool:
        free = max(self.loss.kl_floor, self.loss.free_bits * len(record.kl_per_dimension))
        small = record.validation["kl"] < NOTHING and free < NOTHING
        return small or record.active_units == 0

    def _warning(self, record: Epoch) -> str:
        loss, schedule = self.loss, self.loss.schedules.beta
        rise = (
            "give beta a warm-up (loss.schedules.beta.shape: linear, and its length)"
            if schedule.shape == "constant"
            else f"lengthen loss.schedules.beta.length (now {schedule.length:g} {schedule.unit})"
        )
        share = f" or loss.kl_share (now {loss.kl_share:g})" if loss.kl_share > 0 else ""
        return (
            f"posterior collapse, seen in epoch {record.epoch}: the KL of the validation images is "
            f"{record.validation['kl']:.3g} nats, and {record.active_units} of "
            f"{len(record.kl_per_dimension)} latent dimensions are active. The code says next to "
            "nothing about the image, so all reconstructions and samples will look alike.\n"
            f"  do this: lower loss.beta (now {loss.beta:g}){share}; {rise}; "
            f"set loss.free_bits (now {loss.free_bits:g}, a dimension) "
            f"or loss.kl_floor (now {loss.kl_floor:g}), nats that cost nothing"
        )
