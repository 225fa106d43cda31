"""PyTorch as an engine in a child: same answers, same thread budget, and nothing it prints reaches the frames."""

from __future__ import annotations

import os

import numpy as np
import pytest

from onnx_lab.errors import BadInput
from onnx_lab.runtime.client import Worker

torch = pytest.importorskip("torch")


class Talkative(torch.nn.Module):  # type: ignore[misc, name-defined]
    """Prints wherever a library might, and answers with a dict as Hugging Face models do."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(8, 4)
        self.dropout = torch.nn.Dropout(0.9)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> dict[str, object]:  # type: ignore[name-defined]
        print("a line on stdout")
        os.write(1, b'{"ok": false}\n')
        y = self.dropout(self.linear(x))
        threads = torch.tensor([torch.get_num_threads(), torch.get_num_interop_threads()])
        grad = torch.tensor([torch.is_grad_enabled()])
        return {"logits": y if mask is None else y * mask, "threads": threads, "grad": grad, "loss": None}


@pytest.fixture(scope="module")
def module() -> Talkative:
    torch.manual_seed(0)
    return Talkative().train()


@pytest.mark.slow
def test_answers_budget_and_manners(module: Talkative) -> None:
    x = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    mask = np.zeros((3, 1), np.float32)
    with Worker.for_torch(module, threads=1) as w:
        got = w.run({"x": x})
        assert list(got) == ["logits", "threads", "grad"], "names as the export gives them, tensors only"
        expected = module.linear(torch.from_numpy(x)).detach().numpy()
        np.testing.assert_allclose(got["logits"], expected, rtol=1e-5, atol=1e-6)
        assert got["threads"].tolist() == [1, 1]
        assert not got["grad"].any()
        assert not w.run({"mask": mask, "x": x})["logits"].any(), "feeds go by name, not by order"
        assert len(w.time_block({"x": x}, min_seconds=0.01)) > 3
        with pytest.raises(BadInput, match="refused the feeds"):
            w.run({"x": x[:, :5]})
        assert w.info["provider"] == "torch"
    assert module.training, "the caller's module is not touched"


def test_what_cannot_travel_is_refused() -> None:
    import threading

    net = torch.nn.Linear(2, 2)
    net.lock = threading.Lock()
    with pytest.raises(BadInput, match="cannot be sent"):
        Worker.for_torch(net)
