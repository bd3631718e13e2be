"""The store that is a bucket of S3, or of what speaks as it does.

Each call has a limit on its time and is tried again a few times, by botocore; a file that breaks off is
read on from where it broke off. What is wrong then is StorageUnavailable, or FileNotFoundError.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import itertools
import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import boto3
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.client import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from storages.backends import s3 as django_storages
from urllib3.exceptions import HTTPError

from clipforge.common.errors import StorageUnavailable
from clipforge.common.storage.cloudfront import edge
from clipforge.common.storage.stores import (
    OWN,
    Entry,
    Facts,
    Folder,
    IsWanted,
    PartStore,
    SentPart,
    ShouldStop,
    Stopped,
    belongs_to,
    content_type_of,
    folder_of,
    is_of_store,
    never,
    stem_of,
    unless_stopped,
    unwanted,
)

logger = logging.getLogger(__name__)

# A worker that stops waits for one of these at most.
CONFIG = Config(
    connect_timeout=5,
    read_timeout=20,
    retries={"mode": "standard", "total_max_attempts": 4},
    max_pool_connections=20,
    signature_version="s3v4",
)
# Of one file, so many parts at a time: what is in memory is so many parts.
TRANSFER = TransferConfig(
    multipart_threshold=32 << 20, multipart_chunksize=16 << 20, max_concurrency=4
)
# Of a copy within the bucket no byte comes here; a part of this size is copied within a read timeout.
COPY = TransferConfig(multipart_threshold=512 << 20, multipart_chunksize=256 << 20)
CHUNK = 1 << 20
# Of a file that is read: how often it may break off without a byte in between.
BREAKS = 4
# Keys that one call removes.
AT_ONCE = 1000
# Headers of an answer, as calls of boto3 ask for them.
PARAMETERS = {
    "Content-Type": "ResponseContentType",
    "Content-Disposition": "ResponseContentDisposition",
    "Cache-Control": "ResponseCacheControl",
}
# Of the object itself, for edges in front of the bucket: they keep nothing that is private.
CACHE_CONTROL = "max-age=31536000, immutable"
ABSENT = {"404", "NoSuchKey", "NoSuchUpload", "NotFound"}


class S3Storage(django_storages.S3Storage, PartStore):  # type: ignore[misc]  # the base is not typed
    """Objects of a bucket, below a prefix. Their metadata has the SHA-256 of each."""

    is_local = False

    def __init__(self, **options: Any) -> None:
        addressing = options.get("addressing_style", "auto")
        config = CONFIG.merge(Config(s3={"addressing_style": addressing}))
        super().__init__(**{"client_config": config, "transfer_config": TRANSFER, **options})
        self._prefix = f"{self.location}/" if self.location else ""

    @functools.cached_property
    def client(self) -> Any:
        """One for all threads: making one takes as long as many requests."""
        with _making:
            return _session().client(
                "s3",
                region_name=self.region_name or "us-east-1",
                endpoint_url=self.endpoint_url,
                config=self.client_config,
            )

    def object_of(self, key: str) -> dict[str, str]:
        """The bucket and the name of the object with this key, as calls of boto3 take them."""
        if not key or key.startswith("/") or ".." in key.split("/"):
            raise ValueError(f"not a storage key: {key!r}")
        return {"Bucket": self.bucket_name, "Key": f"{self._prefix}{key}"}

    def facts(self, key: str) -> Facts:
        try:
            with _faults(key):
                found = self.client.head_object(**self.object_of(key))
        except FileNotFoundError:
            with _faults(self.bucket_name):
                try:  # the same 404 is of a bucket that is not there
                    self.client.head_bucket(Bucket=self.bucket_name)
                except ClientError as error:
                    raise _unavailable() from error
            raise
        sha256 = found.get("Metadata", {}).get("sha256")
        return Facts(
            found["ContentLength"], found["LastModified"].timestamp(), found["ETag"], sha256
        )

    def read(self, key: str) -> IO[bytes]:
        return io.BufferedReader(ObjectReader(self, key), CHUNK)

    def put(
        self, path: Path, key: str, *, sha256: str = "", should_stop: ShouldStop = never
    ) -> None:
        sha256 = sha256 or _sha256(path, should_stop)

        def uploaded(is_stopped: threading.Event) -> None:
            def note(_bytes: int) -> None:
                if is_stopped.is_set():
                    raise Stopped

            with _faults(key):
                self.client.upload_file(
                    str(path),
                    **self.object_of(key),
                    ExtraArgs=_described(key, sha256),
                    Config=self.transfer_config,
                    Callback=note,
                )

        unless_stopped(uploaded, should_stop)
        if self.facts(key).size != path.stat().st_size:
            raise _unavailable()

    def remove(self, keys: Iterable[str]) -> None:
        for batch in _batches(self.object_of(key)["Key"] for key in keys):
            with _faults(batch[0]):
                done = self.client.delete_objects(
                    Bucket=self.bucket_name,
                    Delete={"Objects": [{"Key": name} for name in batch], "Quiet": True},
                )
            if errors := done.get("Errors"):
                logger.error("%s could not be removed: %s", errors[0]["Key"], errors[0]["Code"])
                raise _unavailable()

    def move(self, key: str, to: str) -> None:
        with _faults(key):
            # In parts where it is large; the metadata comes with it.
            self.client.copy(self.object_of(key), **self.object_of(to), Config=COPY)
        self.remove([key])

    def copy(self, key: str, to: str, *, sha256: str) -> None:
        described = {"MetadataDirective": "REPLACE", **_described(to, sha256)}
        with _faults(key):
            self.client.copy(
                self.object_of(key), **self.object_of(to), ExtraArgs=described, Config=COPY
            )

    def beside(self, key: str) -> list[Entry]:
        return [entry for entry in self._listed(stem_of(key)) if belongs_to(entry.key, key)]

    def in_folder(self, folder: str) -> Iterator[Entry]:
        return self._listed(f"{folder}/")

    def folders(self, area: str) -> Iterator[Folder]:
        by_row = itertools.groupby(self.walk(area), key=_row_folder)
        for folder, entries in by_row:
            yield Folder(folder, max(entry.modified for entry in entries))

    def walk(self, area: str) -> Iterator[Entry]:
        for org in self._top_folders():
            for entry in self._listed(f"{org}/{area}/"):
                if entry.key.count("/") > 2:
                    yield entry

    def everything(self) -> Iterator[Entry]:
        return (entry for entry in self._listed("") if is_of_store(entry.key))

    def remove_folder(self, folder: str) -> bool:
        try:
            self.remove(entry.key for entry in self.in_folder(folder))
        except StorageUnavailable as error:
            logger.error("%s could not be removed: %s", folder, error.message)
            return False
        return True

    def sizes(self, keys: list[str]) -> dict[str, int]:
        """A listing from the first to the last of the keys that are of one area of one organization."""
        by_area = itertools.groupby(sorted(keys), key=lambda key: folder_of(folder_of(key)))
        found: dict[str, int] = {}
        for area, of_area in by_area:
            found |= self._sizes_of_area(area, list(of_area))
        return found

    def _sizes_of_area(self, area: str, keys: list[str]) -> dict[str, int]:
        by_folder = {folder_of(key): key for key in keys}
        first, last = min(by_folder), f"{max(by_folder)}0"  # "0" comes after "/"
        listed = self._listed(f"{area}/", after=first)
        totals = dict.fromkeys(keys, 0)
        there = set()
        for entry in itertools.takewhile(lambda entry: entry.key < last, listed):
            key = by_folder.get(folder_of(entry.key))
            if key is not None and belongs_to(entry.key, key):
                totals[key] += entry.size
                there.add(entry.key)
        return {key: total for key, total in totals.items() if key in there}

    def link(
        self, key: str, headers: Mapping[str, str], *, seconds: int, is_head: bool = False
    ) -> str:
        wanted = {PARAMETERS[name]: value for name, value in headers.items() if name in PARAMETERS}
        if settings.DELIVERY_URL:
            return self._link_of_edge(key, wanted, seconds)
        address: str = self.client.generate_presigned_url(
            "head_object" if is_head else "get_object",
            Params={**self.object_of(key), **wanted},
            ExpiresIn=seconds,
        )
        return address

    def _link_of_edge(self, key: str, wanted: dict[str, str], seconds: int) -> str:
        """Steady for as long as the link is that leads to it: an edge and a browser keep what it names."""
        disposition = {"response-content-disposition": wanted["ResponseContentDisposition"]}
        path = f"/{quote(self.object_of(key)['Key'])}"
        return edge().link(path, disposition, ends_at=int(time.time()) + seconds)

    def cookies(self, key: str, *, seconds: int) -> tuple[str, dict[str, str]]:
        path = f"/{quote(folder_of(self.object_of(key)['Key']))}/"
        return path, edge().cookies(path, ends_at=int(time.time()) + seconds)

    def abort_uploads(
        self, *, older_than_seconds: float, now: float, is_wanted: IsWanted = unwanted
    ) -> int:
        aborted = 0
        for upload in self._uploads(self._prefix):
            is_old = now - upload["Initiated"].timestamp() > older_than_seconds
            if is_old and not is_wanted(upload["Key"].removeprefix(self._prefix)):
                with contextlib.suppress(FileNotFoundError):
                    self._abort(upload["Key"], upload["UploadId"])
                aborted += 1
        return aborted

    # --- what others send in parts ----------------------------------------------------

    def begin_parts(self, key: str) -> str:
        with _faults(key):
            begun = self.client.create_multipart_upload(
                **self.object_of(key), ContentType=content_type_of(key)
            )
        return str(begun["UploadId"])

    def part_link(self, key: str, parts_id: str, number: int, *, size: int, seconds: int) -> str:
        part = {"UploadId": parts_id, "PartNumber": number, "ContentLength": size}
        address: str = self.client.generate_presigned_url(
            "upload_part", Params={**self.object_of(key), **part}, ExpiresIn=seconds
        )
        return address

    def parts(self, key: str, parts_id: str) -> list[SentPart]:
        pages = self.client.get_paginator("list_parts")
        with _faults(key):
            return [
                SentPart(part["PartNumber"], part["Size"], part["ETag"])
                for page in pages.paginate(**self.object_of(key), UploadId=parts_id)
                for part in page.get("Parts", ())
            ]

    def join_parts(self, key: str, parts_id: str, parts: Iterable[SentPart]) -> None:
        wanted = [{"PartNumber": part.number, "ETag": part.etag} for part in parts]
        with _faults(key):
            self.client.complete_multipart_upload(
                **self.object_of(key), UploadId=parts_id, MultipartUpload={"Parts": wanted}
            )

    def drop_parts(self, key: str) -> None:
        name = self.object_of(key)["Key"]
        for upload in self._uploads(name):
            if upload["Key"] == name:
                with contextlib.suppress(FileNotFoundError):
                    self._abort(name, upload["UploadId"])
        self.remove([key])

    def _uploads(self, prefix: str) -> Iterator[dict[str, Any]]:
        pages = self.client.get_paginator("list_multipart_uploads")
        with _faults(self.bucket_name):
            for page in pages.paginate(Bucket=self.bucket_name, Prefix=prefix):
                yield from page.get("Uploads", ())

    def _abort(self, name: str, upload_id: str) -> None:
        with _faults(name):
            self.client.abort_multipart_upload(
                Bucket=self.bucket_name, Key=name, UploadId=upload_id
            )

    def _top_folders(self) -> Iterator[str]:
        pages = self.client.get_paginator("list_objects_v2")
        with _faults(self.bucket_name):
            for page in pages.paginate(Bucket=self.bucket_name, Prefix=self._prefix, Delimiter="/"):
                for found in page.get("CommonPrefixes", ()):
                    name = found["Prefix"].removeprefix(self._prefix).rstrip("/")
                    if name not in OWN:
                        yield name

    def _listed(self, prefix: str, *, after: str = "") -> Iterator[Entry]:
        """Objects in the order of their keys, a page in memory at a time."""
        more = {"StartAfter": f"{self._prefix}{after}"} if after else {}
        pages = self.client.get_paginator("list_objects_v2")
        with _faults(self.bucket_name):
            for page in pages.paginate(
                Bucket=self.bucket_name, Prefix=f"{self._prefix}{prefix}", **more
            ):
                for found in page.get("Contents", ()):
                    modified = found["LastModified"].timestamp()
                    key = found["Key"].removeprefix(self._prefix)
                    yield Entry(key, found["Size"], modified, modified)


class ObjectReader(io.RawIOBase):
    """An object from its beginning; where the answer breaks off, it is asked for the rest."""

    def __init__(self, store: S3Storage, key: str) -> None:
        self._store, self._key = store, key
        self._facts = store.facts(key)
        self._at = 0
        self._body: Any = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        wanted = min(len(view), self._facts.size - self._at)
        for attempt in range(BREAKS + 1):
            if wanted <= 0:
                return 0
            with contextlib.suppress(StorageUnavailable):
                data = self._read(wanted)
                if data:
                    view[: len(data)] = data
                    self._at += len(data)
                    return len(data)
            self._let_go()
            time.sleep(0.1 * 2**attempt)
        raise _unavailable()

    def close(self) -> None:
        self._let_go()
        super().close()

    def _read(self, size: int) -> bytes:
        with _faults(self._key):
            if self._body is None:
                self._body = self._store.client.get_object(
                    **self._store.object_of(self._key),
                    Range=f"bytes={self._at}-",
                    IfMatch=self._facts.etag,  # the rest of another file is not the rest of this one
                )["Body"]
            data: bytes = self._body.read(size)
        return data

    def _let_go(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None


def _described(key: str, sha256: str) -> dict[str, Any]:
    """The properties of an object beside its bytes."""
    return {
        "Metadata": {"sha256": sha256},
        "ContentType": content_type_of(key),
        "CacheControl": CACHE_CONTROL,
    }


_making = threading.Lock()


@functools.cache
def _session() -> Any:
    """Reads the descriptions of the service once; keys come from where boto3 finds them."""
    return boto3.Session()


@contextlib.contextmanager
def _faults(subject: str) -> Iterator[None]:
    """Turn what boto3 raises into FileNotFoundError and StorageUnavailable."""
    try:
        yield
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in ABSENT:
            raise FileNotFoundError(subject) from None
        raise _unavailable(error) from error
    except (BotoCoreError, Boto3Error, HTTPError, ConnectionError, TimeoutError) as error:
        raise _unavailable(error) from error


def _unavailable(error: Exception | None = None) -> StorageUnavailable:
    if error is not None:
        logger.warning("the store does not answer: %s", error)
    return StorageUnavailable(
        "The storage does not answer right now. Nothing was charged; try again.", retry_after=30
    )


def _sha256(path: Path, should_stop: ShouldStop) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            if should_stop():
                raise Stopped
            digest.update(chunk)
    return digest.hexdigest()


def _batches(names: Iterable[str]) -> Iterator[list[str]]:
    left = iter(names)
    while batch := list(itertools.islice(left, AT_ONCE)):
        yield batch


def _row_folder(entry: Entry) -> str:
    return "/".join(entry.key.split("/")[:3])
