"""Reads Parquet files, written after the specification: a peer that shares no code with the gateway."""
import struct

CODEC_SNAPPY, OPTIONAL = 1, 1
BOOLEAN, INT64, DOUBLE, BYTE_ARRAY = 0, 2, 5, 6


class Thrift:
    """The compact protocol: structs become {field number: value}."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.data[self.at]
            value, shift, self.at = value | (byte & 127) << shift, shift + 7, self.at + 1
            if byte < 128:
                return value

    def zigzag(self) -> int:
        value = self.varint()
        return value >> 1 ^ -(value & 1)

    def value(self, kind: int):
        if kind in (1, 2):
            return kind == 1
        if kind in (4, 5, 6):
            return self.zigzag()
        if kind == 8:
            size = self.varint()
            self.at += size
            return self.data[self.at - size:self.at]
        if kind == 9:
            head = self.data[self.at]
            self.at += 1
            size = head >> 4 if head >> 4 < 15 else self.varint()
            return [self.value(head & 15) for _ in range(size)]
        assert kind == 12, kind
        return self.struct()

    def struct(self) -> dict:
        found, number = {}, 0
        while head := self.data[self.at]:
            self.at += 1
            number = number + (head >> 4) if head >> 4 else self.zigzag()
            found[number] = self.value(head & 15)
        self.at += 1
        return found


def unsnappy(data: bytes) -> bytes:
    reader = Thrift(data)
    size, out = reader.varint(), bytearray()
    at = reader.at
    while at < len(data):
        tag = data[at]
        at += 1
        if tag & 3 == 0:
            length = (tag >> 2) + 1
            if length > 60:
                extra = length - 60
                length = int.from_bytes(data[at:at + extra], "little") + 1
                at += extra
            out += data[at:at + length]
            at += length
            continue
        if tag & 3 == 1:
            length, offset = (tag >> 2 & 7) + 4, (tag >> 5) << 8 | data[at]
            at += 1
        else:
            width = 2 if tag & 3 == 2 else 4
            length, offset = (tag >> 2) + 1, int.from_bytes(data[at:at + width], "little")
            at += width
        for _ in range(length):
            out.append(out[-offset])
    assert len(out) == size
    return bytes(out)


def levels(data: bytes, count: int) -> list:
    reader, found = Thrift(data), []
    while len(found) < count:
        run = reader.varint()
        assert run & 1 == 0, "only runs are written"
        found += [data[reader.at]] * (run >> 1)
        reader.at += 1
    assert len(found) == count and reader.at == len(data)
    return found


def plain(kind: int, data: bytes, count: int) -> list:
    if kind == BOOLEAN:
        return [bool(data[i // 8] >> i % 8 & 1) for i in range(count)]
    if kind in (INT64, DOUBLE):
        assert len(data) == 8 * count
        return list(struct.unpack(f"<{count}{'q' if kind == INT64 else 'd'}", data))
    found, at = [], 0
    for _ in range(count):
        size = int.from_bytes(data[at:at + 4], "little")
        found.append(data[at + 4:at + 4 + size].decode())
        at += 4 + size
    return found


def read(file: bytes) -> tuple[list, dict]:
    """Rows as dicts, without what is null; and the file's own key-value metadata."""
    assert file[:4] == file[-4:] == b"PAR1"
    size = int.from_bytes(file[-8:-4], "little")
    meta = Thrift(file[-8 - size:-8]).struct()
    schema = meta[2][1:]
    assert meta[2][0][5] == len(schema)
    rows: list = [{} for _ in range(meta[3])]
    [group] = meta[4]
    assert group[3] == len(rows) and len(group[1]) == len(schema)
    for element, chunk in zip(schema, group[1]):
        column = chunk[3]
        assert column[3] == [element[4]] and column[1] == element[1] and column[4] == CODEC_SNAPPY and column[5] == len(rows)
        reader = Thrift(file[column[9]:])
        page = reader.struct()
        body = unsnappy(file[column[9] + reader.at:column[9] + reader.at + page[3]])
        assert len(body) == page[2] and column[7] == reader.at + page[3]
        present = [1] * len(rows)
        if element[3] == OPTIONAL:
            runs = int.from_bytes(body[:4], "little")
            present, body = levels(body[4:4 + runs], len(rows)), body[4 + runs:]
        values = iter(plain(element[1], body, sum(present)))
        name = element[4].decode()
        for row, there in zip(rows, present):
            if there:
                row[name] = next(values)
        if name == "timestamp":
            stamps = [row[name] for row in rows]
            assert element[10] == {8: {1: True, 2: {2: {}}}} and struct.unpack("<qq", column[12][6] + column[12][5]) == (min(stamps), max(stamps))
    return rows, {pair[1].decode(): pair[2].decode() for pair in meta.get(5, [])}
