"""What it takes to send upstream.

Ten devices say ten fields a second, and the gateway adds an adjusted counter to each: 11 million samples, replayed into the gateway first. A receiver that keeps every body says what they
weigh on the wire (sync.wire). VictoriaMetrics then takes the same samples from the gateway, until it counts all of them (sync.backfill), and,
into an empty directory, the same bodies ready-made from curl on one connection; their rates are compared. Processor seconds
and resident memory are the gateway's meanwhile. sync.live asks VictoriaMetrics every tenth of a second for the newest sample of a device that
speaks once a second, while wattctl sync backfill sends the same samples again and again for a minute.
"""
import http.server
import json
import os
import pathlib
import random
import subprocess
import threading
import time
import urllib.parse
import urllib.request

import paho.mqtt.client as mqtt

from plant import Broker, Gateway, Plant, VictoriaMetrics, free_port, mqtt_config, wait_until
from report import ROOT, Directory, file_system, processor_seconds, report

DEVICES, READINGS = 10, 100_000
FIELDS = [f"{name}_{phase}" for name in ("voltage", "current", "power") for phase in ("l1", "l2", "l3")] + ["energy_import_total"]
SAMPLES = DEVICES * READINGS * (len(FIELDS) + 1)  # the adjusted counter beside the raw one


def record(path: pathlib.Path, seed: int, end: int):
    """A meter's day: levels that wander, with the digits that meters have."""
    chance = random.Random(seed)
    voltage, current, energy = 230.0, 12.0, 1000.0 * seed
    with path.open("w") as file:
        file.write("timestamp," + ",".join(FIELDS) + "\n")
        for second in range(READINGS):
            voltage += chance.uniform(-.1, .1) + (230 - voltage) / 100
            current = max(.2, current + chance.uniform(-.15, .15))
            volts = [round(voltage + chance.uniform(-.3, .3), 1) for _ in range(3)]
            amperes = [round(current * share + chance.uniform(-.02, .02), 2) for share in (1, .9, 1.1)]
            watts = [round(u * i, 1) for u, i in zip(volts, amperes)]
            energy += sum(watts) / 3.6e6
            values = [*volts, *amperes, *watts, round(energy, 2)]
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(end - READINGS + second))
            file.write(f"{stamp}," + ",".join(map(str, values)) + "\n")


class Bodies(http.server.BaseHTTPRequestHandler):
    """Keeps every body in a file of its own."""
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        (self.server.directory / f"{self.server.count:06}.gz").write_bytes(body)
        self.server.count += 1
        self.server.path = self.path
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def sink(port: int, name: str = "up") -> str:
    return f'[[sinks]]\nid = "{name}"\nurl = "http://127.0.0.1:{port}"\nsettle = "0s"\n'


def shipped(gateway) -> bool:
    sinks = gateway.status()["sinks"]  # none while the daemon is still starting
    return bool(sinks) and sinks[0]["behind_segments"] == 0 and sinks[0]["last_error"] is None


def sent(gateway) -> int:
    sinks = gateway.status()["sinks"]
    return sinks[0]["sent_samples"] if sinks else 0


def count(server, match: str) -> int:
    urllib.request.urlopen(f"{server.url}/internal/force_flush", timeout=10).read()
    query = urllib.parse.urlencode({"query": f"sum(count_over_time({match}[30d]))"})
    found = json.load(urllib.request.urlopen(f"{server.url}/api/v1/query?{query}", timeout=120))["data"]["result"]
    return int(float(found[0]["value"][1])) if found else 0


def forget_highest_rss(pid: int):
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


def highest_rss(pid: int) -> float:
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1000


class Live(threading.Thread):
    """A device that says the time once a second, and how old the newest of it is upstream."""

    def __init__(self, broker, server):
        super().__init__(daemon=True)
        self.server, self.ages, self.running = server, [], True
        self.client = mqtt.Client("live")
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()

    def run(self):
        said = 0.0
        while self.running:
            now = time.time()
            if now - said >= 1:
                said = now
                self.client.publish("devices/LIVE/telemetry", json.dumps({"t": now}), 1)
            query = urllib.parse.urlencode({"query": 'last_over_time(device_telemetry_t{device_id="LIVE"}[1h])'})
            found = json.load(urllib.request.urlopen(f"{self.server.url}/api/v1/query?{query}", timeout=30))["data"]["result"]
            if found:
                self.ages.append(time.time() - float(found[0]["value"][1]))
            time.sleep(.1)

    def stop(self) -> list:
        self.running = False
        self.join()
        self.client.loop_stop()
        return sorted(self.ages)


