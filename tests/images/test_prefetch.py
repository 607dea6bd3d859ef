"""A thread that runs ahead by so many items, fails where it failed, and never stays behind."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpvae.images.feed import prefetch

TOP = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert until(lambda: set(threading.enumerate()) <= before), threading.enumerate()


def until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """Wait for `condition`; whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.002)
    return condition()


class Counted:
    """0, 1, 2 ... with a note of how many were made, by which threads, and whether it was closed.

    failing: the item in whose place a ValueError is raised.
    """

    def __init__(self, failing: int | None = None) -> None:
        self.failing, self.made, self.closed = failing, 0, False
        self.threads: set[int] = set()

    def __iter__(self) -> Iterator[int]:
        try:
            while True:
                self.threads.add(threading.get_ident())
                if self.made == self.failing:
                    raise ValueError(f"no item {self.made}")
                self.made += 1
                yield self.made - 1
        finally:
            self.closed = True


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]


@given(st.lists(st.none() | st.integers()), st.integers(1, 9))
def test_every_item_comes_once_and_in_order(items: list[int | None], ahead: int) -> None:
    assert list(prefetch(iter(items), ahead)) == items


def test_one_other_thread_makes_them_all() -> None:
    source = Counted()
    items = prefetch(source, 2)
    assert [next(items) for _ in range(20)] == list(range(20))
    assert len(source.threads) == 1 and threading.get_ident() not in source.threads


def test_nothing_runs_before_the_first_item_is_asked_for() -> None:
    source = Counted()
    items = prefetch(source, 3)
    assert workers() == [] and source.made == 0
    next(items)
    assert len(workers()) == 1


@pytest.mark.parametrize("ahead", [1, 2, 5])
def test_it_runs_ahead_so_far_and_no_further(ahead: int) -> None:
    source = Counted()
    items = prefetch(source, ahead)
    for taken in range(1, 4):
        next(items)
        assert until(lambda due=taken + ahead: source.made == due)
        time.sleep(0.02)
        assert source.made == taken + ahead


def test_a_failure_comes_in_the_place_of_its_item() -> None:
    items, taken = prefetch(Counted(failing=3), 8), list[int]()
    with pytest.raises(ValueError, match="no item 3") as caught:
        taken.extend(items)
    assert taken == [0, 1, 2]
    assert caught.traceback[-1].name == "__iter__", "it shows where it was raised"
    assert list(items) == [], "and then it is over"
    assert workers() == []


def test_what_cannot_be_iterated_fails_at_once() -> None:
    with pytest.raises(TypeError):
        next(prefetch(5, 1))  # type: ignore[arg-type]


def test_closing_stops_the_thread_at_once() -> None:
    source = Counted()
    items = prefetch(source, 3)
    next(items)
    items.close()  # type: ignore[attr-defined]
    assert workers() == []
    made = source.made
    time.sleep(0.02)
    assert source.made == made
    assert source.closed, "the source can let go of its files"


def test_breaking_out_of_a_loop_stops_the_thread() -> None:
    for item in prefetch(Counted(), 3):
        if item == 4:
            break
    assert workers() == []


def test_a_failing_consumer_stops_the_thread() -> None:
    def consume() -> None:
        for item in prefetch(Counted(), 3):
            1 / item

    with pytest.raises(ZeroDivisionError):
        consume()
    assert workers() == []


def test_closing_waits_for_the_item_in_the_making() -> None:
    started, finished = threading.Event(), threading.Event()

    def source() -> Iterator[int]:
        yield 0
        started.set()
        time.sleep(0.1)
        finished.set()
        yield 1

    items = prefetch(source(), 1)
    next(items)
    started.wait()
    items.close()  # type: ignore[attr-defined]
    assert finished.is_set() and workers() == []


def test_the_collector_may_drop_it_in_its_own_thread() -> None:
    """A consumer in a reference cycle is collected by whichever thread happens to allocate."""
    dropped, collected = threading.Event(), threading.Event()

    def source() -> Iterator[int]:
        yield 0
        dropped.wait()
        gc.collect()
        collected.set()
        yield 1

    items = prefetch(source(), 1)
    next(items)
    cycle: list[object] = [items]
    cycle.append(cycle)
    gc.disable()
    try:
        del items, cycle
        dropped.set()
        assert collected.wait(10) and until(lambda: workers() == [])
    finally:
        gc.enable()


def test_a_program_ends_though_it_holds_one() -> None:
    code = (
        "import itertools; from sharpvae.images.feed import prefetch; "
        "items = prefetch(itertools.count(), 3); next(items)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=30, cwd=TOP)


def test_many_abandoned_ones_leave_no_thread() -> None:
    for _ in range(50):
        next(prefetch(Counted(), 2))
    assert workers() == []
