"""Small modules that exports are tested with: real source files, so that errors can name their lines."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Linear(nn.Module):
    """The base: one layer, one input."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> Any:
        return self.a(x)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.LSTM(8, 16, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a(x)[0][:, -1]


class Pixels(nn.Module):
    """A convolution whose flattened size only fits 32 x 32."""

    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Conv2d(3, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.f = nn.Linear(4 * 32 * 32, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.f(torch.relu(self.bn(self.c(x))).flatten(1))


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.e = nn.Embedding(99, 8)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return (self.e(ids) * mask[..., None]).sum(1)


class Nested(Linear):
    def forward(self, pair: tuple[dict[str, torch.Tensor], torch.Tensor], *, flag: bool = False, **more: Any) -> Any:
        return {
            "sum": self.a(pair[0]["u"]) + more["k"],
            "both": (pair[1] * 2, more["k"] if flag else None),
            "count": 3,
        }


class Unused(Linear):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        del y
        return self.a(x)


class OnlyTwo(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a(x) + torch.ones(2, 8)


class Fours(Linear):
    """Takes batches of 4, 8, 12, ..."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a(x).reshape(-1, 4, 8).sum(1)


class SmallBatch(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[0] > 5:
            return self.a(x)
        return self.a(x) * 2


class ByValue(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.sum() > 0:
            return self.a(x)
        return x


class ByCount(Linear):
    """Loops as often as a value says."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(int(x.abs().sum()) + 1):
            x = self.a(x)
        return x


class ByItem(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scale = x.max().item()
        return self.a(x) * scale if scale > 1 else x


class Normalises(nn.Module):
    """Takes pictures of bytes, or of 0 to 1, and normalises them itself."""

    def __init__(self, of_bytes: bool) -> None:
        super().__init__()
        self.c = nn.Conv2d(3, 4, 3)
        self.scale = 255.0 if of_bytes else 1.0
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c((x / self.scale - self.mean) / self.std).mean((2, 3))


class Detects(nn.Module):
    """Boxes and scores of a head, and NMS behind it."""

    def forward(self, boxes: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        import torchvision

        return torchvision.ops.nms(boxes, scores, 0.5)


class AlwaysDropout(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.dropout(self.a(x), 0.5, training=True)


class NothingButNaN(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a(x) * float("nan")


class SomeNaN(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.log(self.a(x))


class Counting(Linear):
    """Keeps a count in a buffer, also in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.a(x)


class Unguessable(nn.Module):
    def forward(self, x: Any, y: Any) -> Any:
        return x["q"] + y["q"]


@torch.library.custom_op("onnx_lab_tests::weird", mutates_args=())
def weird(x: torch.Tensor) -> torch.Tensor:
    """An operator that no exporter knows."""
    return x * 2


@weird.register_fake
def _(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


class Inner(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x + 1
        return weird(y) + 1


class Custom(Linear):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Inner()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(self.a(x))
