"""Both SDKs send files in parts to the real service, which stumbles, and to a real bucket, which does too."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import clipforge_sdk as sdk
import pytest

from clipforge.common import storage
from clipforge.devtools.testing import node
from clipforge.devtools.testing.buckets import FaultyProxy, new_bucket
from clipforge.devtools.testing.factories import make_api_key, make_organization
from clipforge.devtools.testing.file_servers import Served
from clipforge.devtools.testing.receivers import Receiver, receiving
from clipforge.media.sample import make_still
from clipforge.storage_urls import backend_of
from projects import uploads
from projects.models import Project, Upload

pytestmark = pytest.mark.django_db(transaction=True)

MIB = 1 << 20
SEND = """
import { Client } from "SDK/index.js";
import { openFile } from "SDK/node.js";
const [, path, url, key, sourceUrl] = process.argv;
const client = new Client({ url, key, sleep: async () => {} });
const told = [];
const options = { told: (done, total) => told.push(done / total), idempotencyKey: "k" };
const sent = sourceUrl ? undefined : await client.uploadInParts(await openFile(path), { title: "Sent" }, options);
const project = sent ?? (await client.importFrom(sourceUrl, { title: "Sent" }));
console.log(JSON.stringify({ id: project.id, told }));
"""


@pytest.fixture
def key() -> str:
    return str(make_api_key(make_organization(credits_=5)).secret)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of a second, and behind it a box that players skip: three parts of 5 MiB, the least that S3 takes."""
    path = tmp_path_factory.mktemp("films") / "film.mp4"
    make_still(path, 1)
    box = os.urandom(MIB) * 11
    with path.open("ab") as file:
        file.write((len(box) + 8).to_bytes(4, "big") + b"free" + box)
    return path


@pytest.fixture
def stumbling(live_server: Any, settings: Any) -> Iterator[FaultyProxy]:
    """The service behind something that answers every other part itself, with 500."""
    settings.UPLOAD_PART_BYTES = 5 * MIB
    parts: list[str] = []

    def plan(method: str, _path: str) -> str | None:
        if method == "PATCH":
            parts.append(method)
        return "500" if method == "PATCH" and len(parts) % 2 else None

    with FaultyProxy(live_server.url, plan) as proxy:
        yield proxy


@pytest.fixture
def stumbling_bucket(
    s3_endpoint: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FaultyProxy]:
    """A bucket, the store of the test, that takes every part at its second attempt."""
    monkeypatch.setattr(uploads, "DIRECT_PART_BYTES", 5 * MIB)
    tried: set[str] = set()

    def plan(method: str, path: str) -> str | None:
        number = parse_qs(urlsplit(path).query).get("partNumber", [""])[0]
        if method != "PUT" or not number or number in tried:
            return None
        tried.add(number)
        return "500"

    name = new_bucket(s3_endpoint).name
    with FaultyProxy(s3_endpoint, plan) as proxy:
        url = f"s3://{name}?endpoint={proxy.endpoint}&addressing=path"
        settings.STORAGES = {**settings.STORAGES, "default": backend_of(url)}
        yield proxy


@pytest.fixture
def server(settings: Any) -> Iterator[Receiver]:
    settings.OUTBOUND_LOOPBACK = True
    with receiving() as started:
        yield started


def with_python(url: str, key: str, film: Path) -> list[float]:
    """How much had arrived, as it was told."""
    told: list[float] = []
    with sdk.Client(key, url=url, sleep=lambda _: None) as client:
        project = client.upload_in_parts(
            film,
            title="Sent",
            told=lambda done, total: told.append(done / (total or 1)),
            idempotency_key="k",
        )
    assert project["title"] == "Sent"
    return told


@pytest.fixture(scope="module")
def built() -> Path:
    """The TypeScript SDK, beside the packages that it needs."""
    out = node.SDK / "build/sending"
    done = node.run(
        "tsc",
        "--project",
        "tsconfig.json",
        "--noEmit",
        "false",
        "--outDir",
        str(out),
        folder=node.SDK,
    )
    assert done.returncode == 0, done.stdout
    return out


