"""The first bytes of the containers that we accept: what is none of them need not be read to its end."""

from __future__ import annotations

# So many bytes are enough to tell, also where something else comes before the first packet.
HEAD_BYTES = 64 * 1024

# Of the first box of QuickTime and MP4, after its length.
_BOXES = frozenset(
    b"ftyp moov mdat free skip wide pnot pict junk udta uuid meta prfl styp sidx moof emsg".split()
)
_MATROSKA = b"\x1a\x45\xdf\xa3"
_ASF = b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"
_AVI = (b"AVI", b"AMV", b"ON2")
# Packets of a transport stream: plain, with a time before each (Blu-ray, AVCHD), with a checksum after.
_PACKETS = (188, 192, 204)
_SYNC, _IN_A_ROW = 0x47, 4
# A pack, a system header, a stream of a program stream.
_PROGRAM = frozenset({0xBA, 0xBB, 0xBD, *range(0xC0, 0xF0)})


def may_be_video(head: bytes) -> bool:
    """Whether a file that begins so may be in a container that we accept: `ffmpeg.FORMATS`.

    False is certain, given HEAD_BYTES of it; what is True is for the probe to find out.
    """
    if head.startswith(b"ID3"):  # libav looks behind such a tag
        behind = _after_tag(head)
        return behind >= len(head) or may_be_video(head[behind:])
    return (
        head[4:8] in _BOXES
        or head.startswith((_MATROSKA, _ASF, b"FLV"))
        or (head[:4] in {b"RIFF", b"ON2 "} and head[8:11] in _AVI)
        or _has_packets(head)
        or _has_program(head)
    )


def _after_tag(head: bytes) -> int:
    length = 0
    for byte in head[6:10]:
        length = length << 7 | byte & 0x7F
    return 10 + length


def _has_packets(head: bytes) -> bool:
    at = head.find(_SYNC)
    while at >= 0:
        for size in _PACKETS:
            row = head[at : at + size * _IN_A_ROW : size]
            if len(row) == _IN_A_ROW and row.count(_SYNC) == _IN_A_ROW:
                return True
        at = head.find(_SYNC, at + 1)
    return False


def _has_program(head: bytes) -> bool:
    at = head.find(b"\0\0\1")
    while 0 <= at < len(head) - 3:
        if head[at + 3] in _PROGRAM:
            return True
        at = head.find(b"\0\0\1", at + 3)
    return False
