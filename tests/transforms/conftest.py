"""Small encoders in the forms that exporters write them, each made once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from encoders import export

import onnx_lab as lab
from onnx_lab.model import Model


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Model]:
    """``exported("bert", "dynamo-sdpa")``: a two-layer classifier, exported once."""
    folder = tmp_path_factory.mktemp("exported")

    def get(kind: str, form: str) -> Model:
        path = folder / f"{kind}-{form}.onnx"
        if not path.exists():
            export(kind, form, path)
        return lab.load(path)

    return get


@pytest.fixture(scope="session")
def bert(exported: Callable[[str, str], Model]) -> Model:
    """The form that `lab.export` writes by default."""
    return exported("bert", "dynamo-sdpa")


@pytest.fixture(scope="session")
def feeds() -> dict[str, np.ndarray]:
    """Three texts, two of them padded."""
    ids = np.random.default_rng(0).integers(0, 200, (3, 11))
    mask = np.ones_like(ids)
    mask[1, 7:] = 0
    mask[2, 3:] = 0
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": ids % 2}
