"""Results as they are compared: without what says when and where they were made."""

from __future__ import annotations

import json
from typing import Any


def unmade(result: Any) -> Any:
    """A result, or results, as plain data; of a text, of the JSON in it. Without `made`."""
    if isinstance(result, str):
        return unmade(json.loads(result))
    if isinstance(result, list):
        return [unmade(one) for one in result]
    assert result["made"]["date"]
    return {key: value for key, value in result.items() if key != "made"}
