"""A serial line on a pseudo-terminal that takes as long as 9600 baud do.

line.py LINK SILENT_AFTER UNIT…: the units answer with any registers they are asked for; the last one falls silent after so many seconds (0: never).
"""
import os
import pathlib
import struct
import sys
import time
import tty

BYTE = 11 / 9600
TURNAROUND = .02
HERE = pathlib.Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[2] / "tests" / "scenarios"))
from hostile_meter import crc16  # noqa: E402


def main(link: str, silent_after: float, units: list[int]):
    ours, theirs = os.openpty()
    tty.setraw(ours)
    tty.setraw(theirs)
    pathlib.Path(link).unlink(missing_ok=True)
    os.symlink(os.ttyname(theirs), link)
    began, waiting = time.monotonic(), b""
    while True:
        waiting += os.read(ours, 1024)
        while len(waiting) >= 8:
            frame, waiting = waiting[:8], waiting[8:]
            unit, function, _, count = struct.unpack(">BBHH", frame[:6])
            if crc16(frame[:6]) != frame[6:]:
                waiting = b""
                break
            if unit not in units or (silent_after and unit == units[-1] and time.monotonic() - began > silent_after):
                continue
            answer = bytes([unit, function, 2 * count]) + struct.pack(">f", 230.5) * (count // 2)
            answer += crc16(answer)
            # The pseudo-terminal takes no time for the request, nor for the answer, which arrives in two pieces.
            at = time.monotonic() + len(frame) * BYTE + TURNAROUND
            for piece in (answer[:len(answer) // 2], answer[len(answer) // 2:]):
                at += len(piece) * BYTE
                time.sleep(max(0, at - time.monotonic()))
                os.write(ours, piece)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), [int(unit) for unit in sys.argv[3:]])
