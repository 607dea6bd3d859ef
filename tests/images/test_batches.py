"""Every image once an epoch, in an order that (seed, epoch) decides, wherever the bytes lie."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sharpvae.images.feed import Batch, Feed, chunks, fits, to_float, to_uint8
from sharpvae.images.packed import Split, load_split, write_images

REPOSITORY = Path(__file__).parents[2]
CPU = torch.device("cpu")
COUNTS, SIZES, SEEDS = st.integers(1, 150), st.integers(1, 150), st.integers(0, 2**40)


def numbered(count: int, channels: int = 1, labelled: bool = True) -> Split:
    """Image i holds noise, and i in the left half of its first row; its label is i.

    Images are uint8 [N, 4, 6, C] and read-only, as a memory map is.
    """
    images = np.random.default_rng(0).integers(0, 256, (count, 4, 6, channels), dtype=np.uint8)
    images[:, 0, :3] = np.arange(count)[:, None, None] % 256
    images.flags.writeable = False
    return Split(images, np.arange(count) if labelled else None)


def feed(split: Split, resident: bool | None = None) -> Feed:
    return Feed(split, CPU, resident)


def labels_of(batches: Iterable[Batch]) -> list[int]:
    return [int(label) for batch in batches for label in batch.labels]


def same(one: Iterable[Batch], other: Iterable[Batch]) -> bool:
    """Bit for bit, batch for batch."""
    pairs = zip(list(one), list(other), strict=True)
    return all(
        torch.equal(a.images, b.images)
        and a.images.stride() == b.images.stride()
        and (a.labels is b.labels is None or torch.equal(a.labels, b.labels))
        for a, b in pairs
    )


def test_bytes_survive_the_way_to_float_and_back() -> None:
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(to_float(every)), every)
    assert to_float(every).max() == 1 and to_float(every).min() == 0


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("resident", [True, False])
def test_a_feed_says_what_it_feeds(channels: int, resident: bool) -> None:
    made = feed(numbered(7, channels), resident)
    assert (made.count, made.channels, made.image_size, made.pixels) == (
        7,
        channels,
        4,
        24 * channels,
    )
    assert made.device == CPU and made.resident is resident
    assert made.labels.tolist() == list(range(7))
    assert feed(numbered(7, labelled=False)).labels is None


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("flip", [True, False])
def test_batches_are_float_channels_last_and_exact(
    channels: int, resident: bool, flip: bool
) -> None:
    split = numbered(10, channels)
    made = feed(split, resident)
    ways = (made.shuffled(5, 0, 1, flip), made.in_order(5), [made.take(torch.arange(5))])
    for batch in (batch for way in ways for batch in way):
        assert batch.images.shape == (5, channels, 4, 6)
        assert batch.images.dtype == torch.float32 and batch.labels.dtype == torch.int64
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
    exact = split.images.astype(np.float32) / np.float32(255)
    batches = list(made.in_order(4))
    assert [len(batch.images) for batch in batches] == [4, 4, 2]
    whole = torch.cat([batch.images for batch in batches])
    assert np.array_equal(whole.permute(0, 2, 3, 1).numpy(), exact)
    assert labels_of(batches) == list(range(10))


@given(COUNTS, SIZES, SEEDS, st.integers(1, 1000))
def test_an_epoch_is_a_permutation_without_its_ragged_end(
    count: int, size: int, seed: int, epoch: int
) -> None:
    batches = list(feed(numbered(count)).shuffled(size, seed, epoch))
    assert all(len(batch.images) == len(batch.labels) == size for batch in batches)
    seen = labels_of(batches)
    assert len(seen) == len(set(seen)) == count // size * size > count - size
    assert set(seen) <= set(range(count))


@given(COUNTS, SIZES, SEEDS, st.booleans(), st.booleans())
def test_labels_stay_with_their_images(
    count: int, size: int, seed: int, flip: bool, resident: bool
) -> None:
    made = feed(numbered(count), resident)
    for batch in (*made.shuffled(size, seed, 1, flip), *made.in_order(size)):
        bytes_ = to_uint8(batch.images)[:, 0, 0]
        for row, label in zip(bytes_, batch.labels % 256, strict=True):
            assert (row[:3] == label).all() or (row[3:] == label).all()


@given(st.integers(1, 60), st.integers(1, 20), SEEDS, st.booleans(), st.booleans())
def test_an_epoch_taken_up_at_a_batch_goes_on_as_it_would_have(
    count: int, size: int, seed: int, flip: bool, resident: bool
) -> None:
    made = feed(numbered(count), resident)
    whole = list(made.shuffled(size, seed, 4, flip))
    for start in range(len(whole) + 1):
        assert same(feed(numbered(count)).shuffled(size, seed, 4, flip, start), whole[start:])


@given(SEEDS)
def test_seeds_and_epochs_have_orders_of_their_own(seed: int) -> None:
    made = feed(numbered(100))
    orders = [labels_of(made.shuffled(10, s, e)) for s in (seed, seed + 1) for e in (1, 2, 3)]
    assert len(set(map(tuple, orders))) == 6
    assert orders[0] == labels_of(feed(numbered(100)).shuffled(10, seed, 1)), "no state is kept"


def test_two_epochs_side_by_side_do_not_disturb_each_other() -> None:
    made = feed(numbered(40))
    one, two = [], []
    for a, b in zip(made.shuffled(8, 0, 1, True), made.shuffled(8, 0, 2, True), strict=True):
        one.append(a)
        two.append(b)
    assert same(one, made.shuffled(8, 0, 1, True)) and same(two, made.shuffled(8, 0, 2, True))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("resident", [True, False])
def test_flip_mirrors_about_half_exactly_and_keeps_the_rest(channels: int, resident: bool) -> None:
    made = feed(numbered(200, channels), resident)
    plain = torch.cat([batch.images for batch in made.shuffled(20, 0, 1)])
    batches = list(made.shuffled(20, 0, 1, flip=True))
    flipped = torch.cat([batch.images for batch in batches])
    assert labels_of(batches) == labels_of(made.shuffled(20, 0, 1)), "the order is the same"
    mirrored = (flipped == plain.flip(3)).flatten(1).all(1)
    kept = (flipped == plain).flatten(1).all(1)
    assert 70 < mirrored.sum() < 130
    assert (mirrored ^ kept).all()
    again = torch.cat([batch.images for batch in made.shuffled(20, 0, 2, flip=True)])
    assert not torch.equal(flipped, again), "coins are tossed anew each epoch"


@given(COUNTS, SIZES, SEEDS, st.booleans(), st.booleans(), st.data())
def test_where_the_bytes_lie_changes_no_bit(
    count: int, size: int, seed: int, flip: bool, labelled: bool, data: st.DataObject
) -> None:
    split = numbered(count, 3, labelled)
    there, here = feed(split, True), feed(split, False)
    assert same(there.shuffled(size, seed, 1, flip), here.shuffled(size, seed, 1, flip))
    assert same(there.in_order(size), here.in_order(size))
    chosen = torch.tensor(
        data.draw(st.lists(st.integers(0, count - 1), min_size=1)), dtype=torch.int64
    )
    assert same([there.take(chosen)], [here.take(chosen)])


def test_take_gives_what_was_asked_for_in_that_order() -> None:
    split = numbered(20)
    batch = feed(split).take(torch.tensor([7, 3, 3, 19]))
    assert batch.labels.tolist() == [7, 3, 3, 19]
    assert np.array_equal(
        to_uint8(batch.images).permute(0, 2, 3, 1).numpy(), split.images[[7, 3, 3, 19]]
    )
    assert len(feed(split).take(torch.arange(0)).images) == 0


def test_without_labels_batches_have_none() -> None:
    made = feed(numbered(8, labelled=False))
    batches = [*made.shuffled(4, 0, 1), *made.in_order(4), made.take(torch.arange(3))]
    assert all(batch.labels is None for batch in batches)


@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize(
    "view",
    [lambda a: a[::2], lambda a: a[:, ::-1], lambda a: np.asfortranarray(a), lambda a: a[..., :1]],
    ids=["every second", "upside down", "Fortran order", "one channel"],
)
def test_any_array_will_do(view: Callable[[np.ndarray], np.ndarray], resident: bool) -> None:
    images = view(numbered(12, 3).images)
    plain = feed(Split(np.ascontiguousarray(images), None))
    assert same(feed(Split(images, None), resident).shuffled(3, 0, 1), plain.shuffled(3, 0, 1))


@pytest.mark.parametrize("resident", [True, False])
def test_a_memory_map_is_read_and_left_alone(tmp_path: Path, resident: bool) -> None:
    made = numbered(30, 3)
    write_images(tmp_path, "train", made.images.shape, iter([made.images]))
    split = load_split(tmp_path, "train")
    assert isinstance(split.images, np.memmap) and not split.images.flags.writeable
    batches = list(feed(split, resident).in_order(8))
    for batch in batches:
        batch.images.zero_()
    assert np.array_equal(load_split(tmp_path, "train").images, made.images)


def test_arrays_larger_than_the_buffer_become_resident_whole(monkeypatch) -> None:
    monkeypatch.setattr("sharpvae.images.feed._CHUNK_BYTES", 100)
    split = numbered(50, 3)
    assert same(feed(split, True).in_order(7), feed(split, False).in_order(7))


def test_on_a_cpu_nothing_is_copied_and_elsewhere_what_fits() -> None:
    assert not feed(numbered(3)).resident
    assert not fits(1, CPU)
    assert fits(2**31, torch.device("mps")) and not fits(2**31 + 1, torch.device("mps"))


@given(st.integers(0, 50), st.integers(1, 60))
def test_chunks_are_the_whole_in_pieces(count: int, size: int) -> None:
    pieces = list(chunks(torch.arange(count), size))
    assert [int(i) for piece in pieces for i in piece] == list(range(count))
    assert all(len(piece) == size for piece in pieces[:-1])
    assert all(1 <= len(piece) <= size for piece in pieces)


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="only Linux says what no file backs"
)
def test_feeding_from_a_file_takes_no_memory_of_its_size() -> None:
    """400 MB pass through; 22 MB more are in use at most, as when 40 MB do."""
    code = (REPOSITORY / "tests" / "images" / "feeding_memory.py").read_text()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, "400"],
        capture_output=True, text=True, cwd=REPOSITORY,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 100 * 1024


needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("flip", [True, False])
def test_a_gpu_sees_the_images_that_a_cpu_sees(flip: bool) -> None:
    split, gpu = numbered(500, 3), torch.device("cuda")
    resident, streamed = Feed(split, gpu, True), Feed(split, gpu, False)
    for seed in range(3):
        one, two = (list(each.shuffled(8, seed, 1, flip)) for each in (resident, streamed))
        assert same(one, two)
        for here, there in zip(feed(split).shuffled(8, seed, 1, flip), one, strict=True):
            assert there.images.is_cuda and there.labels.is_cuda
            assert there.images.is_contiguous(memory_format=torch.channels_last)
            assert torch.equal(here.labels, there.labels.cpu())
            assert torch.equal(to_uint8(here.images), to_uint8(there.images).cpu())


@pytest.mark.gpu
@needs_cuda
def test_a_streamed_batch_stays_whole_while_the_gpu_is_behind() -> None:
    """The kernels of many batches queue up; none may read a buffer that a later batch fills."""
    split, gpu = numbered(4096, 3), torch.device("cuda")
    ballast, sums = torch.rand(4096, 4096, device=gpu), []
    for batch in Feed(split, gpu, False).in_order(16):
        ballast = (ballast @ ballast).clamp(0, 1)
        sums.append(to_uint8(batch.images).sum((1, 2, 3), dtype=torch.int64))
    expected = split.images.sum((1, 2, 3), dtype=np.int64)
    assert torch.equal(torch.cat(sums).cpu(), torch.from_numpy(expected))


@pytest.mark.gpu
@needs_cuda
def test_a_gpu_holds_a_split_that_takes_a_quarter_of_what_is_free() -> None:
    free, _ = torch.cuda.mem_get_info()
    assert fits(free // 5, torch.device("cuda")) and not fits(free // 3, torch.device("cuda"))
    assert Feed(numbered(5), torch.device("cuda")).resident
