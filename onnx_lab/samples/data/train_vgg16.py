"""Trains the slim VGG16 of `onnx_lab.samples.vgg16` and writes its weights: a few minutes on two cores.

    python onnx_lab/samples/data/train_vgg16.py --out onnx_lab/samples/data/slim_vgg16.safetensors

Adam on cross entropy, with digits moved, turned and scaled a little: 1,297 of them are few. The learning rate rises
over the first steps and falls along a cosine: thirteen convolutions without normalization do not start otherwise.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from onnx_lab.samples._slim_vgg16 import FILE, SIDE, Digits, build, keras_on_torch, read_digits

SEED = 3
BATCH, EPOCHS = 32, 5
LEARNING_RATE, WARM_UP_STEPS = 6e-4, 40


def main() -> None:
    """Command line: --out FILE."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FILE)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    args = parser.parse_args()
    random.seed(SEED)  # Keras draws its seeds here; its own set_random_seed would import TensorFlow
    train, test = read_digits()
    model = build(weights=None)
    first = model.get_layer("block1_conv1").kernel
    first.assign(first * (1 / 64))  # preprocess_input of VGG16 gives values of about -130 to 150
    descend(model, train, args.epochs)
    right = accuracy(model, test)
    save(model, args.out, right)
    print(
        f"{right:.1%} of {len(test.labels)} held-out digits right; {args.out.stat().st_size / 1e6:.1f} MB in {args.out}"
    )


def arrays(digits: Digits) -> npt.NDArray[np.float32]:
    """What `preprocess` of the sample makes of the digits, ``(n, 128, 128, 3)``."""
    preprocess_input = keras_on_torch().applications.vgg16.preprocess_input
    pixels = np.stack([np.asarray(p, np.float32) for p in digits.images()])
    return np.ascontiguousarray(preprocess_input(pixels), np.float32)  # it only turns the view of RGB to BGR


def descend(model: Any, train: Digits, epochs: int) -> None:
    """Train in place, printing a line for each epoch."""
    import torch

    x, y = torch.from_numpy(arrays(train)), torch.from_numpy(train.labels)
    steps = epochs * (len(y) // BATCH)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: _rate(i, steps))
    generator = torch.Generator().manual_seed(SEED)
    for epoch in range(epochs):
        began, losses = time.monotonic(), []
        for chosen in torch.randperm(len(y), generator=generator)[: len(y) // BATCH * BATCH].reshape(-1, BATCH):
            p = model(_moved(x[chosen], generator), training=True)
            loss = torch.nn.functional.nll_loss(torch.log(p + 1e-7), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.3f}, {time.monotonic() - began:.0f} s", flush=True)


def accuracy(model: Any, digits: Digits) -> float:
    """Share of the digits that the model reads right."""
    import torch

    with torch.no_grad():
        answers = [model(b, training=False).argmax(-1) for b in torch.from_numpy(arrays(digits)).split(64)]
    right = np.asarray(torch.cat(answers).cpu()) == digits.labels
    return int(right.sum()) / len(digits.labels)


def save(model: Any, out: Path, right: float) -> None:
    """The weights by their path in the model, as safetensors: nothing is unpickled."""
    from safetensors.numpy import save_file

    tensors = {v.path: np.ascontiguousarray(v.numpy()) for v in model.variables}
    save_file(tensors, out, metadata={"trained": "scikit-learn digits", "held-out accuracy": f"{right:.4f}"})


def _rate(step: int, steps: int) -> float:
    return min(1.0, (step + 1) / WARM_UP_STEPS) * 0.5 * (1 + math.cos(math.pi * step / steps))


def _moved(x: Any, generator: Any) -> Any:
    """Each picture turned by up to 8 degrees, scaled and moved by up to 6 %, ``(n, 128, 128, 3)``."""
    import torch

    def draw(width: float) -> Any:
        return (torch.rand(len(x), generator=generator) * 2 - 1) * width

    turn, scale = draw(0.14), 1 + draw(0.06)
    cos, sin = torch.cos(turn) * scale, torch.sin(turn) * scale
    theta = torch.stack([torch.stack([cos, -sin, draw(0.06)], -1), torch.stack([sin, cos, draw(0.06)], -1)], 1)
    grid = torch.nn.functional.affine_grid(theta, [len(x), 3, SIDE, SIDE], align_corners=False)
    moved = torch.nn.functional.grid_sample(x.permute(0, 3, 1, 2), grid, padding_mode="border", align_corners=False)
    return moved.permute(0, 2, 3, 1)


if __name__ == "__main__":
    main()
