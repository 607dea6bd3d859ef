"""Work on all cores, its results in the order in which it was asked."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD = 3  # pieces of work a thread that wait for their turn, so that none runs dry


def on_all_cores(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """`work` of each item, in order; few results are held at a time.

    In threads: images are decoded, resized and hashed outside of Python's lock, and threads start
    at once, share open archives and die with the process. Where the consumer stops, so do they.

    Raises:
        whatever `work` raises, at the turn of its item.
    """
    workers = cores()
    if workers == 1 or len(items) < 2:
        yield from map(work, items)
        return
    pending: deque[Future[Result]] = deque()
    threads = ThreadPoolExecutor(workers)
    try:
        for item in items:
            pending.append(threads.submit(work, item))
            if len(pending) > _AHEAD * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        threads.shutdown(cancel_futures=True)


def cores() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
