"""POST /exports with captions, formats, rates and resolutions; what each costs, and what a tier allows."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from clipforge.devtools.testing.api import assert_problem, invalid_fields
from clipforge.devtools.testing.factories import (
    make_organization,
    make_project,
    make_tier_limits,
    make_transcript,
)
from clipforge.devtools.testing.state import Funds, funds, nothing_changes
from clipforge.orgs.models import Organization, TierLimits
from credits.models import CreditHold
from exports.models import Export
from projects.models import Project
from projects.tests.kept import keep_features

pytestmark = pytest.mark.django_db

URL = "/api/v1/exports"
USUAL = {
    "position": "bottom",
    "size": "medium",
    "color": "#ffffff",
    "highlight": "#ffd60a",
}


@pytest.fixture
def organization() -> Organization:
    return make_organization(tier="ENTERPRISE", credits_=20)


@pytest.fixture
def project(organization: Organization) -> Project:
    return make_project(organization, duration=120)


def post(api: APIClient, project: Project, **options: Any) -> Any:
    body = {"project": str(project.pk), "start": 0, "end": 61, **options}
    return api.post(URL, body)


# --- captions ------------------------------------------------------------------------


@pytest.mark.parametrize("captions", ["plain", "bold-word", "karaoke"])
def test_captions_are_free_and_come_with_the_usual_look(
    api: APIClient, organization: Organization, project: Project, captions: str
):
    make_transcript(project)
    response = post(api, project, captions=captions)
    assert response.status_code == 201, response.content
    assert response.json()["captions"] == captions
    assert funds(organization) == Funds(available=18, held=2)


def test_the_look_of_captions_can_be_chosen(api: APIClient, project: Project):
    make_transcript(project)
    chosen = {"position": "top", "size": "large", "color": "#102030", "highlight": "#ABCDEF"}
    response = post(api, project, captions="plain", caption_style=chosen)
    assert response.json()["caption_style"] == chosen
    assert Export.objects.get().caption_style == chosen


def test_what_a_look_leaves_out_is_as_usual(api: APIClient, project: Project):
    make_transcript(project)
    response = post(api, project, captions="karaoke", caption_style={"position": "middle"})
    assert response.json()["caption_style"] == {**USUAL, "position": "middle"}


def test_captions_without_a_transcript_are_refused_before_anything_is_reserved(
    api: APIClient, project: Project
):
    with nothing_changes():
        response = post(api, project, captions="plain")
    assert_problem(response, 422, "captions_without_transcript")
    assert post(api, project).status_code == 201


def test_captions_in_a_script_without_a_font_are_refused_before_anything_is_reserved(
    api: APIClient, project: Project
):
    make_transcript(project, "ᚠᚢᚦ")
    with nothing_changes():
        response = post(api, project, captions="plain")
    assert_problem(response, 422, "captions_not_drawable")
    assert post(api, project, start=10, captions="plain").status_code == 201


def test_the_transcript_of_another_project_gives_no_captions(
    api: APIClient, organization: Organization, project: Project
):
    make_transcript(make_project(organization))
    assert_problem(post(api, project, captions="plain"), 422, "captions_without_transcript")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"captions": "bold"}, "/captions"),
        ({"captions": None}, "/captions"),
        ({"caption_style": "top"}, "/caption_style"),
        ({"caption_style": {"position": "left"}}, "/caption_style/position"),
        ({"caption_style": {"size": 12}}, "/caption_style/size"),
        ({"caption_style": {"color": "red"}}, "/caption_style/color"),
        ({"caption_style": {"highlight": "#ffffff{\\b1}"}}, "/caption_style/highlight"),
        ({"caption_style": {"highlight": "#12345"}}, "/caption_style/highlight"),
        ({"fps": 29.97}, "/fps"),
        ({"fps": 120}, "/fps"),
        ({"format": "gif"}, "/format"),
        ({"tighten": "yes"}, "/tighten"),
        ({"resolution": 4320}, "/resolution"),
    ],
)
def test_an_option_that_does_not_exist_is_refused(
    api: APIClient, project: Project, options: dict[str, Any], field: str
):
    make_transcript(project)
    with nothing_changes():
        assert invalid_fields(post(api, project, **options)) == {field}


# --- tightening ------------------------------------------------------------------------


def test_a_tightened_export_is_charged_for_what_it_keeps(
    api: APIClient, organization: Organization, project: Project
):
    """Words from 1 to 3.5 s, and nothing said until 61 s: one minute and not two."""
    make_transcript(project, "Hello world.", "How are you?")
    response = post(api, project, tighten="hard")
    assert response.status_code == 201, response.content
    assert response.json()["tighten"] == "hard"
    assert Export.objects.get().kept == [[0.9, 3.6]]
    assert funds(organization) == Funds(available=19, held=1)


def test_a_correction_after_it_was_asked_for_changes_neither_price_nor_cuts(
    api: APIClient, organization: Organization, project: Project
):
    row = make_transcript(project, "Hello world.")
    post(api, project, tighten="gentle")
    row.delete()
    export = Export.objects.get()
    assert export.ranges == [(0.0, 2.25)]
    assert funds(organization).held == 1


def test_without_a_transcript_the_sound_tells_where_nobody_speaks(
    api: APIClient, organization: Organization, project: Project
):
    """Talk from 2 to 3.5 s, and nothing until 61 s: one minute and not two."""
    keep_features(project, (2.0, 3.5))
    response = post(api, project, tighten="hard")
    assert response.status_code == 201, response.content
    assert Export.objects.get().kept == [[1.75, 3.75]]
    assert funds(organization) == Funds(available=19, held=1)


def test_features_that_cannot_be_read_refuse_tightening_and_nothing_else(
    api: APIClient, project: Project
):
    keep_features(project, content=b"\x01rubbish")
    with nothing_changes():
        assert_problem(post(api, project, tighten="hard"), 422, "tighten_without_transcript")
    assert post(api, project).status_code == 201


def test_tightening_without_a_transcript_or_features_is_refused_before_anything_is_reserved(
    api: APIClient, project: Project
):
    with nothing_changes():
        assert_problem(post(api, project, tighten="hard"), 422, "tighten_without_transcript")


def test_what_tightening_leaves_less_than_a_second_of_is_refused(api: APIClient, project: Project):
    make_transcript(project, "Hello.")
    with nothing_changes():
        assert_problem(post(api, project, tighten="hard"), 422, "bad_range")


# --- formats, rates and resolutions ---------------------------------------------------


@pytest.mark.parametrize(
    "options", [{"format": "webm"}, {"format": "mp4-hevc"}, {"format": "mp4-av1"}, {"fps": 60}]
)
def test_formats_and_rates_cost_nothing_more(
    api: APIClient, organization: Organization, project: Project, options: dict[str, Any]
):
    response = post(api, project, **options)
    assert response.status_code == 201, response.content
    assert options.items() <= response.json().items()
    assert funds(organization) == Funds(available=18, held=2)


@pytest.mark.parametrize(("resolution", "price"), [(1080, 2), (1440, 4), (2160, 8)])
def test_more_than_1080_costs_as_many_times_as_it_has_pixels(
    api: APIClient, organization: Organization, project: Project, resolution: int, price: int
):
    quoted = api.post("/api/v1/quotes", {"export_seconds": 61, "resolution": resolution}).json()
    assert quoted["credits"] == price
    assert post(api, project, resolution=resolution).status_code == 201
    assert funds(organization) == Funds(available=20 - price, held=price)


def test_the_hold_says_how_its_price_was_made(api: APIClient, project: Project, settings: Any):
    post(api, project, resolution=2160)
    hold = CreditHold.objects.get(reference_type="export")
    assert hold.inputs == {
        "item": "export_per_output_minute",
        "seconds": 61.0,
        "minutes": 2,
        "resolution": 2160,
        "factor": 4,
    }
    assert (hold.unit_price, hold.price_version) == (4, settings.PRICES["version"])


@pytest.mark.parametrize(
    ("tier", "highest"),
    [("FREE", 1080), ("STARTER", 1080), ("PRO", 1440), ("BUSINESS", 2160), ("ENTERPRISE", 2160)],
)
def test_every_tier_has_its_highest_resolution(tier: str, highest: int):
    assert TierLimits.objects.get(tier=tier).max_resolution == highest


def test_a_resolution_above_the_tiers_is_refused_before_anything_is_reserved(
    api: APIClient, project: Project
):
    make_tier_limits(max_resolution=1440)
    with nothing_changes():
        response = post(api, project, resolution=2160)
    problem = assert_problem(response, 403, "resolution_not_in_tier")
    assert problem["max_resolution"] == 1440
    assert post(api, project, resolution=1440).status_code == 201


def test_a_new_highest_resolution_holds_at_once(api: APIClient, project: Project):
    make_tier_limits(max_resolution=480)
    assert_problem(post(api, project, resolution=720), 403, "resolution_not_in_tier")
    make_tier_limits(max_resolution=720)
    assert post(api, project, resolution=720).status_code == 201


def test_the_file_is_downloaded_under_a_name_of_its_format(
    api: APIClient, organization: Organization, project: Project
):
    from clipforge.devtools.testing.factories import make_export

    export = make_export(project, format="webm")
    location = api.get(f"{URL}/{export.pk}/download")["Location"]
    assert location.endswith(f"/{export.pk}.webm")


# --- layout --------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["auto", "crop", "fit", "split"])
def test_a_layout_is_kept_and_costs_nothing(
    api: APIClient, organization: Organization, project: Project, layout: str
):
    response = post(api, project, layout=layout)
    assert response.status_code == 201, response.content
    assert response.json()["layout"] == layout
    assert Export.objects.get().layout == layout
    assert funds(organization) == Funds(available=18, held=2)


def test_without_a_word_about_it_the_layout_is_chosen_by_what_is_seen(
    api: APIClient, project: Project
):
    assert post(api, project).json()["layout"] == "auto"


def test_an_unknown_layout_is_refused(api: APIClient, project: Project):
    with nothing_changes():
        response = post(api, project, layout="mosaic")
    assert invalid_fields(response) == {"/layout"}


@pytest.mark.parametrize("aspect", ["16:9", "source"])
def test_two_people_one_above_the_other_need_height(api: APIClient, project: Project, aspect: str):
    with nothing_changes():
        response = post(api, project, layout="split", aspect=aspect)
    assert_problem(response, 422, "layout_needs_height")


def test_a_square_is_high_enough_for_them(api: APIClient, project: Project):
    assert post(api, project, layout="split", aspect="1:1").status_code == 201
