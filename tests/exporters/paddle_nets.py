"""Small Paddle layers that exports are tested with: real source files, which Paddle reads to make a program."""

from __future__ import annotations

from typing import Any

import paddle
from paddle import nn


class Pixels(nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Conv2D(3, 8, 3)
        self.b = nn.BatchNorm2D(8)
        self.d = nn.Dropout(0.5)
        self.f = nn.Linear(8, 4)

    def forward(self, x: Any) -> Any:
        return self.f(self.d(nn.functional.relu(self.b(self.c(x))).mean([2, 3])))


class Words(nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.e = nn.Embedding(50, 8)
        self.t = nn.TransformerEncoderLayer(8, 2, 16)

    def forward(self, ids: Any, scale: Any) -> Any:
        states = self.t(self.e(ids))
        return {"states": states, "pooled": states.mean(1) * scale}


class Branch(nn.Layer):
    """Decides by its values: Paddle makes an If of it."""

    def forward(self, x: Any) -> Any:
        if x.sum() > 0:
            return x * 2
        return x - 1


class Singular(nn.Layer):
    """Uses an operator that paddle2onnx does not know, and aborts its process."""

    def forward(self, x: Any) -> Any:
        return paddle.linalg.svd(x)[0]