def run_node(built: Path, *arguments: str) -> Any:
    done = subprocess.run(
        ["node", "--input-type=module", "-e", SEND.replace("SDK", str(built)), *arguments],  # noqa: S607
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def assert_arrived(film: Path, told: list[float]) -> None:
    project = Project.objects.get()
    digest = hashlib.sha256(film.read_bytes()).hexdigest()
    assert (project.title, project.source_name, project.sha256) == ("Sent", "film.mp4", digest)
    with storage.open_file(project.source_key) as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == digest  # type: ignore[arg-type]
    assert (told[0], told[-1], sorted(told)) == (0.0, 1.0, told)
    assert Upload.objects.get().used_by == project.pk


def test_python_sends_to_the_service(stumbling: FaultyProxy, key: str, film: Path):
    assert_arrived(film, with_python(stumbling.endpoint, key, film))
    assert sum(fault == "500" for _, _, fault in stumbling.seen) == 3


def test_python_sends_to_the_bucket(
    live_server: Any, stumbling_bucket: FaultyProxy, key: str, film: Path
):
    assert_arrived(film, with_python(live_server.url, key, film))
    assert sum(fault == "500" for _, _, fault in stumbling_bucket.seen) == 3


@node.needs_packages_of(node.SDK)
def test_typescript_sends_to_the_service(stumbling: FaultyProxy, built: Path, key: str, film: Path):
    assert_arrived(film, run_node(built, str(film), stumbling.endpoint, key)["told"])
    assert sum(fault == "500" for _, _, fault in stumbling.seen) == 3


@node.needs_packages_of(node.SDK)
def test_typescript_sends_to_the_bucket(
    live_server: Any, stumbling_bucket: FaultyProxy, built: Path, key: str, film: Path
):
    assert_arrived(film, run_node(built, str(film), live_server.url, key)["told"])
    assert sum(fault == "500" for _, _, fault in stumbling_bucket.seen) == 3


def test_another_process_goes_on_where_one_ended(
    live_server: Any, stumbling_bucket: FaultyProxy, key: str, film: Path
):
    once = sdk.Retries(attempts=1)
    with sdk.Client(key, url=live_server.url, retries=once, sleep=lambda _: None) as client:
        with pytest.raises(sdk.ServiceError):
            client.send(film)
        (upload,) = Upload.objects.all()
        other = film.with_name("other.mp4")
        other.write_bytes(b"123")
        with pytest.raises(ValueError, match="the file 3"):
            client.send(other, upload=str(upload.pk))
    with sdk.Client(key, url=live_server.url, sleep=lambda _: None) as client:
        assert client.send(film, upload=str(upload.pk))["offset"] == film.stat().st_size


def test_what_is_no_video_is_sent_no_further(live_server: Any, key: str, tmp_path: Path):
    rubbish = tmp_path / "rubbish.mp4"
    rubbish.write_bytes(b"GIF89a and no video" * 4000)
    with sdk.Client(key, url=live_server.url) as client, pytest.raises(sdk.UnsupportedMedia):
        client.send(rubbish)
    assert Upload.objects.count() == 0


def test_python_names_an_address(live_server: Any, server: Receiver, key: str, film: Path):
    server.replies["/a.mp4"] = Served(film.read_bytes())
    with sdk.Client(key, url=live_server.url) as client:
        made = client.import_from(server.url("/a.mp4"), title="Fetched", external_id="one")
    project = Project.objects.get()
    assert (made["id"], project.title, project.external_id) == (str(project.pk), "Fetched", "one")
    assert project.source_import.url == server.url("/a.mp4")


@node.needs_packages_of(node.SDK)
def test_typescript_does_too(live_server: Any, server: Receiver, built: Path, key: str):
    made = run_node(built, "", live_server.url, key, server.url("/a.mp4"))
    assert Project.objects.get().source_import.url == server.url("/a.mp4")
    assert made["id"] == str(Project.objects.get().pk)
