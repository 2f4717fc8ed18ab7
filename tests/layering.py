#!/usr/bin/python3
"""The rooms stand on floors: a file may include its own room and rooms on lower floors, never one beside or above.

Prints one line for each include that climbs, and exits with 1 when there is one.
"""
import pathlib
import re
import sys

FLOOR = {
    "telemetry": 0, "config": 1,
    "drivers": 2, "storage": 2, "ml-lite": 2, "rules": 2, "datasets": 2,
    "pipeline": 3, "analytics": 3, "sync": 3, "notify": 3, "reports": 3,
    "api": 4, "daemon": 5,
}
SIDE = {"cli", "simulator"}  # beside the house: they may look at floors 0 to 2
SIDE_LIMIT = 2
INCLUDE = re.compile(r'^\s*#\s*include\s+"([a-z-]+)/')


def climbs(room: str, other: str) -> bool:
    if room == other or other not in FLOOR.keys() | SIDE:
        return False
    if other in SIDE:
        return True
    if room in SIDE:
        return FLOOR[other] > SIDE_LIMIT
    return FLOOR[other] >= FLOOR[room]


def main(root: pathlib.Path) -> int:
    found = 0
    for room in sorted(FLOOR.keys() | SIDE):
        for path in sorted((root / room).rglob("*")):
            if path.suffix not in {".h", ".cpp"}:
                continue
            for number, line in enumerate(path.read_text().splitlines(), 1):
                match = INCLUDE.match(line)
                if match and climbs(room, match[1]):
                    print(f"{path.relative_to(root)}:{number}: {room} may not include {match[1]}")
                    found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()))
