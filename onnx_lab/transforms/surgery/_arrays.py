"""Arrays among an edit's options: the lineage keeps what they are and a digest, not their numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

#: Arrays of at most so many numbers are written out.
_FEW = 16


def as_option(value: Any) -> Any:
    """JSON for the lineage: small arrays as they are, larger ones by type, shape and digest.

    Examples
    --------
    >>> import numpy as np
    >>> as_option(np.float32([1, 2]))
    {'array': [1.0, 2.0], 'dtype': 'float32'}
    >>> sorted(as_option(np.zeros(100)))
    ['dtype', 'sha256', 'shape']
    """
    import numpy as np

    if isinstance(value, np.ndarray | np.generic):
        array = np.ascontiguousarray(value)
        if array.size <= _FEW:
            return {"array": array.tolist(), "dtype": str(array.dtype)}
        digest = hashlib.sha256(array.tobytes()).hexdigest()
        return {"dtype": str(array.dtype), "shape": list(array.shape), "sha256": digest}
    if isinstance(value, Mapping):
        return {k: as_option(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [as_option(v) for v in value]
    return value


def as_code(option: Any, file: str) -> str:
    """Python for what `as_option` kept; a large array is read from `file`.

    Examples
    --------
    >>> as_code({"array": [1.0, 2.0], "dtype": "float32"}, "w.npy")
    "np.array([1.0, 2.0], 'float32')"
    >>> as_code({"dtype": "float32", "shape": [100], "sha256": ""}, "w.npy")
    "np.load('w.npy')"
    """
    if isinstance(option, Mapping) and "array" in option:
        return f"np.array({option['array']!r}, {option['dtype']!r})"
    if isinstance(option, Mapping) and "sha256" in option:
        return f"np.load({file!r})"
    return repr(option)
