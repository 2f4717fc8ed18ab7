"""A meter on a bad line: answers come late, torn, byte by byte, with noise before them, or not at all.

hostile_meter.py SEED (--tcp PORT | --pty LINK): units 1 and 2; at every even address stands the float32 1000 * unit + address; addresses from 200
to 219 do not exist.
"""
import os
import pathlib
import random
import socketserver
import struct
import sys
import threading
import time
import tty

HOLE = range(200, 220)


def value_at(unit: int, address: int) -> float:
    return float(1000 * unit + address)


def crc16(frame: bytes) -> bytes:
    crc = 0xFFFF
    for byte in frame:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return struct.pack("<H", crc)


def pdu(unit: int, request: bytes) -> bytes:
    function, address, count = struct.unpack(">BHH", request[:5])
    if any(register in HOLE for register in range(address, address + count)):
        return bytes([function | 0x80, 2])
    first = address - address % 2
    raw = b"".join(struct.pack(">f", value_at(unit, even)) for even in range(first, address + count + 1, 2))
    raw = raw[2 * (address - first):][:2 * count]
    return bytes([function, len(raw)]) + raw


class Mischief:
    """Sends answers as a bad line would."""

    def __init__(self, seed: int, send, noisy: bool):
        self.chance, self.send, self.noisy, self.lock = random.Random(seed), send, noisy, threading.Lock()

    def write(self, data: bytes):
        with self.lock:
            try:
                self.send(data)
            except OSError:
                pass  # the other side has given up

    def later(self, seconds: float, data: bytes):
        threading.Timer(seconds, self.write, [data]).start()

    def answer(self, whole: bytes, busy: bytes):
        what = self.chance.random()
        if what < .03:
            return
        if what < .08:
            return self.later(self.chance.uniform(.65, 4), whole)
        if what < .12:
            return self.write(whole[:self.chance.randrange(len(whole))])
        if what < .17:
            for byte in whole:
                self.write(bytes([byte]))
                time.sleep(.02)
            return
        if what < .20:
            return self.write(busy)
        if what < .23 and not self.noisy:
            self.later(self.chance.uniform(.05, 1.5), whole)  # twice, which a serial line's master cannot tell
        elif what < .26 and self.noisy:
            self.write(self.chance.randbytes(self.chance.randrange(1, 12)))
        elif what < .28 and self.noisy:
            spoiled = bytearray(whole)
            spoiled[self.chance.randrange(len(spoiled))] ^= 0x10
            return self.write(bytes(spoiled))
        self.write(whole)


def serve_tcp(port: int, seed: int):
    class Connection(socketserver.StreamRequestHandler):
        def handle(self):
            mischief = Mischief(seed + int(time.time()), self.request.sendall, noisy=False)
            while header := self.rfile.read(7):
                transaction, _, length, unit = struct.unpack(">HHHB", header)
                body = pdu(unit, self.rfile.read(length - 1))
                def frame(content):
                    return struct.pack(">HHHB", transaction, 0, len(content) + 1, unit) + content
                mischief.answer(frame(body), frame(bytes([body[0] & 0x7F | 0x80, 6])))

    socketserver.ThreadingTCPServer.allow_reuse_address = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", port), Connection) as server:
        server.serve_forever()


def serve_pty(link: str, seed: int):
    ours, theirs = os.openpty()
    tty.setraw(ours)
    tty.setraw(theirs)
    pathlib.Path(link).unlink(missing_ok=True)
    os.symlink(os.ttyname(theirs), link)
    mischief = Mischief(seed, lambda data: os.write(ours, data), noisy=True)
    waiting = b""
    while True:
        waiting += os.read(ours, 1024)
        while len(waiting) >= 8:
            frame = waiting[:8]
            if crc16(frame[:6]) != frame[6:]:
                waiting = waiting[1:]
                continue
            waiting = waiting[8:]
            unit = frame[0]
            if unit not in (1, 2):
                continue
            body = bytes([unit]) + pdu(unit, frame[1:6])
            busy = bytes([unit, frame[1] | 0x80, 6])
            mischief.answer(body + crc16(body), busy + crc16(busy))


if __name__ == "__main__":
    if sys.argv[2] == "--tcp":
        serve_tcp(int(sys.argv[3]), int(sys.argv[1]))
    else:
        serve_pty(sys.argv[3], int(sys.argv[1]))
