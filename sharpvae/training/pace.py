"""How fast a training goes, and how long it still takes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable

from sharpvae.training.records import Epoch, Step

_UPDATES = 1000  # of which the mean is taken: an adversary that sets in makes them dearer for good
_SPANS = 20  # between two looks at the numbers; the rate is the mean over so many


class Pace:
    """Measures updates and the ends of epochs apart, so that neither passes for the other.

    An epoch is its first update, which waits for the loader and for whatever came after the last
    epoch's record; its other updates; and its end: validation, and all that is done before `epoch`
    is told. Each kind has a mean of its own, and the time left is what is still to come of each.
    Only what this process did counts, and not its very first update, in which memory is allotted,
    kernels are chosen and torch.compile runs.

    Call `step` and `epoch` for every record, as soon as it comes or, for an epoch, after film and
    loggers; but always alike.

    Args:
        epochs: of the whole training.
        steps_per_epoch: updates an epoch, >= 1.
        clock: seconds, never going back.
        kind: of an epoch by its number, such as whether FID is measured and a frame filmed after
            it. Epochs of one kind cost the same.
    """

    def __init__(
        self,
        epochs: int,
        steps_per_epoch: int,
        clock: Callable[[], float] = time.monotonic,
        kind: Callable[[int], Hashable] = lambda epoch: None,
    ) -> None:
        self.epochs, self.steps, self.clock, self.kind = epochs, steps_per_epoch, clock, kind
        self.at: float | None = None  # the last record, and where in the training that was:
        self.epoch_now, self.done, self.validated = 1, 0, False
        self.updates: deque[float] = deque(maxlen=_UPDATES)
        self.firsts, self.ends = _Means(), _Means()
        self.images = 0  # of the last update
        self.look: tuple[int, float] | None = None  # epoch and time of the last one at the numbers
        self.unseen = 0  # images since then
        self.spans: deque[tuple[float, int]] = deque(maxlen=_SPANS)

    def step(self, record: Step) -> None:
        """An update is done."""
        now = self.clock()
        if self.at is not None:
            if record.done == 1:
                self.firsts.add(self.kind(record.epoch - 1), now - self.at)
            else:
                self.updates.append(now - self.at)
        self._span(record, now)
        self.at, self.images = now, record.images
        self.epoch_now, self.done, self.validated = record.epoch, record.done, False

    def epoch(self, record: Epoch) -> None:
        """An epoch is done, and validated."""
        now = self.clock()
        if self.at is not None:
            self.ends.add(self.kind(record.epoch), now - self.at)
        self.at, self.epoch_now, self.done, self.validated = now, record.epoch, self.steps, True
        if record.last:
            self.epochs = record.epoch

    def left(self) -> float | None:
        """Seconds until training ends, as of the last record; None while too little is known.

        Until an epoch has ended here, what comes after its updates is not in it.
        """
        others = (self.epochs - self.epoch_now + 1) * (self.steps - 1)
        others -= max(self.done - 1, 0)
        update = sum(self.updates) / len(self.updates) if self.updates else None
        if self.at is None or (update is None and others > 0):
            return None
        left = others * (update or 0.0)
        for epoch in range(self.epoch_now + 1, self.epochs + 1):
            first = self.firsts.mean(self.kind(epoch - 1))
            first = update if first is None else first
            if first is None:
                return None
            left += first
        for epoch in range(self.epoch_now + self.validated, self.epochs + 1):
            left += self.ends.mean(self.kind(epoch)) or 0.0
        return left

    def rate(self) -> float | None:
        """Images a second while updates are done, all processes together; None at first.

        From look to look at the numbers, where there are two in an epoch: a GPU's updates are only
        asked for in between, and seem done before they are.
        """
        seconds, images = sum(t for t, _ in self.spans), sum(n for _, n in self.spans)
        if not self.spans:
            seconds, images = sum(self.updates), len(self.updates) * self.images
        if images == 0 and self.steps == 1:
            seconds, images = self.firsts.total, self.firsts.count * self.images
        return images / seconds if seconds > 0 else None

    def _span(self, record: Step, now: float) -> None:
        """Count the images between two looks at the numbers in one epoch."""
        self.unseen += record.images
        if record.numbers is None:
            return
        if self.look is not None and self.look[0] == record.epoch:
            self.spans.append((now - self.look[1], self.unseen))
        self.look, self.unseen = (record.epoch, now), 0


class _Means:
    """The mean of each kind of value."""

    def __init__(self) -> None:
        self.total, self.count = 0.0, 0
        self.kinds: dict[Hashable, tuple[float, int]] = {}

    def add(self, kind: Hashable, value: float) -> None:
        total, count = self.kinds.get(kind, (0.0, 0))
        self.kinds[kind] = total + value, count + 1
        self.total, self.count = self.total + value, self.count + 1

    def mean(self, kind: Hashable) -> float | None:
        """Of this kind, else of all; None before the first."""
        total, count = self.kinds.get(kind, (self.total, self.count))
        return total / count if count else None
