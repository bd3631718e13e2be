"""Files that are elsewhere: links of a bucket, and of CloudFront before it."""

from __future__ import annotations

import base64
import io
import json
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, parse_qsl, quote, unquote, urlsplit

import httpx
import pytest
import time_machine
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from rest_framework.test import APIClient

from clipforge.common import storage
from clipforge.devtools.testing.api import assert_problem
from clipforge.devtools.testing.buckets import Bucket, FaultyProxy
from clipforge.devtools.testing.factories import make_export, make_project
from clipforge.orgs.models import Organization
from clipforge.storage_urls import backend_of
from exports.models import Export

pytestmark = pytest.mark.django_db

# What the edges verify.
SHA1 = hashes.SHA1()  # noqa: S303
CONTENT = bytes(range(256)) * 40
NAME = "Größe – 大きい “clip”"
LIFE = 900


@pytest.fixture
def export(bucket: Bucket, organization: Organization) -> Export:
    export = make_export(make_project(organization), content=CONTENT, download_name=NAME)
    for name, content in (
        ("poster.jpg", b"\xff\xd8 poster"),
        ("strip.vtt", b"WEBVTT\n\nstrip.jpg"),
    ):
        part = storage.new_part()
        part.write_bytes(content)
        storage.publish(part, storage.companion_of(export.file_key, name))
    return export


@pytest.fixture
def stopped_clock() -> Iterator[None]:
    """Else a second may end between a link and what is said of it."""
    with time_machine.travel(int(time.time()), tick=False):
        yield


def link_of(api: APIClient, export: Export, picture: str = "") -> str:
    path = f"pictures/{picture}" if picture else "download"
    answer = api.get(f"/api/v1/exports/{export.pk}/{path}")
    assert answer.status_code == 302
    return urlsplit(answer["Location"]).path


# --- a bucket ------------------------------------------------------------------------


@pytest.mark.usefixtures("stopped_clock")
def test_a_link_leads_to_the_bucket_which_sends_the_file(api: APIClient, export: Export):
    answer = api.get(link_of(api, export))
    assert answer.status_code == 302
    assert answer["Cache-Control"] == f"private, max-age={LIFE // 2}"
    asked = parse_qs(urlsplit(answer["Location"]).query)
    assert (asked["X-Amz-Expires"], asked["X-Amz-Algorithm"]) == ([str(LIFE)], ["AWS4-HMAC-SHA256"])
    sent = httpx.get(answer["Location"])
    assert (sent.status_code, sent.content) == (200, CONTENT)
    assert sent.headers["Content-Type"] == "video/mp4"
    assert sent.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    said = sent.headers["Content-Disposition"]
    assert said == f"attachment; filename*=utf-8''{quote(f'{NAME}.mp4')}"
    part = httpx.get(answer["Location"], headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, CONTENT[100:200])
    assert part.headers["Content-Range"] == f"bytes 100-199/{len(CONTENT)}"


def test_it_plays_inline_and_tells_of_itself_by_head(api: APIClient, export: Export):
    link = link_of(api, export)
    sent = httpx.get(api.get(f"{link}?inline=1")["Location"])
    assert sent.headers["Content-Disposition"].startswith("inline; filename*=")
    head = httpx.head(api.head(link)["Location"])
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(CONTENT)))


def test_the_link_to_the_bucket_ends_with_the_link_that_led_there(api: APIClient, export: Export):
    now = int(time.time()) + 3600
    with time_machine.travel(now, tick=False):
        link = link_of(api, export)
    for after, seconds in ((0, LIFE), (LIFE - 1, 1), (LIFE, 1)):
        with time_machine.travel(now + after, tick=False):
            asked = parse_qs(urlsplit(api.get(link)["Location"]).query)
            assert asked["X-Amz-Expires"] == [str(seconds)]
    with time_machine.travel(now + LIFE + 1, tick=False):
        assert_problem(api.get(link), 403, "link_expired")


def test_pictures_go_the_same_way_and_a_strips_lines_come_from_here(api: APIClient, export: Export):
    """They name the sprite beside them, which has another name in the bucket."""
    poster = httpx.get(api.get(link_of(api, export, "poster.jpg"))["Location"])
    assert (poster.content, poster.headers["Content-Type"]) == (b"\xff\xd8 poster", "image/jpeg")
    link = link_of(api, export, "strip.vtt")
    lines = api.get(link)
    assert (lines.status_code, lines.content) == (200, b"WEBVTT\n\nstrip.jpg")
    assert lines["Content-Type"] == "text/vtt; charset=utf-8"
    assert api.get(link, HTTP_IF_NONE_MATCH=lines["ETag"]).status_code == 304


def test_a_clip_under_the_name_of_lines_is_not_read_here(api: APIClient, export: Export):
    """All of it would be in memory, and whoever has a link writes its last part as they like."""
    address = link_of(api, export).rpartition("/")[0]
    answer = api.get(f"{address}/clip.vtt")
    assert (answer.status_code, answer.content) == (302, b"")
    assert httpx.get(answer["Location"]).headers["Content-Type"] == "video/mp4"


