"""Meters as other people's servers play them: every profile, read from an image of the meter's published register map."""
import json
import math
import os
import pathlib
import subprocess
import time
import tomllib

import pytest

import hostile_meter
import modbus_peer
from plant import BUILD, PROFILES, Gateway, can_connect, free_port, wait_until

SUNSPEC = {"sunspec-common": 1, "sunspec-meter-int": 203, "sunspec-meter-float": 213, "sunspec-inverter-int": 103, "sunspec-inverter-float": 113}


def images(folder: pathlib.Path) -> dict:
    found = {}
    for seed, path in enumerate(sorted(path for path in folder.glob("*.csv") if path.stem != "_index")):
        model = SUNSPEC.get(path.stem)
        found[path.stem] = modbus_peer.sunspec(path, seed, model) if model else modbus_peer.Image(path, seed)
    return found


@pytest.mark.parametrize("folder", ["meters", "meters/more"])
def test_every_profile_reads_what_stands_in_the_registers(plant, shared, folder):
    every = images(shared / folder)
    assert len(every) > 40
    for first in range(0, len(every), 200):  # a server has at most 247 units
        some = dict(list(every.items())[first:first + 200])
        port, file = free_port(), plant.directory / f"images{first}.json"
        file.write_text(json.dumps({unit: image.tables for unit, image in enumerate(some.values(), 1)}))
        plant.run(f"pymodbus{first}", ["/usr/bin/python3", modbus_peer.__file__, port, file])
        wait_until(lambda: can_connect(port), 60, what="pymodbus answers")
        problems = [problem for unit, (name, image) in enumerate(some.items(), 1) for problem in compare(name, image, port, unit)]
        assert problems == []


def compare(name: str, image, port: int, unit: int) -> list[str]:
    done = subprocess.run([BUILD / "wattctl", "--json", "meter", "read", name, "--profiles", PROFILES, "--tcp", f"127.0.0.1:{port}", "--unit",
                           str(unit), "--experimental"], capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        return [f"{name}: {done.stderr.strip() or done.stdout[-400:]}"]
    found = {row["measurand"]: row.get("value") for row in json.loads(done.stdout)}
    problems = []
    for measurand, (verified, value) in image.expected.items():
        got = found.get(measurand)
        same = got == value if isinstance(value, str) else isinstance(got, (int, float)) and math.isclose(got, value, rel_tol=1e-6, abs_tol=1e-9)
        if not same:
            problems.append(f"{name} {measurand} ({verified}): read {got}, there stands {value}")
    return problems


def test_rows_that_nobody_verified_are_marked(shared):
    import csv
    for folder in ("meters", "meters/more"):
        for path in (shared / folder).glob("*.csv"):
            if path.stem == "_index":
                continue
            profile = tomllib.loads((PROFILES / f"{path.stem}.toml").read_text())
            assert profile["profile"].get("experimental", False) == folder.endswith("more"), path.stem
            marked = {row["measurand"] for row in profile["registers"] if row.get("experimental")}
            doubtful = {row["measurand"] for row in csv.DictReader(path.open()) if row["verified"] == "no" and not row["measurand"].startswith("sf_")}
            assert doubtful <= marked, f"{path.stem}: {doubtful - marked}"


@pytest.mark.parametrize("framing", ["tcp", "rtu"])
def test_a_meter_that_says_its_name_is_known_by_it(plant, shared, framing):
    """Nothing runs: all that it measures is 0, so that the name alone tells."""
    port, file = free_port(), plant.directory / "images.json"
    file.write_text(json.dumps({1: {"3": {address: 0 for address in range(60000)}, "4": {}}}))
    plant.run("pymodbus", ["/usr/bin/python3", modbus_peer.__file__, port, file, framing, "iEM3155"])
    wait_until(lambda: can_connect(port), 60, what="pymodbus answers")
    done = subprocess.run([BUILD / "wattctl", "--json", "meter", "scan", "--profiles", PROFILES, "--tcp", f"127.0.0.1:{port}", "--units", "1",
                           *(["--rtu-over-tcp"] if framing == "rtu" else [])], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    best = json.loads(done.stdout)[0]["candidates"][0]
    assert best["profile"] == "schneider-iem3155" and best["identified"], done.stdout


HOSTILE_SECONDS = float(os.environ.get("WATTD_HOSTILE", "60"))
ROWS = [(name, address) for name, address in zip(
    ("voltage_l1_n", "voltage_l2_n", "voltage_l3_n", "current_l1", "current_l2", "current_l3", "power_l1", "power_l2", "power_l3",
     "power_apparent_l1", "power_apparent_l2", "power_apparent_l3", "frequency", "power_total"),
    (0, 2, 4, 40, 42, 44, 80, 82, 84, 120, 122, 124, 202, 300))]
HOSTILE_PROFILE = ("registers = [\n" + "".join(f'  {{ measurand = "{name}", function = 4, address = {address}, type = "float32" }},\n' for name, address in ROWS) +
                   ']\n[profile]\nid = "hostile"\nvendor = "none"\n[requests]\nmax_registers = 50\nmax_gap = 4\n')


def test_no_wrong_value_comes_from_a_bad_line(plant):
    """Blocks of the same length at different addresses, so that a late answer would fit; holes, so that blocks are refused."""
    port, line = free_port(), plant.directory / "line"
    plant.run("tcp", ["/usr/bin/python3", hostile_meter.__file__, 1, "--tcp", port])
    plant.run("pty", ["/usr/bin/python3", hostile_meter.__file__, 2, "--pty", line])
    (plant.directory / "profiles").mkdir()
    (plant.directory / "profiles" / "hostile.toml").write_text(HOSTILE_PROFILE)
    wait_until(lambda: can_connect(port) and line.exists(), what="the meters are there")
    meters = "".join('[[buses.meters]]\ndevice = "{0}%d"\nunit = %d\nfast = "250ms"\nprofile = "hostile"\n' % (unit, unit) for unit in (1, 2))
    gateway = Gateway(plant, f'[[buses]]\nid = "tcp"\nhost = "127.0.0.1"\nport = {port}\ntimeout = "600ms"\n' + meters.format("T") +
                      f'[[buses]]\nid = "rtu"\ndevice = "{line}"\ntimeout = "600ms"\n' + meters.format("R"),
                      profiles=plant.directory / "profiles")
    time.sleep(HOSTILE_SECONDS)
    for bus in "TR":
        for unit in (1, 2):
            readings = gateway.get(f"/api/v1/data/telemetry/{bus}{unit}?limit=10000")["data"]["items"]
            assert len(readings) > HOSTILE_SECONDS / 5, f"{bus}{unit}"
            expected = {name: hostile_meter.value_at(unit, address) for name, address in ROWS}
            for reading in readings:
                for field in expected.keys() & reading.keys():
                    assert reading[field] == expected[field], f"{bus}{unit} {field} at {reading['timestamp']}"
            said = {field for reading in readings for field in expected.keys() & reading.keys()}
            assert said == set(expected) - {"frequency"}, "the address that does not exist is left out, and only that"
