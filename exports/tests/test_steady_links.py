"""Links that stay the same for half of their life."""

from __future__ import annotations

import datetime

import pytest
import time_machine
from django.urls import resolve

from clipforge.devtools.testing.factories import make_export
from exports import downloads

pytestmark = pytest.mark.django_db

NOON = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)


@pytest.mark.parametrize(("life", "half"), [(900, 450), (3, 1), (1, 1)])
def test_a_link_is_the_same_for_half_of_its_life_and_leads_to_the_file_to_its_end(
    life: int, half: int, settings
):
    settings.DOWNLOAD_URL_SECONDS = life
    export = make_export()
    begins = NOON + datetime.timedelta(seconds=7 * half)
    with time_machine.travel(begins, tick=False) as clock:
        link = downloads.steady_link(export)
        clock.shift(half - 1)
        assert link == downloads.steady_link(export)
        assert link is not None
        assert link.ends_at == begins + datetime.timedelta(seconds=life)
        token, name = resolve(link.path).kwargs.values()
        target = downloads.target_of(token, name)
        assert (target.key, target.seconds_left) == (export.file_key, life - half + 1)
        clock.shift(1)
        assert downloads.steady_link(export) != link
