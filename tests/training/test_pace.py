"""Time left and images a second, against trainings whose cost is known to the second."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpvae.training.loop import Epoch, Step
from sharpvae.training.watch import Pace
from tests.training.records import training


@dataclass
class Costs:
    """Seconds of everything in a training.

    `slow` comes once, in the first update of a process; `late` after an epoch's record, before the
    next update; `fid` at every `every`-th end of an epoch; `jitter` is a fraction by which updates
    alternately take more and less.
    """

    update: float
    end: float
    slow: float = 0.0
    late: float = 0.0
    fid: float = 0.0
    every: int = 3
    jitter: float = 0.0

    def of(self, record: Step | Epoch) -> float:
        if isinstance(record, Epoch):
            return self.end + self.fid * (record.epoch % self.every == 0)
        wobble = self.jitter * (1 if record.step % 2 else -1)
        return self.update * (1 + wobble) + self.late * (record.done == 1 and record.epoch > 1)


def run(
    costs: Costs, epochs: int, steps: int, done: int = 0, looks: int = 2
) -> list[tuple[Step | Epoch, float | None, float, float | None]]:
    """Each record with the time left as foretold and as it was, and the rate."""
    now = [0.0]
    pace = Pace(epochs, steps, lambda: now[0], lambda epoch: epoch % costs.every == 0)
    told = []
    now[0] += costs.slow
    for record in training(epochs, steps, looks, done=done):
        now[0] += costs.of(record)
        pace.step(record) if isinstance(record, Step) else pace.epoch(record)
        told.append((record, pace.left(), now[0], pace.rate()))
    return [(record, left, now[0] - at, rate) for record, left, at, rate in told]


seconds = st.floats(1e-3, 10)
# What every training has: an update, the end of an epoch and the first update take so long.
TRAINING = {
    "update": seconds,
    "end": st.floats(0, 100),
    "slow": st.floats(0, 1000),
    "epochs": st.integers(1, 12),
}


@given(**TRAINING, jitter=st.floats(0, 0.1), steps=st.integers(3, 40))
def test_after_the_first_epoch_the_time_left_is_right_to_a_fifth(
    update: float, end: float, slow: float, jitter: float, epochs: int, steps: int
) -> None:
    """Every time from there on, not just then."""
    told = run(Costs(update, end, slow, jitter=jitter), epochs, steps)
    ended = next(i for i, (record, *_) in enumerate(told) if isinstance(record, Epoch))
    for _, left, true, _ in told[ended:]:
        assert left is not None
        assert left == pytest.approx(true, rel=0.2, abs=1e-6 * (update + end))


@given(
    **TRAINING,
    late=st.floats(0, 100),
    fid=st.floats(0, 1000),
    steps=st.integers(1, 20),
    data=st.data(),
)
def test_wherever_it_resumes_a_training_that_has_shown_all_its_parts_is_known_exactly(
    update: float,
    end: float,
    late: float,
    fid: float,
    slow: float,
    epochs: int,
    steps: int,
    data: st.DataObject,
) -> None:
    done = data.draw(st.integers(0, epochs * steps - 1))
    costs = Costs(update, end, slow, late, fid)
    told = run(costs, epochs, steps, done)
    firsts: set[bool] = set()  # kinds of epoch whose end, and what follows, have been seen
    plain = 0
    for position, (record, left, true, _) in enumerate(told):
        if isinstance(record, Step) and position > 0:
            firsts |= {(record.epoch - 1) % 3 == 0} if record.done == 1 else set()
            plain += record.done > 1 or steps == 1
        if firsts == {False, True} and plain:
            assert left == pytest.approx(true, rel=1e-6, abs=1e-6 * costs.of(record))


def test_before_an_epoch_has_ended_updates_alone_are_foretold() -> None:
    told = run(Costs(update=2.0, end=5.0, slow=60.0), epochs=3, steps=10)
    assert told[0][1] is None, "of one update, with a minute of compiling in it, nothing follows"
    assert told[1][1] == pytest.approx(2.0 * 28)
    assert told[8][1] == pytest.approx(2.0 * 21)
    assert told[10][1] == pytest.approx(2.0 * 20 + 2 * 5.0)


def test_a_resumed_epoch_of_one_more_update_waits_until_it_has_seen_another() -> None:
    told = run(Costs(update=2.0, end=5.0, slow=60.0), epochs=3, steps=4, done=7)
    assert [left for _, left, _, _ in told[:3]] == [None, None, None]
    assert told[3][1] == pytest.approx(2 * 2.0 + 5.0)


def test_at_the_end_nothing_is_left_and_after_an_early_stop_neither() -> None:
    assert run(Costs(1.0, 1.0), epochs=2, steps=3)[-1][1] == 0
    pace = Pace(50, 3, lambda: 0.0)
    for record in training(2, 3):
        pace.step(record) if isinstance(record, Step) else pace.epoch(record)
    assert pace.left() == 0


@given(seconds, st.floats(0, 100), st.floats(0, 100), st.integers(2, 20), st.integers(1, 50))
def test_the_rate_is_that_of_updates_alone(
    update: float, end: float, slow: float, steps: int, looks: int
) -> None:
    told = run(Costs(update, end, slow), 4, steps, looks=looks)
    assert told[0][3] is None
    for _, _, _, rate in told[1:]:
        assert rate == pytest.approx(8 / update, rel=1e-4)


def test_a_gpu_that_is_waited_for_at_every_tenth_update_is_not_taken_for_faster() -> None:
    """Updates are asked for in no time; a look at the numbers waits for all of them."""
    now = [0.0]
    pace = Pace(2, 100, lambda: now[0])
    for record in training(2, 100, every=10):
        if isinstance(record, Epoch):
            pace.epoch(record)
            continue
        now[0] += 0.001 if record.numbers is None else 1.0 - 9 * 0.001
        pace.step(record)
        if record.step % 100 == 55:
            assert pace.rate() == pytest.approx(8 * 10 / 1.0)
            assert pace.left() == pytest.approx((200 - record.step) * 0.1, rel=0.2)


def test_updates_that_grow_dearer_are_followed() -> None:
    now = [0.0]
    pace = Pace(1, 5000, lambda: now[0])
    for record in training(1, 5000):
        if isinstance(record, Step):
            now[0] += 1.0 if record.step <= 2000 else 3.0
            pace.step(record)
            if record.step == 3500:
                assert pace.left() == pytest.approx(3.0 * 1500)
                assert pace.rate() == pytest.approx(8 / 3.0)