def test_a_project_has_its_pictures_in_the_bucket_too(
    api: APIClient, bucket: Bucket, organization: Organization
):
    project = make_project(organization, status="READY")
    part = storage.new_part()
    part.write_bytes(b"\xff\xd8")
    storage.publish(part, f"{project.source_key}.poster.jpg")
    answer = api.get(f"/api/v1/projects/{project.pk}/pictures/poster.jpg")
    found = api.get(urlsplit(answer["Location"]).path)
    assert httpx.get(found["Location"]).content == b"\xff\xd8"


def test_what_is_deleted_forged_or_of_another_leads_nowhere(
    api: APIClient, export: Export, client_of: Any
):
    link = link_of(api, export)
    assert_problem(api.get(link.replace("/files/", "/files/x")), 403, "link_invalid")
    other = client_of(make_export().org)
    assert_problem(other.get(f"/api/v1/exports/{export.pk}/download"), 404, "not_found")
    storage.delete(export.file_key)
    assert_problem(api.get(link), 404, "not_found")
    assert_problem(api.get(link.replace(quote(f"{NAME}.mp4"), "strip.vtt")), 404, "not_found")


def test_a_store_that_does_not_answer_is_503_with_a_time(
    api: APIClient, export: Export, bucket: Bucket, settings: Any
):
    link = link_of(api, export)
    with FaultyProxy(bucket.endpoint, lambda *_: "500") as proxy:
        url = bucket.url.replace(bucket.endpoint, proxy.endpoint)
        settings.STORAGES = {**settings.STORAGES, "default": backend_of(url)}
        answer = api.get(link)
    assert_problem(answer, 503, "storage_unavailable")
    assert answer["Retry-After"] == "30"
    assert len(proxy.seen) == 4


def test_an_archive_is_made_of_what_is_in_the_bucket(api: APIClient, export: Export):
    answer = api.get(f"/api/v1/projects/{export.project_id}/exports.zip")
    sent: Any = api.get(urlsplit(answer["Location"]).path)
    body = b"".join(sent.streaming_content)
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert archive.testzip() is None
        assert [archive.read(name) for name in archive.namelist()] == [CONTENT]


# --- CloudFront ----------------------------------------------------------------------


class Key(NamedTuple):
    key_id: str
    path: Path
    public: rsa.RSAPublicKey


def new_key(folder: Path, key_id: str) -> Key:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path = folder / f"{key_id}.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return Key(key_id, path, key.public_key())


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> list[Key]:
    folder = tmp_path_factory.mktemp("keys")
    return [new_key(folder, "K1OLD"), new_key(folder, "K2NEW")]


def sign_with(settings: Any, key: Key) -> None:
    settings.CLOUDFRONT_KEY_ID, settings.CLOUDFRONT_KEY_FILE = key.key_id, str(key.path)


@pytest.fixture
def edge(settings: Any, keys: list[Key]) -> str:
    settings.DELIVERY_URL = "https://files.example.com"
    sign_with(settings, keys[0])
    return "https://files.example.com"


def decoded(text: str) -> bytes:
    return base64.b64decode(text.translate(str.maketrans("-_~", "+=/")))


def is_signed(policy: bytes, signature: str, key: Key | None) -> bool:
    if key is None:
        return False
    try:
        key.public.verify(decoded(signature), policy, padding.PKCS1v15(), SHA1)
    except InvalidSignature:
        return False
    return True


def admits_link(url: str, group: list[Key], *, now: float | None = None) -> bool:
    """Whether an edge sends the file, as AWS describes how it makes the canned policy anew."""
    resource, _, query = url.partition("&Expires=")
    own = dict(parse_qsl(f"Expires={query}"))
    condition = f'{{"DateLessThan":{{"AWS:EpochTime":{own["Expires"]}}}}}'
    policy = f'{{"Statement":[{{"Resource":"{resource}","Condition":{condition}}}]}}'
    key = next((key for key in group if key.key_id == own["Key-Pair-Id"]), None)
    is_fresh = (time.time() if now is None else now) < int(own["Expires"])
    return is_fresh and is_signed(policy.encode(), own["Signature"], key)


def admits_cookies(cookies: Any, url: str, group: list[Key], *, now: float | None = None) -> bool:
    """The same, of cookies with a custom policy."""
    values = {name: cookies[f"CloudFront-{name}"].value for name in ("Policy", "Signature")}
    key_id = cookies["CloudFront-Key-Pair-Id"].value
    policy = decoded(values["Policy"])
    [statement] = json.loads(policy)["Statement"]
    ends_at = statement["Condition"]["DateLessThan"]["AWS:EpochTime"]
    is_fresh = (time.time() if now is None else now) < ends_at
    is_named = url.startswith(statement["Resource"].removesuffix("*"))
    key = next((key for key in group if key.key_id == key_id), None)
    return is_fresh and is_named and is_signed(policy, values["Signature"], key)


