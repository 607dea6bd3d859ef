from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpvae.datasets.choose import (
    MOST,
    apportion,
    assign_splits,
    drop_straddling,
    quotas,
    ranking,
    round_half_up,
    subset_count,
)
from sharpvae.images.packed import SPLITS

names = st.lists(st.text(max_size=6), unique=True, max_size=40)
sizes = st.dictionaries(st.integers(0, 9), st.integers(0, 60), min_size=1)
fractions = st.floats(0.01, 0.45)


@given(names, st.integers(0, 5), st.randoms())
def test_a_ranking_does_not_depend_on_the_order_of_listing(
    given_names: list[str], seed: int, shuffler: random.Random
) -> None:
    ranked = [given_names[i] for i in ranking(given_names, seed)]
    assert sorted(ranked) == sorted(given_names)
    shuffled = list(given_names)
    shuffler.shuffle(shuffled)
    assert [shuffled[i] for i in ranking(shuffled, seed)] == ranked


def test_a_ranking_depends_on_the_seed_and_looks_random() -> None:
    many = [str(i) for i in range(2000)]
    first, second = ranking(many, 0), ranking(many, 1)
    assert (first != second).mean() > 0.99
    assert abs(np.corrcoef(first, np.arange(2000))[0, 1]) < 0.1  # about 4.5 sigma


def test_a_ranking_is_the_same_on_every_machine() -> None:
    """The order of `printf 0/a | sha256sum` and so on, worked out by hand."""
    assert "".join("abcdef"[i] for i in ranking("abcdef", 0)) == "fcbeda"


@given(sizes, st.data())
def test_shares_add_up_and_are_proportional(strata: dict[int, int], data: st.DataObject) -> None:
    whole = sum(strata.values())
    total = data.draw(st.integers(0, whole))
    shares = apportion(total, strata)
    assert sum(shares.values()) == total
    for key, size in strata.items():
        assert 0 <= shares[key] <= size
        if whole:
            assert abs(shares[key] - total * size / whole) < 1


@pytest.mark.parametrize("total", [-1, 4])
def test_no_share_of_more_than_there_is(total: int) -> None:
    with pytest.raises(ValueError, match="cannot take"):
        apportion(total, {"a": 3})


strata_sizes = st.lists(st.integers(0, 30), min_size=1, max_size=6)


@given(strata_sizes, st.data())
def test_a_larger_subset_contains_the_smaller_one(sizes: list[int], draw: st.DataObject) -> None:
    whole = dict(enumerate(sizes))
    total = draw.draw(st.integers(0, max(0, sum(sizes) - 1)))
    if sum(sizes) == 0:
        return
    fewer, more = quotas(total, whole), quotas(total + 1, whole)
    assert sum(fewer.values()) == total
    assert sum(more.values()) == total + 1
    assert all(fewer[key] <= more[key] <= sizes[key] for key in whole)
    exact = {key: total * size / sum(sizes) for key, size in whole.items()}
    assert all(abs(fewer[key] - exact[key]) < 1 + len(sizes) / 2 for key in whole)


def test_equal_classes_get_equal_shares() -> None:
    assert quotas(30, dict.fromkeys("abc", 500)) == dict.fromkeys("abc", 10)
    shares = [list(quotas(total, {"a": 6, "b": 6, "c": 2}).values()) for total in (9, 10, 11, 12)]
    assert shares == [[4, 4, 1], [5, 4, 1], [5, 5, 1], [5, 5, 2]]
    with pytest.raises(ValueError, match="cannot take"):
        quotas(4, {"a": 3})


def test_subsets_are_counts_fractions_or_everything() -> None:
    assert subset_count(None, 70) == 70
    assert subset_count(1, 70) == 1
    assert subset_count(1.0, 70) == 70
    assert subset_count(0.1, 75) == 8
    assert subset_count(100, 70) == 70
    assert [round_half_up(x) for x in (0.5, 1.5, 2.5, 2.4)] == [1, 2, 3, 2]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=200), fractions, fractions)
def test_splits_are_stratified(classes: list[int], test: float, validation: float) -> None:
    splits = assign_splits(classes, None, frozenset(), test, validation)
    counts = Counter(splits.tolist())
    assert counts["test"] == round_half_up(test * len(classes))
    rest = len(classes) - counts["test"]
    assert counts["validation"] == round_half_up(validation * rest)
    for value, size in Counter(classes).items():
        mine = splits[np.array(classes) == value]
        share = counts["test"] / len(classes)
        assert abs((mine == "test").sum() - share * size) < 1


def test_of_very_many_images_no_share_is_set_apart_but_a_number() -> None:
    """Stratified as ever: of classes of one and of three parts."""
    classes = np.arange(10 * MOST) % 4 // 3
    counts = Counter(zip(assign_splits(classes, None, frozenset(), 0.2, 0.4), classes, strict=True))
    for split in ("test", "validation"):
        assert [counts[split, value] for value in (0, 1)] == [MOST * 3 // 4, MOST // 4]


@given(st.lists(st.booleans(), min_size=1, max_size=100), fractions)
def test_a_test_split_of_the_publishers_is_kept(own: list[bool], validation: float) -> None:
    codes = np.array([2 if test else 0 for test in own], dtype=np.int8)
    both = frozenset(("train", "test"))
    splits = assign_splits([0] * len(own), codes, both, 0.9, validation)
    assert ((splits == "test") == np.array(own)).all()  # none, where a subset holds none of it
    assert (splits == "validation").sum() == round_half_up(validation * own.count(False))


@given(st.lists(st.sampled_from([0, 1, 2]), min_size=1, max_size=100))
def test_a_validation_split_of_the_publishers_is_kept(own: list[int]) -> None:
    codes = np.array(own, dtype=np.int8)
    splits = assign_splits([0] * len(codes), codes, frozenset(SPLITS), 0.9, 0.9)
    assert [SPLITS.index(split) for split in splits] == codes.tolist()


@given(
    st.lists(
        st.tuples(st.sampled_from(["train", "validation", "test"]), st.integers(0, 8)),
        min_size=1, max_size=80,
    )
)  # fmt: skip
def test_equal_images_never_straddle(images: list[tuple[str, int]]) -> None:
    splits = np.array([split for split, _ in images])
    digests = [bytes([value]) for _, value in images]
    stays = drop_straddling(splits, digests)
    assert stays[splits == "test"].all()
    where: dict[bytes, set[str]] = {}
    for split, digest, kept in zip(splits, digests, stays, strict=True):
        if kept:
            where.setdefault(digest, set()).add(split)
    assert all(len(found) == 1 for found in where.values())
    assert set(where) == set(digests)  # no image vanishes altogether
