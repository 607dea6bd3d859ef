"""An iterator that a background thread runs a few items ahead of its consumer."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


class _End:
    """Stands for the item after the last one."""


def prefetch(items: Iterable[Item], ahead: int) -> Iterator[Item]:
    """The items of `items` in their order, made by a thread of its own.

    The thread starts with the first item asked for and is gone once the iterator is exhausted,
    closed or dropped, after the item that it is making by then, if any.

    Args:
        items: iterated in that thread alone.
        ahead: how many items may be made and not yet taken; at least 1.

    Raises:
        Exception: whatever `items` raises, in the place of the item it failed to make.
    """
    source, end = iter(items), _End()
    workers: set[int] = set()
    pool = ThreadPoolExecutor(1, "prefetch", initializer=lambda: workers.add(threading.get_ident()))
    try:
        pending = deque(pool.submit(next, source, end) for _ in range(ahead))
        while not isinstance(item := pending.popleft().result(), _End):
            pending.append(pool.submit(next, source, end))
            yield item
    finally:
        # The garbage collector may close this in the worker itself, which cannot await its end.
        pool.shutdown(wait=threading.get_ident() not in workers, cancel_futures=True)
