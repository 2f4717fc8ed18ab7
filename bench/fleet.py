"""A thousand gateways and one VictoriaMetrics, all on this machine.

A hundred of them are real daemons, which replay a recording of ten values a second; nine hundred are light clients of the same wire format
(fleet_clients.py). Meanwhile the server is killed twice and stalls once, ten seconds each: everyone comes back together. In the end VictoriaMetrics has to hold
every sample of every gateway, once; fleet.gateways counts those of which it does. WATTD_FLEET=REAL,LIGHT,SECONDS makes it smaller.
"""
import concurrent.futures
import json
import os
import pathlib
import random
import signal
import subprocess
import time
import urllib.parse
import urllib.request

from plant import Gateway, Plant, VictoriaMetrics, wait_until
from report import ROOT, Directory, file_system, processor_seconds, report

REAL, LIGHT, SECONDS = map(int, os.environ.get("WATTD_FLEET", "100,900,120").split(","))
SETTLE = 15  # s: VictoriaMetrics keeps what it has answered for in memory for some seconds
CLIENTS = pathlib.Path(__file__).with_name("fleet_clients.py")


def record(path: pathlib.Path):
    with path.open("w") as file:
        file.write("timestamp," + ",".join(f"f{field}" for field in range(10)) + "\n")
        for second in range(SECONDS):
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1_767_225_600 + second))
            file.write(stamp + "," + ",".join(str(random.randrange(10_000) / 10) for _ in range(10)) + "\n")


def real(plant, number: int, recording: pathlib.Path, port: int):
    return Gateway(plant, f'[[replay]]\ndevice = "R{number}"\nfile = "{recording}"\n[[sinks]]\nid = "up"\nurl = "http://127.0.0.1:{port}"\n'
                          f'settle = "{SETTLE}s"\nmax_pause = "10s"\nstart_delay = "5s"\n', name=f"gateway{number}")


def by_gateway(server) -> dict:
    urllib.request.urlopen(f"{server.url}/internal/force_flush", timeout=30).read()
    query = urllib.parse.urlencode({"query": 'sum by (gateway) (count_over_time({__name__=~"device_telemetry_.+"}[1h]))', "nocache": 1})
    found = json.load(urllib.request.urlopen(f"{server.url}/api/v1/query?{query}", timeout=120))["data"]["result"]
    return {one["metric"]["gateway"]: int(float(one["value"][1])) for one in found}


def outages(server):
    """Three of ten seconds, spread over the run."""
    for how in ("killed", "stalled", "killed"):
        time.sleep(SECONDS / 4 - 10)
        if how == "killed":
            server.process.stop(signal.SIGKILL)
            time.sleep(10)
            server.start()
        else:
            os.kill(server.process.pid, signal.SIGSTOP)
            time.sleep(10)
            os.kill(server.process.pid, signal.SIGCONT)


def is_done(gateway) -> bool:
    status = gateway.status()
    return status["pipeline"]["committed"] >= SECONDS and all(
        sink["settled_seq"] == sink["last_seq"] and sink["backfill_segments"] == 0 for sink in status["sinks"])


def main():
    with Directory() as directory:
        plant = Plant(directory)
        try:
            print(json.dumps({"suite": "fleet", "real": REAL, "light": LIGHT, "seconds": SECONDS, "samples_per_second": 10 * (REAL + LIGHT), "file_system": file_system(ROOT)}), flush=True)
            server = VictoriaMetrics(plant)
            recording = directory / "recording.csv"
            record(recording)
            gateways = [real(plant, number, recording, server.port) for number in range(REAL)]
            light = subprocess.Popen(["/usr/bin/python3", CLIENTS, str(server.port), str(LIGHT), str(SECONDS), str(SETTLE)], stdout=subprocess.PIPE, text=True)
            began = time.monotonic()
            outages(server)
            said = {line.split()[0]: line.split() for line in light.communicate(timeout=SECONDS + 300)[0].splitlines()}
            with concurrent.futures.ThreadPoolExecutor(8) as some:
                list(some.map(lambda gateway: wait_until(lambda: is_done(gateway), 300, every=1, what="every daemon has sent everything"), gateways))
            took = time.monotonic() - began
            expected = {name: int(parts[1]) for name, parts in said.items()}
            for gateway in gateways:
                expected[gateway.status()["gateway_id"]] = gateway.local_samples()
            wait_until(lambda: by_gateway(server) == expected, 60, every=2, what="VictoriaMetrics holds every sample of every gateway")
            there = by_gateway(server)
            whole = sum(there.get(name) == count for name, count in expected.items())
            failures = sum(gateway.status()["sinks"][0]["failures"] for gateway in gateways)
            report("fleet.gateways", whole, "gateways", target=1000, real=REAL, light=LIGHT, samples=sum(there.values()), lost=sum(expected.values()) - sum(there.values()),
                   failures_of_real=failures, failures_of_light=sum(int(parts[2]) for parts in said.values()), caught_up_after=round(took - SECONDS, 1))
            report("fleet.cpu", processor_seconds(gateways[0].process.pid) / took * 100, "% of a core for one daemon", seconds=round(took))
            for gateway in gateways:
                gateway.process.child.terminate()
        finally:
            plant.close()
