"""A file in parts while the web process dies ten times, each time when a part is here and not yet noted.

Where it dies is said by a rule, so that it is the same in every run: a process notes one part and ends, as by
SIGKILL, before it notes the next. `test_resumable_uploads` kills it wherever it is.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from tusclient.client import TusClient

from clipforge.client import Client
from clipforge.common.faultpoints import EXIT_CODE
from clipforge.devtools.testing import node
from clipforge.devtools.testing.buckets import Bucket, new_bucket
from clipforge.devtools.testing.service import TLS, Service, eventually, running_service
from clipforge.media.sample import make_still

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(900)]

DEATHS = 10
KIB = 1024
# Of tus, and the least that S3 takes.
PART, DIRECT_PART = 256 * KIB, 5 * KIB * KIB
RULE = 'exit 2 before UPDATE "projects_upload" SET "received"'

JAVASCRIPT = """
import { createReadStream } from "node:fs";
import { Upload } from "tus-js-client";
const [, path, endpoint, key, size] = process.argv;
const upload = new Upload(createReadStream(path), {
  endpoint, uploadSize: Number(size), chunkSize: 256 * 1024,
  headers: { Authorization: `Bearer ${key}` },
  metadata: { filename: "film.mp4" },
  retryDelays: Array(300).fill(100),
  onError(error) { console.error(String(error)); process.exit(1); },
  onSuccess() { console.log(upload.url); },
});
upload.start();
"""


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """One web process, the next of which is forked from what has loaded the application already."""
    mortal = {"FAULTPOINTS": RULE, "UPLOAD_PART_BYTES": str(DIRECT_PART)}
    with running_service(WEB_PROCESSES="1", GUNICORN_CMD_ARGS="--preload", **mortal) as running:
        yield running


@pytest.fixture(scope="module")
def customer(service: Service) -> Client:
    return service.customer()


@pytest.fixture(scope="module")
def own_bucket(s3_endpoint: str) -> Bucket:
    return new_bucket(s3_endpoint)


@pytest.fixture(scope="module")
def beside(service: Service, own_bucket: Bucket) -> Service:
    """The same service, whose files are in a bucket."""
    other = service.beside()
    other.log = service.data / "beside.log"
    other.environment |= {
        "STORAGE_URL": own_bucket.url,
        "AWS_ACCESS_KEY_ID": os.environ["AWS_ACCESS_KEY_ID"],
        "AWS_SECRET_ACCESS_KEY": os.environ["AWS_SECRET_ACCESS_KEY"],
        "WEB_BIND": f"127.0.0.1:{other.port}",
    }
    service.processes.append(other.start_web())
    return other


def film(folder: Path, part: int, parts: int) -> Path:
    """A film of a second, and behind it a box that players skip: so many parts, the last of which is short."""
    path = folder / "film.mp4"
    make_still(path, 1)
    size = part * (parts - 1) + 1000 - path.stat().st_size
    with path.open("ab") as file:
        file.write(size.to_bytes(4, "big") + b"free" + os.urandom(size - 8))
    return path


def deaths(service: Service) -> int:
    return service.log.read_text().count(f"exited with code {EXIT_CODE}")


def key_of(customer: Client) -> str:
    return str(customer._http.headers["Authorization"]).removeprefix("Bearer ")


def again(what: str, call: Callable[[], httpx.Response]) -> Any:
    """The steps of a client whose connection broke."""

    def tried() -> httpx.Response | None:
        try:
            return call()
        except httpx.TransportError:
            return None

    answer = eventually(what, tried)
    assert answer.is_success, answer.text
    return answer.json()


def sent_with_tuspy(service: Service, customer: Client, path: Path) -> str:
    endpoint = f"{service.url}/api/v1/uploads"
    client = TusClient(endpoint, headers={"Authorization": f"Bearer {key_of(customer)}"})
    with path.open("rb") as stream:
        uploader = client.uploader(
            file_stream=stream,
            chunk_size=PART,
            metadata={"filename": "film.mp4"},
            retries=1000,
            retry_delay=0.1,
            upload_checksum=True,
        )
        uploader.upload()
    return str(uploader.url)


def sent_with_tus_js_client(service: Service, customer: Client, path: Path) -> str:
    given = [str(path), f"{service.url}/api/v1/uploads", key_of(customer), str(path.stat().st_size)]
    done = subprocess.run(
        ["node", "--input-type=module", "-e", JAVASCRIPT, *given],  # noqa: S607
        cwd=node.LINTERS,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def project_of(service: Service, customer: Client, url: str) -> str:
    """The id of the one project that is made of the upload."""
    upload = {"upload": url.rsplit("/", 1)[-1]}
    address = f"{service.url}/api/v1/projects"
    made: dict[str, Any] = again(
        "a project",
        lambda: customer._http.post(address, json=upload, headers={"Idempotency-Key": url}),
    )
    return str(made["id"])


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    "send",
    [
        sent_with_tuspy,
        pytest.param(sent_with_tus_js_client, marks=node.needs_packages_of(node.LINTERS)),
    ],
)
def test_a_server_that_dies_ten_times_has_one_file_with_the_same_digest(
    send: Callable[[Service, Client, Path], str], service: Service, customer: Client, tmp_path: Path
):
    before = deaths(service)
    project_before = set(service.files("source"))
    path = film(tmp_path, PART, DEATHS + 1)
    # Another test may have left a process that has noted a part.
    project = project_of(service, customer, send(service, customer, path))
    assert deaths(service) - before in {DEATHS, DEATHS + 1}
    (stored,) = set(service.files("source")) - project_before
    assert project in str(stored)
    assert digest((service.media / stored).read_bytes()) == digest(path.read_bytes())
    assert service.files("part") == []


def test_so_does_one_whose_parts_go_to_the_bucket(
    beside: Service, own_bucket: Bucket, customer: Client, tmp_path: Path
):
    """It dies too when the bucket has made one file of the parts, and the row does not say so."""
    path = film(tmp_path, DIRECT_PART, DEATHS)
    content = path.read_bytes()
    with httpx.Client(
        base_url=beside.url, headers=customer._http.headers, verify=TLS, timeout=200
    ) as web:
        wanted = {"name": "film.mp4", "size": len(content), "sha256": digest(content)}
        made = web.post("/api/v1/uploads", json=wanted).json()
        assert (made["protocol"], made["part_bytes"]) == ("s3", DIRECT_PART)
        missing = again("addresses", lambda: web.post(made["url"]))["missing"]
        assert len(missing) == DEATHS
        while missing:
            part = missing[0]
            body = content[part["offset"] :][: part["size"]]
            assert httpx.put(part["url"], content=body, timeout=200, verify=TLS).status_code == 200
            missing = again("addresses", lambda: web.post(made["url"]))["missing"]
        whole = made["url"].removesuffix("/parts") + "/complete"
        assert again("one file", lambda: web.post(whole))["offset"] == len(content)
        assert deaths(beside) == DEATHS
        project = again(
            "a project",
            lambda: web.post(
                "/api/v1/projects", json={"upload": made["id"]}, headers={"Idempotency-Key": "one"}
            ),
        )
    (name,) = own_bucket.names()
    assert project["id"] in name
    bucket = boto3.client("s3", endpoint_url=own_bucket.endpoint, region_name="us-east-1")
    stored = bucket.get_object(Bucket=own_bucket.name, Key=name)["Body"].read()
    assert digest(stored) == digest(content)
    assert own_bucket.unfinished() == 0
