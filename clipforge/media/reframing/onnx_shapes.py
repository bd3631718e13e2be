"""Frees the shapes of an ONNX model, so that it takes pictures of any size.

CenterFace is published for ten pictures of 32x32, though it is made of convolutions alone. The file is a
protocol buffer, of which only the few messages on the way to those shapes are read: the `onnx` package
would bring 20 MB for this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Fields of onnx.ModelProto, GraphProto and ValueInfoProto.
GRAPH, INPUT, OUTPUT, VALUE_INFO, NAME = 7, 11, 12, 13, 1
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
FLOAT_TENSOR = b"\x08\x01"  # TypeProto.Tensor: elem_type = FLOAT
AXES = 4


def freed(model: bytes, names: Iterable[str]) -> bytes:
    """The model in which the named inputs and outputs have four axes of any length.

    What it says of the shapes in between is left out, since it follows from these. Raises ValueError
    for what is no protocol buffer.
    """
    wanted = {name.encode() for name in names}
    return b"".join(
        _message(GRAPH, _freed_graph(content, wanted)) if field == GRAPH else raw
        for field, content, raw in _fields(model)
    )


def _freed_graph(graph: bytes, wanted: set[bytes]) -> bytes:
    parts = []
    for field, content, raw in _fields(graph):
        if field == VALUE_INFO:
            continue
        if field in {INPUT, OUTPUT} and (name := _name(content)) in wanted:
            parts.append(_message(field, _message(NAME, name) + _free_type(name)))
        else:
            parts.append(raw)
    return b"".join(parts)


def _name(value_info: bytes) -> bytes:
    return next((content for field, content, _ in _fields(value_info) if field == NAME), b"")


def _free_type(name: bytes) -> bytes:
    """TypeProto { tensor_type { elem_type, shape { dim { dim_param } ... } } }, each axis its own name."""
    axes = (name + b"/%d" % axis for axis in range(AXES))
    shape = b"".join(_message(1, _message(2, axis)) for axis in axes)
    return _message(2, _message(1, FLOAT_TENSOR + _message(2, shape)))


def _fields(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Number, content and whole bytes of each field. The content of a number is empty."""
    at = 0
    while at < len(message):
        begin = at
        key, at = _varint(message, at)
        kind, content = key & 7, b""
        if kind == BYTES:
            length, at = _varint(message, at)
            content = message[at : at + length]
            at += length
        elif kind == VARINT:
            _, at = _varint(message, at)
        elif kind in {FIXED32, FIXED64}:
            at += 4 if kind == FIXED32 else 8
        else:
            raise ValueError(f"not a model: field of kind {kind}")
        if at > len(message):
            raise ValueError("not a model: it breaks off")
        yield key >> 3, content, message[begin:at]


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message):
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError("not a model: it breaks off")


def _message(field: int, content: bytes) -> bytes:
    return _encoded(field << 3 | BYTES) + _encoded(len(content)) + content


def _encoded(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
