"""What an event says, in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def told(event: Mapping[str, Any]) -> str:
    """Where a step stands.

    Examples
    --------
    >>> told({"kind": "round", "done": 12.3, "of": 60.0}), told({"kind": "making", "name": "int8", "done": 1, "of": 3})
    ('12 of 60 s', 'making int8, 2 of 3')
    >>> told({"kind": "waiting", "seconds": 3.2, "for": "process 7"})
    'waiting 3 s for process 7, whose turn it is'
    """
    kind = str(event.get("kind", ""))
    if "state" in event:  # a search says in words where it stands
        return str(event["state"])
    if kind == "waiting":
        return f"waiting {event['seconds']:.0f} s for {event['for']}, whose turn it is"
    if kind == "start":
        return f"starting processes for {', '.join(event['contestants'])}"
    if "name" in event:
        count = f", {event['done'] + 1} of {event['of']}" if "of" in event else ""
        return f"{kind} {event['name']}{count}"
    return f"{event['done']:.0f} of {event['of']:.0f} s" if "of" in event else kind
