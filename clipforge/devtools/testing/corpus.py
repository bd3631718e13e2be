"""Files that attack their reader, made from nothing: `python -m clipforge.devtools.testing.corpus DIR`.

`attacks` names each with the outcomes that are right for it. Those that point elsewhere point at a
named pipe, where a reader hangs, and at a server that counts its connections.
"""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from clipforge.media import ffmpeg

SECONDS = 4
# One thread: how many there are would show in the bits, and a rotten bit be another one.
H264 = (
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-pix_fmt",
    "yuv420p",
    "-g",
    "30",
    "-threads",
    "1",
)
AAC = ("-c:a", "aac")

# Outcomes: the code with which the upload or the analysis is refused, or how it ends.
NOT_A_VIDEO = frozenset({"not_a_video"})
FINE = frozenset({"READY", "EMPTY"})
DAMAGED = frozenset({"truncated", "not_a_video"})


class Attack(NamedTuple):
    name: str
    content: bytes
    right: frozenset[str]


def attacks(folder: Path, *, url: str) -> Iterator[Attack]:
    """Every file. `folder` is for what is made on the way; `url` is the server that counts."""
    films = Films(folder)
    yield from _no_videos()
    yield from _cut_and_rotten(films)
    yield from _boxes(films)
    yield from _absurd(films)
    yield from _unusual(films)
    yield from _pointers(folder, url)


# --- films ----------------------------------------------------------------------------


