"""Hostile files: each is refused or processed within its limits, and charged accordingly."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from clipforge.devtools.testing.corpus import EXTENSIONS, Attack, attacks
from clipforge.devtools.testing.factories import make_client, make_organization, make_tier_limits
from clipforge.devtools.testing.state import funds, stored_files
from clipforge.jobs.running import perform
from clipforge.media import Limits, MediaError, ffmpeg, operations, sandbox, stalling
from clipforge.media.tests.samples import children_of, started_with
from projects.jobs import ANALYSIS
from projects.models import Project

pytestmark = [pytest.mark.slow, pytest.mark.faults]

NASTY_NAMES = [
    *["a b'c\"d.mp4", "-y", "%03d.mp4", "concat:x|y", "..\\..\\x.mp4", "../../etc/passwd", "a\tb"],
    *["\u202egpj.mp4", "é" * 100 + ".mp4", "<script>.mp4", "$(reboot).mp4", "nul", "a;b.mp4"],
]


class Server(ThreadingHTTPServer):
    """Counts its connections."""

    def __init__(self) -> None:
        self.hits: list[str] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/secret.ts"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.hits.append(self.path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture(scope="module")
def corpus(server: Server, tmp_path_factory: pytest.TempPathFactory) -> list[Attack]:
    return list(attacks(tmp_path_factory.mktemp("corpus"), url=server.url))


def outcome(api: APIClient, content: bytes, name: str) -> str:
    """Upload it and, if it is taken, analyse it. How it ended, or the code of the refusal."""
    file: Any = SimpleUploadedFile("x", content)
    file.name = name
    form = {"file": file, "title": "Attack"}
    response = api.post("/api/v1/projects", form, format="multipart")
    if response.status_code != 201:
        assert response.status_code in {415, 422}, response.content
        return str(response.json()["code"])
    project = Project.objects.get(pk=response.json()["id"])
    perform(ANALYSIS, project.pk, fence=project.fence)
    project.refresh_from_db()
    return project.error_code or project.status


@pytest.mark.django_db
def test_every_file_ends_as_it_should_reads_nothing_else_and_leaves_nothing(corpus, server):
    make_tier_limits(
        max_source_seconds=4 * 3600,
        requests_per_minute=10_000,
        uploads_per_minute=10_000,
        concurrent_jobs=1000,
    )
    org = make_organization(credits_=1000)
    api = make_client(org)
    wrong = {}
    others = children_of(os.getpid())  # what earlier tests left is not ours
    for attack in corpus:
        ended = outcome(api, attack.content, attack.name)
        if ended not in attack.right:
            wrong[attack.name] = ended
        assert funds(org).held == 0, attack.name
        assert children_of(os.getpid()) <= others, attack.name
    assert wrong == {}
    assert len(corpus) >= 40
    assert server.hits == []
    assert [path for path in stored_files() if "incoming" in path.parts] == []
    charged = Project.objects.filter(status="READY").count()
    assert Project.objects.exclude(hold__captured=0).count() == charged


STANDS_STILL = """
import threading
from clipforge.media import analysis
analysis.analyse = lambda *_: threading.Event().wait()
"""


@pytest.mark.django_db
def test_a_file_whose_decoder_stands_still_is_given_up_and_costs_nothing(corpus, monkeypatch):
    org = make_organization(credits_=10)
    (film,) = (each for each in corpus if each.name == "no sound.mp4")
    start, tries = sandbox._start, iter([False, True, True])  # the upload looks at it first
    stuck = started_with(STANDS_STILL)
    monkeypatch.setattr(sandbox, "_start", lambda: (stuck if next(tries) else start)())
    vigil = functools.partial(stalling.Vigil, look_seconds=0.2, looks=3)
    monkeypatch.setattr(sandbox, "Vigil", vigil)
    assert outcome(make_client(org), film.content, film.name) == "decoder_crashed"
    assert (funds(org).held, funds(org).available) == (0, 10)
    assert list(tries) == []


def pointers(corpus: list[Attack], folder: Path) -> list[Path]:
    """The files that name others."""
    found = []
    for attack in corpus:
        if " to a " in attack.name:
            found.append(folder / attack.name)
            found[-1].write_bytes(attack.content)
    return found


def how_it_ends(path: Path) -> str:
    try:
        operations.probe(path, limits=Limits(wall_seconds=60))
    except MediaError as error:
        return error.code.value
    return "believed"


def test_files_that_name_others_are_not_followed_whatever_they_are_called(corpus, server, tmp_path):
    """The named pipe would hang, and end as timed_out; the server would be hit."""
    found = pointers(corpus, tmp_path)
    assert len(found) == 21
    names = []
    for path in found:
        for extension in EXTENSIONS:
            names.append(path.with_suffix(f".{extension}"))
            if names[-1] != path:
                os.link(path, names[-1])
    with ThreadPoolExecutor(4) as pool:
        ends = dict(zip(names, pool.map(how_it_ends, names), strict=True))
    assert {path.name: end for path, end in ends.items() if end != "not_a_video"} == {}
    assert server.hits == []


def test_the_corpus_finds_a_reader_that_follows_playlists(corpus, server, tmp_path, monkeypatch):
    """Seeded: demuxers of playlists are let in, protocols of the network, and the network."""
    lists = (
        f"FORMATS = {ffmpeg.FORMATS + ',hls,concat,applehttp'!r}\n"
        f"PROTOCOLS = {ffmpeg.PROTOCOLS + ',http,tcp,crypto'!r}\n"
        "from clipforge.media import isolation\n"
        "isolation.confine = lambda reads, writes: None\n"
    )
    monkeypatch.setattr(sandbox, "_start", started_with(lists))
    (path,) = (p for p in pointers(corpus, tmp_path) if p.name.startswith("master to a http"))
    with pytest.raises(MediaError):
        operations.probe(path.rename(tmp_path / "list.m3u8"), limits=Limits(wall_seconds=60))
    hits, server.hits = server.hits, []
    assert hits != []


@pytest.mark.django_db
@pytest.mark.parametrize("name", NASTY_NAMES)
def test_a_nasty_name_is_only_a_name(corpus, name, settings):
    api = make_client(make_organization(credits_=1))
    (film,) = (each for each in corpus if each.name == "no sound.mp4")
    file: Any = SimpleUploadedFile("x", film.content)
    file.name = name
    response = api.post("/api/v1/projects", {"file": file}, format="multipart")
    assert response.status_code == 201, response.content
    project = Project.objects.get()
    assert stored_files() == [Path(str(project.org_id), "projects", str(project.pk), "source")]
