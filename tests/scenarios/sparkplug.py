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


def members(data: bytes) -> list:
    """(field number, value) of a message: numbers, or bytes that may be a message themselves."""
    found, at = [], 0

    def read_varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
            if byte < 128:
                return value

    while at < len(data):
        key = read_varint()
        field, wire = key >> 3, key & 7
        if wire == 0:
            found.append((field, read_varint()))
        else:
            size = {1: 8, 5: 4}[wire] if wire in (1, 5) else read_varint()
            found.append((field, data[at:at + size]))
            at += size
    return found


def decoded(data: bytes) -> dict:
    """A payload: its stamp in ms, seq and metrics, each with name, alias, type, stamp, historical and value."""
    out: dict = {"seq": None, "ms": None, "metrics": []}
    for field, value in members(data):
        if field == 1:
            out["ms"] = value
        elif field == 3:
            out["seq"] = value
        elif field == 2:
            one = dict(members(value))
            real = struct.unpack("<d", one[13])[0] if 13 in one else struct.unpack("<f", one[12])[0] if 12 in one else None
            text = one[15].decode() if 15 in one else None
            flag = bool(one[14]) if 14 in one else None
            whole = one.get(11, one.get(10))
            known = [v for v in (real, text, flag, whole) if v is not None]
            out["metrics"].append({"name": one[1].decode() if 1 in one else None, "alias": one.get(2), "ms": one.get(3), "type": one.get(4),
                                   "historical": bool(one.get(5)), "value": None if one.get(7) else known[0] if known else None})
    return out
