"""Payloads of Sparkplug B, written byte by byte after the specification: a peer that shares no code with the gateway."""
import struct

INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32, UINT64, FLOAT, DOUBLE, BOOLEAN, STRING = range(1, 13)


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def member(field: int, value: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(value)) + value


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def metric(name: str | None, kind: int, value, alias: int | None = None, ms: int | None = None, quality: int | None = None) -> bytes:
    out = b""
    if name is not None:
        out += member(1, name.encode())
    if alias is not None:
        out += number(2, alias)
    if ms is not None:
        out += number(3, ms)
    if kind is not None:
        out += number(4, kind)
    if quality is not None:
        out += member(9, member(1, b"Quality") + member(2, number(1, INT32) + number(3, quality)))
    if value is None:
        return out + number(7, 1)
    if isinstance(value, bool):
        return out + number(14, value)
    if isinstance(value, str):
        return out + member(15, value.encode())
    if isinstance(value, float):
        return out + (varint(12 << 3 | 5) + struct.pack("<f", value) if kind == FLOAT else varint(13 << 3 | 1) + struct.pack("<d", value))
    return out + (number(11, value % 2**64) if kind in (INT64, UINT64) else number(10, value % 2**32))


def payload(metrics: list, seq: int | None, ms: int) -> bytes:
    return number(1, ms) + b"".join(member(2, one) for one in metrics) + (b"" if seq is None else number(3, seq))
