"""Two days without upstream, and what comes after.

Ten devices say ten fields a second, and each counter brings an adjusted one: 110 samples a second, replayed as fast as the gateway takes them while its store cannot be reached. Then the store is
there again: how fast it catches up (outage.catch_up), how old the newest sample of a live device is upstream meanwhile (outage.live), how much of the disk budget the gateway ever
used (outage.disk), its memory (outage.memory), and how many samples are missing or too many in the end (outage.lost). WATTD_OUTAGE_HOURS makes it shorter.
"""
import json
import os
import threading
import time

from plant import Broker, Gateway, Plant, VictoriaMetrics, free_port, mqtt_config, wait_until
from report import ROOT, Directory, file_system, report
import sync

HOURS = int(os.environ.get("WATTD_OUTAGE_HOURS", "48"))
LIMIT = 2_000_000_000
STORAGE = f'[storage]\nlimit = "{LIMIT // 1_000_000}MB"\n'


def used(gateway) -> int:
    return sum(file.stat().st_size for file in (gateway.directory / "data").rglob("*") if file.is_file())


class Disk(threading.Thread):
    """The most that the gateway's directory ever held."""

    def __init__(self, gateway):
        super().__init__(daemon=True)
        self.gateway, self.most, self.running = gateway, 0, True

    def run(self):
        while self.running:
            try:
                self.most = max(self.most, used(self.gateway))
            except FileNotFoundError:
                continue  # a file that was just replaced
            time.sleep(.5)

    def stop(self) -> int:
        self.running = False
        self.join()
        return self.most


def replays(plant, readings: int) -> str:
    sync.READINGS = readings
    end, tables = int(time.time()) - 60, ""
    for device in range(sync.DEVICES):
        path = plant.directory / f"M{device}.csv"
        sync.record(path, device, end)
        tables += f'[[replay]]\ndevice = "M{device}"\nfile = "{path}"\nspeed = 0\nshift = false\n'
    return tables


def main():
    readings = HOURS * 3600
    samples = sync.DEVICES * readings * (len(sync.FIELDS) + 1)
    with Directory() as directory:
        plant = Plant(directory)
        try:
            print(json.dumps({"suite": "outage", "hours": HOURS, "samples": samples, "file_system": file_system(ROOT)}), flush=True)
            broker = Broker(plant, window=1000)
            away = free_port()
            gateway = Gateway(plant, mqtt_config(broker, 1000) + replays(plant, readings) + sync.sink(away), ready=False)
            gateway.path.write_text(gateway.path.read_text().replace("[storage]\n", STORAGE))
            began = time.monotonic()
            gateway.start()
            disk = Disk(gateway)
            disk.start()
            gateway.wait_committed(sync.DEVICES * readings, 3600)
            passed = time.monotonic() - began
            assert sync.sent(gateway) == 0
            gateway.stop()
            server = VictoriaMetrics(plant)
            gateway.write_config(mqtt_config(broker, 1000) + sync.sink(server.port))
            gateway.path.write_text(gateway.path.read_text().replace("[storage]\n", STORAGE))
            gateway.start()
            live = sync.Live(broker, server)
            began = time.monotonic()
            live.start()
            sync.forget_highest_rss(gateway.process.pid)
            wait_until(lambda: sync.sent(gateway) >= samples, 3600, every=.2, what="it has caught up")
            took = time.monotonic() - began
            memory = sync.highest_rss(gateway.process.pid)
            ages = live.stop()
            wait_until(lambda: sync.count(server, '{device_id=~"M.*"}') >= samples, 120, every=1, what="all are there")
            there = sync.count(server, '{device_id=~"M.*"}')
            report("outage.lost", abs(there - samples), "samples", target=0, samples=samples)
            report("outage.catch_up", samples / took, "samples/s", seconds=round(took, 1), times_as_fast=round(HOURS * 3600 / took))
            report("outage.live", ages[int(.95 * (len(ages) - 1))], "s", p50=round(ages[len(ages) // 2], 2), looked=len(ages), target=2)
            report("outage.disk", disk.stop() / LIMIT, "of the budget", target=1, budget=LIMIT, replayed_in=round(passed))
            report("outage.memory", memory, "MB")
            gateway.stop()
        finally:
            plant.close()
