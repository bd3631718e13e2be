"""`manage.py check_indexes` before there is anything."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command

from clipforge.devtools.testing.factories import make_organization

pytestmark = pytest.mark.django_db


def test_an_empty_database_has_nothing_to_look_at():
    make_organization()
    with pytest.raises(CommandError, match="There is nothing to look at"):
        call_command("check_indexes")
