"""What an update of an arm costs, so that arms can be given equal budgets and times foretold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch.utils.flop_counter import FlopCounterMode

from sharpvae.proof.plan import Plan
from sharpvae.training.build import build
from sharpvae.training.config import TrainStage


def update_cost(config: TrainStage, device: torch.device) -> int:
    """Multiply-adds of one update, forwards and backwards, through every network, on average.

    As PyTorch counts them: norms, activations and resizing are 0. An adversary counts for the
    updates that it takes part in. The prepared images and the critic must be there.
    """
    trainer = build(config, 0, device)
    update, batch = trainer.update, next(iter(trainer.train.in_order(config.train.batch_size)))
    contest = update.contest

    def counted(step: int) -> int:
        update.step = step
        with FlopCounterMode(display=False) as counter:
            update(batch)
        return int(counter.get_total_flops()) // 2

    first, steps = counted(0), trainer.span.epochs * trainer.span.epoch_steps
    begun = 0 if contest is None else sum(contest.begun(step) for step in range(steps))
    if contest is None or not begun:
        return first
    last = first if contest.begun(0) else counted(steps - 1)
    return round((first * (steps - begun) + last * begun) / steps)


def matched(plan: Plan, costs: Mapping[str, int]) -> Plan:
    """The plan with updates such that every training costs what that of the first variant does.

    Args:
        costs: arm -> `update_cost`.
    """
    updates = plan.experiment.variants[plan.ablation.start].train.updates
    if plan.ablation.match == "updates" or updates is None:
        return plan
    budget = updates * costs[plan.ablation.start]
    variants = {
        arm: sections | {"train": sections["train"] | {"updates": max(1, budget // costs[arm])}}
        for arm, sections in plan.variants.items()
    }
    return replace(plan, variants=variants)


class Forecast:
    """How long arms take, from how long two of them took.

    Args:
        plan: of all arms.
        costs: arm -> `update_cost`.
        whole, training: arm of the two ends -> seconds a seed, of all stages and of training.
    """

    def __init__(
        self, plan: Plan, costs: Mapping[str, int], whole: Mapping[str, float],
        training: Mapping[str, float],
    ) -> None:  # fmt: skip
        self.plan = plan
        self.work = {
            arm: costs[arm] * (sections["train"]["updates"] or 0)
            for arm, sections in plan.variants.items()
        }
        self.beside = sum(whole[arm] - training[arm] for arm in whole) / len(whole)
        (less, short), (more, long) = sorted((self.work[arm], training[arm]) for arm in whole)
        self.rate = (long - short) / (more - less) if more > less and long > short else None
        self.start = short - (self.rate or 0.0) * less

    def seconds(self, arm: str) -> float:
        """Of all stages and seeds of an arm."""
        training = self.start + (self.rate or 0.0) * self.work[arm]
        return len(self.plan.ablation.seeds) * (max(training, 0.0) + self.beside)
