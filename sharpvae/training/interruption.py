"""Ctrl-C and its kin, put off until the update under way is whole."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from sharpvae.processes import launched

# Ctrl-C; what schedulers and `kill` send before they use force; a closed terminal.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """Whether somebody has asked the process to end."""

    def __init__(self) -> None:
        self.asked = False


@contextmanager
def put_off() -> Iterator[Interruption]:
    """Within the block a first signal is only noted; a second one interrupts at once.

    Signals that are ignored stay so, as SIGINT in a background job or SIGHUP under nohup. One of
    several processes only ever notes, and hears its launcher even where that was told to ignore:
    SLURM and the launcher may both tell it to end, and the launcher kills what does not. Call it in
    the main thread.
    """
    noted = Interruption()

    def note(number: int, frame: FrameType | None) -> None:
        if noted.asked and not launched():
            raise KeyboardInterrupt
        noted.asked = True

    before = {number: signal.getsignal(number) for number in SIGNALS}
    used = [n for n, handler in before.items() if launched() or handler is not signal.SIG_IGN]
    for number in used:
        signal.signal(number, note)
    try:
        yield noted
    finally:
        for number in used:
            signal.signal(number, before[number])