def test_a_link_to_an_edge_is_signed_for_one_file_until_its_end(
    api: APIClient, export: Export, edge: str, keys: list[Key]
):
    url = api.get(link_of(api, export))["Location"]
    assert url.startswith(f"{edge}/{export.file_key}?response-content-disposition=attachment")
    name = dict(parse_qsl(urlsplit(url).query))["response-content-disposition"]
    assert unquote(name).endswith(f"{NAME}.mp4")
    assert admits_link(url, keys)
    ends_at = int(parse_qs(urlsplit(url).query)["Expires"][0])
    assert LIFE - 60 < ends_at - time.time() <= LIFE
    assert admits_link(url, keys, now=ends_at - 1)
    assert not admits_link(url, keys, now=ends_at)
    for changed in (
        url.replace(f"Expires={ends_at}", f"Expires={ends_at + 1}"),
        url.replace("/1.mp4", "/2.mp4"),
        url.replace(str(export.org_id), str(export.pk)),
        url.replace("attachment", "inline"),
        url.replace("Key-Pair-Id=K1OLD", "Key-Pair-Id=K2NEW"),
    ):
        assert changed != url
        assert not admits_link(changed, keys)


def test_the_same_link_leads_to_the_same_address_so_that_it_is_kept(
    api: APIClient, export: Export, edge: str, bucket: Bucket
):
    now = int(time.time()) + 3600
    with time_machine.travel(now, tick=False):
        link = link_of(api, export)
        first = api.get(link)["Location"]
    with time_machine.travel(now + 500, tick=False):
        assert api.get(link)["Location"] == first
    kept = bucket.store.client.head_object(Bucket=bucket.name, Key=export.file_key)
    # An edge keeps nothing that is private, and this for a year.
    assert kept["CacheControl"] == "max-age=31536000, immutable"
    assert kept["ContentType"] == "video/mp4"


def test_the_key_is_replaced_without_a_link_that_fails(
    api: APIClient, export: Export, edge: str, keys: list[Key], settings: Any
):
    link = link_of(api, export)
    earlier = api.get(link)["Location"]
    sign_with(settings, keys[1])
    later = api.get(link)["Location"]
    assert "Key-Pair-Id=K2NEW" in later
    assert admits_link(earlier, keys)
    assert admits_link(later, keys)
    assert not admits_link(earlier, keys[1:])
    assert admits_link(later, keys[1:])


@pytest.mark.usefixtures("stopped_clock")
def test_cookies_open_the_folder_of_the_clip_and_no_other(
    api: APIClient, export: Export, edge: str, keys: list[Key], settings: Any
):
    link = link_of(api, export)
    assert api.get(link).cookies == {}
    settings.DELIVERY_COOKIE_DOMAIN = "example.com"
    cookies = api.get(link).cookies
    folder = f"/{export.org_id}/exports/{export.pk}/"
    assert {morsel["path"] for morsel in cookies.values()} == {folder}
    for morsel in cookies.values():
        assert (morsel["domain"], morsel["max-age"]) == ("example.com", LIFE)
        assert morsel["secure"]
        assert morsel["httponly"]
    for name in ("1.mp4", "1.poster.jpg", "1.strip.jpg"):
        assert admits_cookies(cookies, f"{edge}{folder}{name}", keys)
    assert not admits_cookies(
        cookies, f"{edge}/{export.org_id}/exports/{make_export().pk}/1.mp4", keys
    )
    assert not admits_cookies(cookies, f"{edge}/{export.project.source_key}", keys)
    assert not admits_cookies(cookies, f"{edge}{folder}1.mp4", keys[1:])
    assert not admits_cookies(cookies, f"{edge}{folder}1.mp4", keys, now=time.time() + LIFE)
    forged = decoded(cookies["CloudFront-Policy"].value).replace(b"/exports/", b"/*")
    cookies["CloudFront-Policy"] = (
        base64.b64encode(forged).decode().translate(str.maketrans("+=/", "-_~"))
    )
    assert not admits_cookies(cookies, f"{edge}{folder}1.mp4", keys)


def test_pictures_of_a_project_give_no_cookie_for_its_folder(
    api: APIClient, edge: str, bucket: Bucket, organization: Organization, settings: Any
):
    """The source lies beside them."""
    settings.DELIVERY_COOKIE_DOMAIN = "example.com"
    project = make_project(organization, status="READY")
    part = storage.new_part()
    part.write_bytes(b"\xff\xd8")
    storage.publish(part, f"{project.source_key}.poster.jpg")
    answer = api.get(f"/api/v1/projects/{project.pk}/pictures/poster.jpg")
    found = api.get(urlsplit(answer["Location"]).path)
    assert (found.status_code, found.cookies) == (302, {})