def fill(plant, broker):
    """A gateway with all samples in its ring and no upstream yet."""
    end = int(time.time()) - 7200
    tables = ""
    for device in range(DEVICES):
        path = plant.directory / f"M{device}.csv"
        record(path, device, end)
        tables += f'[[replay]]\ndevice = "M{device}"\nfile = "{path}"\nspeed = 0\nshift = false\n'
    gateway = Gateway(plant, mqtt_config(broker, 1000) + tables)
    gateway.wait_committed(DEVICES * READINGS, 600)
    # What waits upstream after an outage has long been compacted.
    compacted = -1
    while compacted != (compacted := gateway.status()["storage"]["compacted_seq"]):
        time.sleep(5)
    gateway.stop()
    return gateway


def weigh(gateway, broker, directory: pathlib.Path, name: str = "up", more: str = "") -> str:
    directory.mkdir()
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), Bodies)
    receiver.directory, receiver.count = directory, 0
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    gateway.write_config(mqtt_config(broker, 1000) + sink(receiver.server_port, name) + more)
    gateway.start()
    wait_until(lambda: shipped(gateway), 600, what="everything is sent")
    gateway.stop()
    receiver.shutdown()
    return receiver.path


def curl(plant, bodies: list, path: str) -> float:
    """Seconds for the same bodies, ready-made, on one connection into an empty VictoriaMetrics."""
    other = Plant(plant.directory / "curl")
    server = VictoriaMetrics(other)
    script = other.directory / "curl.txt"
    script.write_text("next\n".join(f'url = "{server.url}{path}"\ndata-binary = "@{body}"\nheader = "Content-Encoding: gzip"\n' for body in bodies))
    began = time.monotonic()
    subprocess.run(["curl", "-s", "-S", "--fail", "-K", script], check=True, capture_output=True)
    took = time.monotonic() - began
    wait_until(lambda: count(server, '{device_id=~"M.*"}') >= SAMPLES, 60, every=1, what="curl's are all there")
    other.close()
    return took


def live_ages(gateway, broker, server, seconds: float = 60) -> list:
    """Of live samples upstream while everything is sent again."""
    live = Live(broker, server)
    live.start()
    wait_until(lambda: live.ages, what="the first live sample is there")
    live.ages.clear()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        gateway.ctl("sync", "backfill", "again", "--from", "40h")
    return live.stop()


def main():
    with Directory() as directory:
        plant = Plant(directory)
        try:
            print(json.dumps({"suite": "sync", "samples": SAMPLES, "devices": DEVICES, "fields": len(FIELDS), "file_system": file_system(ROOT)}), flush=True)
            broker = Broker(plant, window=1000)
            gateway = fill(plant, broker)
            bodies = directory / "bodies"
            path = weigh(gateway, broker, bodies)
            files = sorted(bodies.iterdir())
            report("sync.wire", sum(file.stat().st_size for file in files) / SAMPLES, "bytes a sample", target=3.0, requests=len(files))
            blocks = directory / "blocks"
            weigh(gateway, broker, blocks, "plant", 'kind = "wattd"\ntoken = "0123456789abcdef"\n')
            report("sync.wire.wattd", sum(file.stat().st_size for file in blocks.iterdir()) / SAMPLES, "bytes a sample", target=1.0)
            took = curl(plant, files, path)
            server = VictoriaMetrics(plant)
            # The cursor of a sink with another id begins at the beginning.
            gateway.write_config(mqtt_config(broker, 1000) + sink(server.port, "again"))
            gateway.start()
            began, cpu = time.monotonic(), processor_seconds(gateway.process.pid)
            forget_highest_rss(gateway.process.pid)  # of its start
            wait_until(lambda: sent(gateway) >= SAMPLES, 600, every=.05, what="everything is sent")
            ours = time.monotonic() - began
            cpu = processor_seconds(gateway.process.pid) - cpu
            memory = highest_rss(gateway.process.pid)
            wait_until(lambda: count(server, '{device_id=~"M.*"}') >= SAMPLES, 60, every=1, what="all are there")
            there = count(server, '{device_id=~"M.*"}')
            assert there == SAMPLES, f"{there} samples of {SAMPLES} are upstream"
            report("sync.backfill", SAMPLES / ours, "samples/s", ratio=round(took / ours, 3), against="curl with the same bodies", peer=round(SAMPLES / took), target=.7)
            report("sync.cpu", cpu / SAMPLES * 1e6, "processor seconds per million samples", target=.6)
            report("sync.memory", memory, "MB", target=32)
            ages = live_ages(gateway, broker, server)
            report("sync.live", ages[int(.95 * (len(ages) - 1))], "s", p50=round(ages[len(ages) // 2], 2), looked=len(ages), target=2)
            gateway.stop()
        finally:
            plant.close()
