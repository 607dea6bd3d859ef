"""One campaign: a reader is given many damaged inputs, and each outcome is counted."""

from __future__ import annotations

import ctypes
import gc
import resource
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sharpvae.core.errors import UserError, UserErrors
from sharpvae.core.files import worded
from sharpvae.datasets.decode import UnusableImageError

FAST, SLOW = 200, 10_000  # inputs of a campaign
SECONDS, BYTES = 2.0, 1_000_000_000  # that one input may cost
_LONGEST = 4200  # characters of one message
_ROOM = 4 << 30  # bytes beyond which memory is refused, or one bad input would end the machine
PROPERTY = "campaign"  # of a test's report, by which the summary finds it


def hostile(slow: int = SLOW) -> pytest.MarkDecorator:
    """Gives a test its `count` of inputs: few in the fast one, all in the slow one."""
    return pytest.mark.parametrize("count", [FAST, pytest.param(slow, marks=pytest.mark.slow)])


def some(share: float, of: int, least: int = 1) -> int:
    """How many of as many faults are tried."""
    return max(least, round(share * of))


def tell(
    request: pytest.FixtureRequest, name: str, right: int, refused: int = 0, cost: str = "",
    memory: str = "",
) -> None:  # fmt: skip
    """A row of the summary, of a campaign without a failure."""
    row = [name, str(right + refused), str(right), str(refused), "0", cost, memory]
    request.node.user_properties.append((PROPERTY, row))


@dataclass
class Tally:
    """What came of the inputs of a campaign; `worst` holds what one of them cost at most."""

    name: str
    right: int = 0
    refused: int = 0
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0
    memory: int = 0

    @property
    def line(self) -> list[str]:
        """As a row of the summary."""
        failed = len(self.failures)
        return [
            self.name, str(self.right + self.refused + failed), str(self.right),
            str(self.refused), str(failed), f"{self.seconds:.2f} s", f"{self.memory >> 20} MB",
        ]  # fmt: skip


def attack(
    request: pytest.FixtureRequest,
    name: str,
    inputs: Iterable[Any],
    read: Callable[[Any], Any],
    large: bool = False,
    seconds: float = SECONDS,
) -> Tally:
    """Give each of `inputs` to `read`, which has to return or to raise one clear error.

    Errors of the system that name their file are clear: `exit_code` has a message for each.

    Args:
        large: memory is looked at input by input, which takes milliseconds; else that of all of
            them together is an upper bound for one.

    Raises:
        AssertionError: another exception, a message that says nothing, or an input that cost more
            than `seconds` or `BYTES`.
    """
    tally, memory = Tally(name), _Memory()
    with memory.bounded():
        for index, item in enumerate(inputs):
            if large:
                memory.begin()
            began = time.process_time()
            try:
                read(item)
                tally.right += 1
            except (UserError, UnusableImageError) as error:
                tally.refused += 1
                if wrong := unclear(error):
                    tally.failures.append(f"input {index}: {wrong}")
            except OSError as error:
                if worded(error) is None:  # or the command ends with that message
                    tally.failures.append(f"input {index}: {error!r}\n{_shown(item)}")
                else:
                    tally.refused += 1
            except Exception as error:
                told = traceback.format_exception(error)[-3:]
                tally.failures.append(f"input {index}: {''.join(told)}\n{_shown(item)}")
            tally.seconds = max(tally.seconds, time.process_time() - began)
            if large:
                tally.memory = max(tally.memory, memory.held())
        tally.memory = max(tally.memory, memory.held())
    request.node.user_properties.append((PROPERTY, tally.line))
    assert not tally.failures, f"{len(tally.failures)} of them:\n" + "\n".join(tally.failures[:5])
    assert tally.seconds <= seconds and tally.memory <= BYTES, tally.line
    return tally


def unclear(error: UserError | UnusableImageError) -> str:
    """What a message lacks; "" where it says what it should."""
    if isinstance(error, UnusableImageError):
        return "" if str(error).strip() else "a reason without a word"
    for one in error.errors if isinstance(error, UserErrors) else [error]:
        if not (one.where and one.expected and one.found):
            return f"a part of the message is empty: {one}"
        if len(one.text()) > _LONGEST:
            return f"a message of {len(one.text())} characters: {one.text()[:300]}"
    return ""


def _shown(item: Any) -> str:
    text = repr(item)
    return text if len(text) < 1500 else f"{text[:1500]}..."


class _Memory:
    """What this process holds in memory, as Linux tells it; elsewhere 0, and without a bound."""

    def __init__(self) -> None:
        self._start = 0

    @contextmanager
    def bounded(self) -> Iterator[None]:
        """Refuse more than `_ROOM` bytes beside those that are held before the block."""
        self.begin()
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        if self._start:
            resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + _ROOM, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))

    def begin(self) -> None:
        """`held` counts from now on."""
        gc.collect()
        with suppress(OSError, AttributeError):  # what was freed, and would be used again unseen
            ctypes.CDLL(None).malloc_trim(0)
        try:
            Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        except OSError:
            return
        self._start = _status("VmHWM")

    def held(self) -> int:
        """The most bytes that were held at a time, beside those at the start."""
        return max(0, _status("VmHWM") - self._start) if self._start else 0


def _status(key: str) -> int:
    """A line of /proc/self/status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:")) << 10
