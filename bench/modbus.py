"""What polling meters costs, how punctual it is, and what one dead meter costs the others.

modbus.tcp runs the planner's requests for an SDM630 in turns through the gateway's link and through a bare libmodbus loop,
against the same server. modbus.100meters are a hundred hosts (127.0.0.1 to .100) with a unit each, read every second into
the database. modbus.silent polls two serial lines of 9600 baud side by side, nine meters on each that ask for more than
the line can carry; on one of them a tenth dies. WATTD_BENCH_SECONDS shortens the five minutes for a quick look.
"""
import json
import os
import pathlib
import subprocess
import time

from plant import BUILD, PROFILES, Gateway, Plant, can_connect, free_port, wait_until
from report import Directory, median, processor_seconds, report

SECONDS = float(os.environ.get("WATTD_BENCH_SECONDS", "300"))
ROUNDS = 7
LINE = pathlib.Path(__file__).parent / "modbus" / "line.py"


def profile_of(name: str, rows: int) -> str:
    lines = "".join(f'  {{ measurand = "{measurand}", function = 4, address = {2 * i}, type = "float32" }},\n'
                    for i, measurand in enumerate(MEASURANDS[:rows]))
    return f'registers = [\n{lines}]\n[profile]\nid = "{name}"\nvendor = "none"\n[requests]\nmax_registers = 100\nmax_gap = 4\n'


MEASURANDS = ["voltage_l1_n", "voltage_l2_n", "voltage_l3_n", "current_l1", "current_l2", "current_l3", "power_l1", "power_l2", "power_l3",
              "power_total", "power_apparent_l1", "power_apparent_l2", "power_apparent_l3", "power_reactive_l1", "power_reactive_l2",
              "power_reactive_l3", "power_factor_l1", "power_factor_l2", "power_factor_l3", "frequency"]


def requests():
    plan = json.loads(subprocess.run([BUILD / "wattctl", "--json", "meter", "explain", "eastron-sdm630", "--profiles", PROFILES],
                                     check=True, capture_output=True, text=True).stdout)
    every = [request for request in plan if request["class"] == "all"]
    rows = sum(len(request["measurands"]) for request in every)
    report("modbus.requests.sdm630", len(every) / rows, "ratio", requests=len(every), measurands=rows, target=.08,
           against="one request a measurand")
    return [f'{request["function"]}:{request["address"]}:{request["registers"]}' for request in every]


def tcp(plant, asked: list):
    port = free_port()
    plant.sim("modbus", "--profiles", PROFILES, "--profile", "eastron-sdm630", "--port", port)
    wait_until(lambda: can_connect(port), what="the simulator listens")
    def rate(program: str) -> float:
        return float(subprocess.run([BUILD / "bench" / program, str(port), "1000", *asked], check=True, capture_output=True, text=True).stdout)
    pairs = [(rate("bench_modbus_link"), rate("bench_modbus_loop")) for _ in range(ROUNDS)]
    report("modbus.tcp", median([ours / bare for ours, bare in pairs]), "ratio", target=.9, against="a bare libmodbus loop",
           registers_per_second=round(median([ours for ours, _ in pairs])), peer=round(median([bare for _, bare in pairs])))


def hundred(plant):
    port, seconds = free_port(), min(60, SECONDS)
    profiles = plant.directory / "profiles"
    profiles.mkdir()
    (profiles / "ten.toml").write_text(profile_of("ten", 10))
    plant.sim("modbus", "--profiles", profiles, "--profile", "ten", "--address", "0.0.0.0", "--port", port)
    wait_until(lambda: can_connect(port), what="the simulator listens")
    buses = "".join(f'[[buses]]\nid = "b{i}"\nhost = "127.0.0.{i}"\nport = {port}\n[[buses.meters]]\ndevice = "M{i}"\nprofile = "ten"\n'
                    for i in range(1, 101))
    gateway = Gateway(plant, buses, name="hundred", profiles=profiles)
    time.sleep(5)
    before, began = processor_seconds(gateway.process.pid), time.monotonic()
    time.sleep(seconds)
    share = (processor_seconds(gateway.process.pid) - before) / (time.monotonic() - began)
    deviations, readings = [], 0
    for i in range(1, 101):
        items = gateway.get(f"/api/v1/data/telemetry/M{i}?limit=10000")["data"]["items"]
        at = [stamp(item["timestamp"]) % 1 for item in items[-int(seconds):]]
        readings += len(at)
        middle = median(at)
        deviations += [abs((each - middle + .5) % 1 - .5) * 1000 for each in at]
    assert readings >= 100 * (int(seconds) - 2), f"{readings} readings"
    deviations.sort()
    report("modbus.100meters", 100 * share, "% of a core", target=3, seconds=seconds, readings=readings)
    report("modbus.jitter", deviations[int(.99 * (len(deviations) - 1))], "ms", p50=round(median(deviations), 2), most=round(deviations[-1], 1), target=20)
    gateway.stop()


def stamp(text: str) -> float:
    from datetime import datetime
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def silent(plant):
    profiles = plant.directory / "profiles"
    (profiles / "twenty.toml").write_text(profile_of("twenty", 20))
    dies = 20
    config = ""
    for name, meters, silent_after in (("nine", 9, 0), ("ten", 10, dies)):
        link = plant.directory / name
        plant.run(name, ["/usr/bin/python3", LINE, link, silent_after, *range(1, meters + 1)])
        wait_until(link.is_symlink, what="the line is there")
        config += f'[[buses]]\nid = "{name}"\ndevice = "{link}"\n' + "".join(
            f'[[buses.meters]]\ndevice = "{name}{i}"\nunit = {i}\nprofile = "twenty"\n' for i in range(1, meters + 1))
    gateway = Gateway(plant, config, name="silent", profiles=profiles)
    time.sleep(dies + 10)
    def polls() -> dict:
        buses = {bus["id"]: bus for bus in gateway.get("/api/v1/status")["data"]["buses"]}
        return {name: sum(meter["polls"] - meter["failures"] for meter in buses[name]["meters"][:9]) for name in ("nine", "ten")} | {
            "load": buses["nine"]["load"], "failures": buses["ten"]["meters"][9]["failures"]}
    before = polls()
    time.sleep(SECONDS)
    after = polls()
    alone, beside = (after[name] - before[name] for name in ("nine", "ten"))
    report("modbus.silent", beside / alone, "ratio", target=.9, seconds=SECONDS, polls_alone=alone, polls_beside_a_dead_one=beside,
           dead_one_asked=after["failures"] - before["failures"], load=round(after["load"], 3))
    gateway.stop()


def main():
    with Directory() as directory:
        plant = Plant(directory)
        try:
            tcp(plant, requests())
            hundred(plant)
            silent(plant)
        finally:
            plant.close()
