from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from clipforge.devtools.testing.receivers import Receiver, receiving


@pytest.fixture(autouse=True)
def loopback(settings: Any) -> None:
    """Endpoints of tests are on this machine."""
    settings.OUTBOUND_LOOPBACK = True


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as started:
        yield started
