from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpvae.datasets import decode as parallel
from sharpvae.datasets.decode import cores, on_all_cores


@pytest.mark.parametrize("workers", [1, 2, 5])
@given(items=st.lists(st.integers(), max_size=60))
@settings(max_examples=20, deadline=None)
def test_results_come_in_order(workers: int, items: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "cores", lambda: workers)
        assert list(on_all_cores(lambda item: item * 2, items)) == [item * 2 for item in items]


def test_the_slow_first_one_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: 3)

    def work(item: int) -> int:
        time.sleep(0.05 if item == 0 else 0)
        return item

    assert list(on_all_cores(work, range(20))) == list(range(20))


def test_few_results_are_held_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: 2)
    started: list[int] = []
    results = on_all_cores(lambda item: started.append(item) or item, range(1000))
    assert next(results) == 0
    time.sleep(0.05)
    assert len(started) <= 10
    results.close()


def test_an_error_comes_at_its_turn_and_ends_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: 2)
    done: list[int] = []

    def work(item: int) -> int:
        if item == 5:
            raise ValueError("five")
        done.append(item)
        return item

    results = on_all_cores(work, range(1000))
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="five"):
        next(results)
    assert len(done) < 20


def test_no_thread_is_left_where_the_consumer_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: 3)
    before = threading.active_count()
    for number, _ in enumerate(on_all_cores(lambda item: item, range(100))):
        if number == 3:
            break
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


def test_there_is_a_core() -> None:
    assert cores() >= 1
