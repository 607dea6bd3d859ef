"""Mutations of bytes and of trees of values: as many as are asked for, the same every time."""

from __future__ import annotations

import datetime
import math
import random
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

SEED = 20_261_127
_NUMBERS = (0, 1, -1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)
_WORDS = ("B", "<H", ">H", "<I", ">I", "<Q", ">Q")
_DIGITS = (b"0", b"-1", b"3", b"65536", b"1000000", b"4294967296", b"1e9", b"9" * 30, b"9" * 5000)
_LONGEST = 1 << 16  # bytes of an input, so that its size alone costs nothing

Mutation = Callable[[random.Random, bytes, Sequence[bytes]], bytes]


def _place(draw: random.Random, data: bytes) -> int:
    """Anywhere, more often near the front and the end, where formats keep their tables."""
    if draw.random() < 0.5:
        return draw.randrange(len(data) + 1)
    near = min(len(data), draw.randrange(1, 65))
    return near if draw.random() < 0.5 else len(data) - near


def _span(draw: random.Random, data: bytes) -> tuple[int, int]:
    start = _place(draw, data)
    return start, min(len(data), start + draw.choice((1, 2, 4, 16, 64, 512)))


def flip(draw: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    place = min(_place(draw, data), len(data) - 1)
    return data[:place] + bytes([data[place] ^ 1 << draw.randrange(8)]) + data[place + 1 :]


def change(draw: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    place = min(_place(draw, data), len(data) - 1)
    return data[:place] + bytes([draw.randrange(256)]) + data[place + 1 :]


def truncate(draw: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    return data[: _place(draw, data)]


def cut(draw: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    start, end = _span(draw, data)
    return data[:start] + data[end:]


def insert(draw: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    place = _place(draw, data)
    return data[:place] + draw.randbytes(draw.choice((1, 2, 4, 16, 64))) + data[place:]


def duplicate(draw: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    start, end = _span(draw, data)
    return data[:end] + data[start:end] * draw.choice((1, 1, 2, 8, 1000)) + data[end:]


def splice(draw: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    other = draw.choice(others)
    return data[: _place(draw, data)] + other[_place(draw, other) :]


def number(draw: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """An extreme one where a length or an offset may stand."""
    word, place = draw.choice(_WORDS), _place(draw, data)
    size = struct.calcsize(word)
    value = (draw.choice(_NUMBERS) + draw.choice((0, 0, 1, -1))) % 256**size
    return data[:place] + struct.pack(word, value) + data[place + size :]


def digits(draw: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Another number where one stands as text."""
    found = list(re.finditer(rb"\d+", data))
    if not found:
        return number(draw, data, others)
    chosen = draw.choice(found)
    return data[: chosen.start()] + draw.choice(_DIGITS) + data[chosen.end() :]


def blank(draw: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    start, end = _span(draw, data)
    return data[:start] + bytes([draw.choice((0, 0xFF))]) * (end - start) + data[end:]


def noise(draw: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Nothing but random bytes behind the first few."""
    return data[: draw.choice((0, 4, 16))] + draw.randbytes(draw.randrange(256))


ANY: tuple[Mutation, ...] = (
    flip, flip, change, change, truncate, cut, insert, duplicate, splice, number, number, digits,
    blank, noise,
)  # fmt: skip


def mutants(
    seeds: Sequence[bytes], count: int, special: Sequence[Mutation] = ()
) -> Iterator[bytes]:
    """Damaged copies of `seeds`, each by one to three mutations.

    Args:
        special: mutations that know the format; they are half of all where there are any.
    """
    draw = random.Random(SEED)
    for _ in range(count):
        data = draw.choice(seeds)
        for _ in range(draw.choice((1, 1, 1, 2, 3))):
            known = special and draw.random() < 0.5
            if data:
                data = draw.choice(special if known else ANY)(draw, data, seeds)
        yield data[:_LONGEST]


# What may stand in a file of settings, and hardly any key means.
ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 3, 0.5, 1e308, -1e-300, math.nan, math.inf, 2**31, 2**63 - 1,
    2**64, 10**400, "", " ", "auto", "a.b", "../..", "~nobody/x", "x" * 5000, "a\0b", "\ud800",
    "\x1b[31m", "null", "1:30", [], [[]], [None], [0, 0], [2**31] * 3, ["a", 1], {}, {"a": 1},
    {"": ""}, {1: 2}, {None: {}}, {("a", 1): "b"}, b"bytes", {1, 2}, datetime.date(2024, 2, 29),
    datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC),
)  # fmt: skip
PLAIN = ODD[: ODD.index({"": ""}) + 1]  # which JSON has, too

Path = tuple[Any, ...]


def paths(tree: Any, above: Path = ()) -> Iterator[Path]:
    """Where values stand, from the top down."""
    parts = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in parts:
        yield (*above, key)
        if isinstance(value, dict | list):
            yield from paths(value, (*above, key))


def found_at(tree: Any, path: Path) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def replaced(tree: Any, path: Path, change: Callable[[Any, Any], None]) -> Any:
    """A copy of `tree` of which `change` was given the parent and the key; the rest is shared."""
    copy = tree.copy()
    if len(path) > 1:
        copy[path[0]] = replaced(tree[path[0]], path[1:], change)
    else:
        change(copy, path[0])
    return copy


def _rename(parent: Any, key: Any, other: Any) -> None:
    value = parent.pop(key)
    if isinstance(parent, list):
        parent.append(value)
    else:
        parent[other if other.__hash__ is not None else str(other)] = value


def tree_mutants(
    trees: Sequence[Any], count: int, odd: Sequence[Any] = ODD, within: Path = ()
) -> Iterator[Any]:
    """Copies of `trees` in which one to three values are others, keys missing, added or renamed.

    Args:
        odd: values to put in.
        within: where two in three changes are made; anywhere without it.
    """
    draw = random.Random(SEED)
    known = [list(paths(tree)) for tree in trees]
    inner = [[path for path in own if path[: len(within)] == within] for own in known]
    for _ in range(count):
        index = draw.randrange(len(trees))
        tree = trees[index]
        for _ in range(draw.choice((1, 1, 1, 2, 3))):
            path = draw.choice(inner[index] if draw.random() < 0.67 else known[index])
            other = found_at(trees[index], draw.choice(known[index]))
            # An earlier change may have taken that place away.
            with suppress(KeyError, IndexError, TypeError, AttributeError):
                tree = replaced(tree, path, _tree_change(draw, other, odd))
        yield tree


def _tree_change(draw: random.Random, other: Any, odd: Sequence[Any]) -> Callable[[Any, Any], None]:
    value, kind = draw.choice(odd), draw.randrange(8)

    def make(parent: Any, key: Any) -> None:
        old = parent[key]
        if kind <= 2:
            parent[key] = value
        elif kind == 3:
            parent[key] = other
        elif kind == 4:
            del parent[key]
        elif kind == 5:
            _rename(parent, key, value if draw.random() < 0.5 else other)
        elif kind == 6:
            parent[key] = [old] if draw.random() < 0.5 else {"a": old}
        elif isinstance(parent, list):
            parent.insert(0, value)
        else:
            parent[f"{key}x"] = value

    return make
