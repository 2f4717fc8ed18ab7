#!/usr/bin/python3
"""Prints one JSON object a measurement. Names on the command line pick suites: ingest, footprint, storage, modbus, rules, sync, outage, fleet, ml."""
import importlib
import pathlib
import sys

sys.path[:0] = [str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).parents[1] / "tests" / "scenarios")]
SUITES = ["ingest", "footprint", "storage", "modbus", "rules", "sync", "outage", "fleet", "ml"]


def main(names: list) -> int:
    unknown = set(names) - set(SUITES)
    if unknown:
        print(f"no suite is named {', '.join(sorted(unknown))}; there are {', '.join(SUITES)}", file=sys.stderr)
        return 2
    for name in names or SUITES:
        importlib.import_module(name).main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
