#!/usr/bin/python3
"""A whole plant on this machine: mosquitto, VictoriaMetrics, simulated meters on Modbus and MQTT, and the gateway.

Runs until Ctrl-C, or for as long as --for says, and closes with figures asked of the running system.
"""
import argparse
import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from plant import BUILD, BULBS, PROFILES, Broker, Gateway, Plant, VictoriaMetrics, free_port, mqtt_config, sink_config, wait_until

CONFIG = BULBS + '''
[[devices]]
id = "D1"
name = "Electric Bulb"
type = "bulb"
location = "Plant-A"

[[rules]]
name = "Bulb Overheat"
property = "temperature"
condition = ">"
threshold = 50
severity = "high"
'''


def seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|min|h)?", text)
    if not match:
        raise argparse.ArgumentTypeError("expected a duration, as in 60s or 5min")
    return float(match[1]) * {"s": 1, None: 1, "m": 60, "min": 60, "h": 3600}[match[2]]


def bus(host: int | None, tty, device: str, profile: str) -> str:
    line = f'host = "127.0.0.1"\nport = {host}' if host else f'device = "{tty}"'
    return f'[[buses]]\n{line}\n[[buses.meters]]\ndevice = "{device}"\nprofile = "{profile}"\n'


def start(plant: Plant):
    broker, upstream = Broker(plant, window=100), VictoriaMetrics(plant)
    port, tty = free_port(), plant.directory / "rs485"
    plant.sim("modbus", "--profiles", PROFILES, "--port", port, "--profile", "eastron-sdm630", name="meter-tcp")
    plant.sim("modbus", "--profiles", PROFILES, "--pty", tty, "--profile", "eastron-sdm120", name="meter-rtu")
    wait_until(tty.is_symlink, what="the serial meter is there")
    gateway = Gateway(plant, CONFIG + mqtt_config(broker, 100) + bus(port, None, "MAIN", "eastron-sdm630")
                      + bus(None, tty, "SUB-1", "eastron-sdm120") + sink_config(upstream.url))
    gateway.wait_connected()
    bulbs = plant.sim("mqtt", "--port", broker.port, "--devices", 5, "--interval", 1, "--fault", "overheat=0.02",
                      "--fault", "malformed=0.01", "--at", "2:overheat:D1", name="bulbs")
    return gateway, upstream, bulbs


def summary(gateway, upstream, pss_mb: float) -> dict:
    status = gateway.status()
    pipeline = status["pipeline"]
    binary = BUILD / "wattd"
    stripped = pathlib.Path(tempfile.mkdtemp(dir=gateway.directory)) / "wattd"
    subprocess.run(["strip", "-o", stripped, binary], check=True)
    return {"received": pipeline["received"], "committed": pipeline["committed"], "rejected": pipeline["rejected"],
            "alerts": pipeline["alerts"], "upstream_samples": upstream.count(), "local_samples": gateway.local_samples(),
            "commit_ms_p95": round(pipeline["commit_ms_p95"], 2), "alert_ms_p95": round(pipeline["alert_ms_p95"], 2),
            "pss_mb": round(pss_mb, 1), "binary_mb": round(stripped.stat().st_size / 1e6, 1)}


def pss_of(pid: int) -> float:
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+)", text, re.M)[1]) / 1024


def tell(text: str, quiet: bool):
    if not quiet:
        print(text, flush=True)


def play(plant: Plant, options) -> int:
    gateway, upstream, bulbs = start(plant)
    tell(f"\n  page      http://127.0.0.1:{gateway.port}/\n  metrics   http://127.0.0.1:{gateway.port}/metrics\n"
         f"  upstream  {upstream.url}/vmui/\n  ask it    {BUILD}/wattctl --socket {gateway.socket} status\n", options.json)
    tell("Ctrl-C stops all." if options.for_ is None else f"Stops by itself in {options.for_:.0f} s.", options.json)
    end = None if options.for_ is None else time.monotonic() + options.for_
    try:
        while end is None or time.monotonic() < end:
            time.sleep(0.2)
    except KeyboardInterrupt:
        tell("", options.json)
    # Sources stop, what is in hand is committed and sent, and then both sides are asked.
    pss = pss_of(gateway.process.pid)
    picture = gateway.ctl("status").stdout  # before the meters are switched off
    for process in plant.processes:
        if process is bulbs or process.log.name.startswith("meter-"):
            process.stop()
    gateway.wait_shipped()
    figures = summary(gateway, upstream, pss)
    if not options.json:
        print(picture)
        print(gateway.ctl("alerts").stdout)
        for name, value in figures.items():
            print(f"{name:>18}  {value}")
    print(json.dumps(figures), flush=True)
    good = figures["upstream_samples"] == figures["local_samples"] > 0
    if not good:
        print("the upstream store and the gateway differ", file=sys.stderr)
    return 0 if good else 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__)
    parser.add_argument("--for", dest="for_", type=seconds, metavar="DURATION", help="stop after so long, as in 60s")
    parser.add_argument("--json", action="store_true", help="print nothing but one object")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    directory = pathlib.Path(tempfile.mkdtemp(prefix="wattd-demo-"))
    plant = Plant(directory)
    try:
        return play(plant, options)
    finally:
        plant.close()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
