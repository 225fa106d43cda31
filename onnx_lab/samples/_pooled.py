"""Sentence embeddings: a BERT with masked mean pooling, as all-MiniLM-L6-v2 was trained to be read."""

from __future__ import annotations

from typing import Any

import torch


class MeanPooledBert(torch.nn.Module):  # type: ignore[misc]  # torch is not read by the type checker
    """``embedding = sum_t mask_t h_t / sum_t mask_t`` over the last hidden states h of an encoder.

    Its own file, because it needs torch when it is defined, and so that a fresh process finds the class by name.
    """

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
    ) -> torch.Tensor:
        """(batch, sequence) int64, three times -> (batch, hidden) float32."""
        hidden = self.encoder(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)[0]
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        pooled: torch.Tensor = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1.0)
        return pooled