class Films:
    """Small videos by ffmpeg, without any of our protections."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.moov_last = self.make("last.mp4")
        self.moov_first = self.make("first.mp4", "-movflags", "+faststart")

    def make(self, name: str, *options: str, seconds: float = SECONDS, **picture: str) -> bytes:
        """A moving picture and a tone; `picture` changes its size or its rate."""
        shape = {"s": "160x120", "r": "30", **picture}
        source = ":".join(f"{key}={value}" for key, value in shape.items())
        return self.run(
            name,
            *("-f", "lavfi", "-i", f"testsrc2={source}:d={seconds}"),
            *("-f", "lavfi", "-i", f"sine=d={seconds}"),
            *(*H264, *AAC, *options),
        )

    def run(self, name: str, *arguments: str) -> bytes:
        path = self._folder / name
        command = [ffmpeg.executable(), "-nostdin", "-v", "error", "-y", *arguments, str(path)]
        subprocess.run(command, check=True, capture_output=True)
        return path.read_bytes()

    def path(self, name: str) -> str:
        return str(self._folder / name)


def _no_videos() -> Iterator[Attack]:
    noise = random.Random(1)  # noqa: S311 - no secret
    yield Attack("zero bytes.mp4", b"", frozenset({"empty_file"}))
    yield Attack("one byte.mp4", b"\0", NOT_A_VIDEO)
    yield Attack("text.mp4", b"This is no video.\n" * 2000, NOT_A_VIDEO)
    yield Attack("random.mp4", noise.randbytes(300_000), NOT_A_VIDEO)
    yield Attack("page.mp4", b"<!doctype html><script>alert(1)</script>" * 500, NOT_A_VIDEO)
    yield Attack("program.mp4", b"\x7fELF" + noise.randbytes(50_000), NOT_A_VIDEO)
    yield Attack("archive.mp4", b"PK\3\4" + noise.randbytes(50_000), NOT_A_VIDEO)


def _cut_and_rotten(films: Films) -> Iterator[Attack]:
    for percent in (1, 50, 99):
        cut = films.moov_last[: len(films.moov_last) * percent // 100]
        yield Attack(f"index last, cut at {percent}.mp4", cut, NOT_A_VIDEO)
        cut = films.moov_first[: len(films.moov_first) * percent // 100]
        yield Attack(f"index first, cut at {percent}.mp4", cut, DAMAGED | FINE)
    for seed in range(3):
        rot = random.Random(seed)  # noqa: S311 - no secret
        picture, index = bytearray(films.moov_last), bytearray(films.moov_last)
        start, end = picture.index(b"mdat") + 4, picture.rindex(b"moov") - 4
        for _ in range(200):
            picture[rot.randrange(start, end)] ^= 1 << rot.randrange(8)
        yield Attack(f"rotten pictures {seed}.mp4", bytes(picture), FINE)
        for _ in range(20):
            index[rot.randrange(end + 8, len(index))] ^= 1 << rot.randrange(8)
        yield Attack(f"rotten index {seed}.mp4", bytes(index), WHAT_A_FILE_MAY_BE)
    for what, (box_, offset, bit, right) in ONE_BIT.items():
        film = bytearray(films.moov_last)
        film[film.index(box_, film.rindex(b"moov")) + offset] ^= bit
        yield Attack(f"one bit of {what}.mp4", bytes(film), right)


# Twenty flipped bits in an index may make it say anything about the file; that our limits had to end
# it, or that the decoder died, is nothing that a file may be.
WHAT_A_FILE_MAY_BE = DAMAGED | FINE | {"bad_dimensions", "too_long", "too_short"}
WHAT_A_FILE_MAY_BE |= {"no_video_stream", "unsupported_codec"}

# What one flipped bit makes of a good film: box, offset in it from its name, bit, outcome.
ONE_BIT: dict[str, tuple[bytes, int, int, frozenset[str]]] = {
    "the index": (b"moov", 3, 1, NOT_A_VIDEO),
    "the first track": (b"trak", 3, 1, frozenset({"no_video_stream"})),
    "its length": (b"tkhd", -4, 0x40, frozenset({"no_video_stream"})),
    "its clock": (b"mdhd", 16, 0x40, frozenset({"too_short"})),
    "the codec": (b"avc1", 0, 1, frozenset({"unsupported_codec"})),
    "its configuration": (b"avcC", 0, 1, NOT_A_VIDEO),
    "the list of sizes": (b"stsz", 8, 0x40, NOT_A_VIDEO),
    "a size": (b"stsz", 16, 0x40, NOT_A_VIDEO),
    "the list of times": (b"stts", 0, 1, NOT_A_VIDEO),
    "a time": (b"stts", 12, 0x40, FINE),
    "a place": (b"stco", 12, 0x40, FINE),
}


def _boxes(films: Films) -> Iterator[Attack]:
    """An MP4 is boxes of (size, name, content)."""
    film = films.moov_last
    at = film.rindex(b"moov") - 4
    before, moov = film[:at], film[at:]
    yield Attack("index without pictures.mp4", box(b"ftyp", b"isom\0\0\2\0") + moov, DAMAGED)
    yield Attack("pictures of zeros.mp4", _zeroed(before) + moov, DAMAGED)
    yield Attack("two indexes.mp4", film + moov, DAMAGED | FINE)
    deep = moov
    for _ in range(2000):
        deep = box(b"moov", deep)
    yield Attack("index in an index, two thousand deep.mp4", before + deep, DAMAGED | FINE)
    endless = before + struct.pack(">I", 0xFFFFFFFF) + moov[4:]
    yield Attack("index of four gigabytes.mp4", endless, DAMAGED | FINE)
    start = moov.index(b"trak") - 4
    trak = moov[start : start + int.from_bytes(moov[start : start + 4], "big")]
    crowd = box(b"moov", moov[8:] + trak * 3000)
    yield Attack("three thousand streams.mp4", before + crowd, NOT_A_VIDEO | {"out_of_memory"})


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content) + 8) + name + content


def _zeroed(film: bytes) -> bytes:
    start = film.index(b"mdat") + 4
    return film[:start] + bytes(len(film) - start)


def _absurd(films: Films) -> Iterator[Attack]:
    film = bytearray(films.moov_last)
    at = film.index(b"avc1", film.index(b"stsd")) + 28
    film[at : at + 4] = struct.pack(">HH", 60000, 60000)
    yield Attack("says 60000 by 60000.mp4", bytes(film), FINE | {"bad_dimensions", "not_a_video"})
    wide = ("-f", "lavfi", "-i", "color=s=16000x16000:d=0.1:r=10", "-c:v", "mjpeg", "-q:v", "31")
    yield Attack("16000 by 16000.avi", films.run("wide.avi", *wide), frozenset({"bad_dimensions"}))
    tiny = films.make("tiny.mp4", s="32x8")
    yield Attack("32 by 8.mp4", tiny, frozenset({"bad_dimensions"}))
    yield Attack("a fifth of a second.mp4", films.make("short.mp4", seconds=0.2), TOO_SHORT)
    mkv = bytearray(films.make("long.mkv"))
    at = mkv.index(b"\x44\x89") + 3
    mkv[at : at + 8] = struct.pack(">d", 36_000_000.0)
    yield Attack("says ten hours.mkv", bytes(mkv), frozenset({"too_long"}))
    film = bytearray(films.moov_last)
    for name in (b"mvhd", b"tkhd", b"mdhd"):
        at = film.index(name) + (24 if name == b"tkhd" else 20)
        film[at : at + 4] = struct.pack(">I", 0x7FFFFFFF)
    yield Attack("says twenty-five days.mp4", bytes(film), FINE | {"too_long", "truncated"})
    gap = "setpts='if(gt(N,30),PTS+36000/TB,PTS)'"
    bomb = films.make("gap.mkv", "-vf", gap, "-fps_mode", "passthrough")
    yield Attack("ten hours between two pictures.mkv", bomb, TOO_LONG)
    gap = "setpts='if(gt(N,30),PTS+3000/TB,PTS)'"
    bomb = films.make("gap2.mkv", "-vf", gap, "-fps_mode", "passthrough")
    yield Attack("fifty minutes between two pictures.mkv", bomb, FINE | {"truncated", "too_long"})


TOO_SHORT = frozenset({"too_short"})
TOO_LONG = frozenset({"too_long"})


def _unusual(films: Films) -> Iterator[Attack]:
    sound = ("-f", "lavfi", "-i", f"sine=d={SECONDS}")
    cover = ("-f", "lavfi", "-i", "color=s=64x64:d=1", "-map", "0", "-map", "1")
    attached = ("-frames:v", "1", "-c:v", "mjpeg", "-disposition:v", "attached_pic")
    covered = films.run("cover.mp4", *sound, *cover, *AAC, *attached)
    yield Attack("sound with a cover.mp4", covered, frozenset({"no_video_stream"}))
    yield Attack("sound.mp4", films.run("s.mp4", *sound, *AAC), frozenset({"no_video_stream"}))
    picture = ("-f", "lavfi", "-i", f"testsrc2=s=160x120:r=30:d={SECONDS}")
    silent = films.run("silent.mp4", *picture, *H264)
    yield Attack("no sound.mp4", silent, FINE)
    many = [part for _ in range(10) for part in ("-map", "1")]
    ten = films.run("ten.mkv", *picture, *sound, "-map", "0", *many, *H264, *AAC)
    yield Attack("ten sounds.mkv", ten, FINE)
    crowd = [part for _ in range(40) for part in ("-map", "1")]
    forty = films.run("forty.mkv", *picture, *sound, "-map", "0", *crowd, *H264, *AAC)
    yield Attack("forty sounds.mkv", forty, FINE | NOT_A_VIDEO)
    deep = ("-c:v", "ffv1", "-pix_fmt", "gray16le", *AAC)
    yield Attack(
        "sixteen bits.mkv", films.make("deep.mkv", *deep), frozenset({"unsupported_codec"})
    )
    prores = films.make("pro.mov", "-c:v", "prores_ks", "-pix_fmt", "yuv422p10le", "-vf", "null")
    yield Attack("ten bits.mov", prores, FINE)
    odd = films.make("odd.mp4", "-pix_fmt", "yuv444p", s="161x121")
    yield Attack("odd size.mp4", odd, FINE)
    (source := Path(films.path("upright.mp4"))).write_bytes(films.moov_last)
    turned = ("-display_rotation", "90", "-i", str(source), "-c", "copy")
    yield Attack("turned.mp4", films.run("turned.mp4", *turned), FINE)
    vfr = films.make("vfr.mkv", "-vf", "select='not(mod(n,7))+lt(n,20)'", "-fps_mode", "vfr")
    yield Attack("varying rate.mkv", vfr, FINE)
    curve = ("-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc")
    yield Attack("high dynamic range.mp4", films.make("hdr.mp4", *curve), FINE)
    stream = films.make("s.ts")
    yield Attack("noise, then a stream.ts", random.Random(2).randbytes(999) + stream, FINE)  # noqa: S311
    yield Attack("video, then an archive.mp4", films.moov_last + b"PK\3\4" + bytes(9999), FINE)


# --- files that name others -----------------------------------------------------------

# Which make readers believe them, or not.
EXTENSIONS = ("mp4", "m3u8", "mkv", "mpd", "ts", "sdp", "avi", "mov", "webm", "flv")


def _pointers(folder: Path, url: str) -> Iterator[Attack]:
    """Each under the names of videos too: what it is called must not matter."""
    pipe = folder / "secret.ts"
    if not pipe.exists():
        os.mkfifo(pipe)
    kinds: dict[str, Callable[[str], str]] = {
        "hls": lambda to: f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{to}\n#EXT-X-ENDLIST\n",
        "master": lambda to: f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{to}\n",
        "key": lambda to: f'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{to}"\n#EXTINF:9,\n{to}\n',
        "dash": lambda to: (
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
            'mediaPresentationDuration="PT9S"><Period><AdaptationSet mimeType="video/mp4">'
            f'<Representation id="1" bandwidth="1"><BaseURL>{to}</BaseURL></Representation>'
            "</AdaptationSet></Period></MPD>"
        ),
        "concat": lambda to: f"ffconcat version 1.0\nfile '{to}'\n",
        "sdp": lambda to: (
            "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
            f"a=control:{to}\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
        ),
        "list": lambda to: f"{to}\n",
    }
    targets = {"file": f"file://{pipe}", "path": str(pipe), "http": url}
    number = 0
    for kind, text in kinds.items():
        for where, target in targets.items():
            name = f"{kind} to a {where}.{EXTENSIONS[number % len(EXTENSIONS)]}"
            number += 1
            yield Attack(name, text(target).encode().ljust(2000, b"\n"), NOT_A_VIDEO)


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    (work := folder / "parts").mkdir(exist_ok=True)
    for attack in attacks(work, url="http://127.0.0.1:9/"):
        (folder / attack.name).write_bytes(attack.content)
        sys.stdout.write(f"{attack.name}: {' or '.join(sorted(attack.right))}\n")


if __name__ == "__main__":
    main()
