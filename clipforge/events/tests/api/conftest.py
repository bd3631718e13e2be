from __future__ import annotations

import pytest

from clipforge.devtools.testing.factories import make_endpoint, make_organization
from clipforge.events.models import Endpoint


@pytest.fixture
def other_endpoint(db: None) -> Endpoint:
    """Of another organization than `organization`."""
    return make_endpoint(make_organization())
