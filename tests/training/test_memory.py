"""What a training needs memory for, and what somebody is told who has too little."""

from __future__ import annotations

import pytest
import torch

from sharpvae.training.config import TrainStage
from sharpvae.training.faults import activations, is_out_of_memory, out_of_memory
from sharpvae.vae.vae import VAE
from tests.conftest import IMPROVED


def stage(model, **train) -> TrainStage:
    return TrainStage.model_validate({
        "variant": "improved", "model": model.model_dump(),
        "loss": IMPROVED.loss.model_dump(),
        "train": {**IMPROVED.train.model_dump(), **train},
        "logging": {"every": 50, "dvclive": False, "tensorboard": False, "wandb": None},
        "device": "cpu", "threads": 1,
    })  # fmt: skip


def test_activations_are_what_autograd_keeps(model_config) -> None:
    """Against a pass that really takes place."""
    config = model_config()
    vae, kept, alive = VAE(config, 1, 16), {}, []

    def note(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        outputs = vae(torch.rand(8, 1, 16, 16), torch.randn(8, 4))
    own = {weight.untyped_storage().data_ptr() for weight in vae.parameters()}
    expected = sum(size for place, size in kept.items() if place not in own)
    passing, weights = activations(config, 1, 16, 0, 8)
    assert outputs[0].shape == (8, 1, 16, 16)
    assert passing == expected
    assert weights == sum(weight.nbytes for weight in vae.parameters())


def test_they_grow_with_the_batch(model_config) -> None:
    one, many = (activations(model_config(norm="none"), 3, 32, 0, n)[0] for n in (4, 32))
    assert many == 8 * one


def test_the_message_names_the_knobs_and_what_each_saves(model_config) -> None:
    config = stage(model_config(widths=[256, 512]), batch_size=96, accumulate=2, precision="fp32")
    text = out_of_memory(
        config, (3, 64), 0, torch.OutOfMemoryError("CUDA out of memory. Tr")
    ).text()
    passing, _ = activations(config.model, 3, 64, 0, 48)
    half = f"{passing / 2 / 2**20:.0f} MiB less"
    for part in ("variants.improved.train.batch_size", "CUDA out of memory", "48 images",
                 "train.accumulate: 4", "train.precision: bf16", half):  # fmt: skip
        assert part in text, text


def test_a_single_image_cannot_be_cut(model_config) -> None:
    config = stage(model_config(), batch_size=4, accumulate=4, precision="bf16")
    text = out_of_memory(config, (1, 16), 0, MemoryError()).text()
    assert "train.accumulate" not in text and "bf16" not in text
    assert "smaller train.batch_size" in text


@pytest.mark.parametrize(
    ("error", "is_one"),
    [(torch.OutOfMemoryError("x"), True), (MemoryError(), True), (RuntimeError("other"), False),
     (ValueError("can't allocate memory"), False)],
)  # fmt: skip
def test_which_errors_mean_it(error: Exception, is_one: bool) -> None:
    assert is_out_of_memory(error) == is_one


def test_the_allocator_of_the_cpu_says_it_in_these_words() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value), caught.value
