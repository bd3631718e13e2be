"""The first bytes of a file: no video that we accept is refused by it, and what is none is."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from clipforge.devtools.testing.corpus import attacks
from clipforge.media import ffmpeg
from clipforge.media.signatures import HEAD_BYTES, may_be_video
from clipforge.media.tests.samples import run_ffmpeg

SOURCE = ("-f", "lavfi", "-i", "testsrc2=s=160x120:r=25:d=1")

CONTAINERS = {
    "mp4": "mp4",
    "mov": "mov",
    "faststart.mp4": "mp4",
    "fragmented.mp4": "mp4",
    "mkv": "matroska",
    "webm": "webm",
    "avi": "avi",
    "ts": "mpegts",
    "m2ts": "mpegts",
    "mpg": "mpeg",
    "vob": "mpeg",
    "wmv": "asf",
    "flv": "flv",
}
OPTIONS = {
    "faststart.mp4": ("-movflags", "+faststart"),
    "fragmented.mp4": ("-movflags", "frag_keyframe+empty_moov"),
    "m2ts": ("-mpegts_m2ts_mode", "1", "-f", "mpegts"),
    "webm": ("-c:v", "libvpx", "-deadline", "realtime"),
}


def test_a_file_in_every_container_that_we_accept_passes(tmp_path: Path):
    assert set(CONTAINERS.values()) == set(ffmpeg.FORMATS.split(","))
    for ending in CONTAINERS:
        path = tmp_path / f"film.{ending}"
        run_ffmpeg(*SOURCE, *OPTIONS.get(ending, ()), str(path))
        head = path.read_bytes()[:HEAD_BYTES]
        assert may_be_video(head), ending
        assert may_be_video(b"ID3\x04\0\0\0\0\x01\0" + b"\0" * 128 + head), ending


def test_what_the_upload_accepts_passes_and_much_of_what_it_refuses_does_not(tmp_path: Path):
    refused = set()
    for attack in attacks(tmp_path, url="http://127.0.0.1:9"):
        if not may_be_video(attack.content[:HEAD_BYTES]):
            assert attack.right & {"not_a_video", "empty_file"}, attack.name
            refused.add(attack.name)
    assert len(refused) >= 5


@pytest.mark.parametrize(
    "beginning",
    [
        b"PK\x03\x04",
        b"%PDF-1.7\n",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0\0\x10JFIF",
        b"GIF89a",
        b"RIFF\x24\x08\0\0WAVEfmt ",
        b"RIFF\x24\x08\0\0WEBPVP8 ",
        b"OggS",
        b"fLaC",
        b"\x7fELF",
        b"\x1f\x8b\x08",
        b"<html>",
        b"#EXTM3U\n",
        b"",
    ],
)
def test_what_is_no_video_does_not_pass(beginning: bytes):
    assert not may_be_video(beginning + b"some words, again and again; " * 2048)


def test_noise_hardly_ever_passes():
    noise = random.Random(1)
    passed = sum(may_be_video(noise.randbytes(HEAD_BYTES)) for _ in range(200))
    assert passed <= 4
