from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from drivers import browser as driver


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    with driver.launched() as found:
        yield found
