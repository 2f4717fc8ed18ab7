"""Two days without upstream, and what comes after.

Ten devices say ten fields a second, and each counter brings an adjusted one: 110 samples a second, replayed as fast as the gateway takes them while its store cannot be reached. Then the store is
there again: how fast it catches up at a rate that is bounded (outage.catch_up), how old the newest sample of a live device is upstream meanwhile (outage.live), how much of the disk budget the gateway ever
used (outage.disk), and how many samples are missing or too many in the end (outage.lost). WATTD_OUTAGE_HOURS makes it shorter.
"""
import json
import os
import threading
import time

from plant import Broker, Gateway, Plant, VictoriaMetrics, mqtt_config, wait_until
from report import ROOT, Directory, file_system, report
import sync

HOURS = int(os.environ.get("WATTD_OUTAGE_HOURS", "48"))
LIMIT = 400_000_000  # bytes, of everything that the gateway keeps
RATE = "backfill_rate = 50000\n"  # readings a second, so that live ones can be looked at for more than a moment
STORAGE = f'[storage]\ndatabase = "256MB"\nring = "64MB"\nwal = "64MB"\nballast = "8MB"\nlimit = "{LIMIT // 1_000_000}MB"\n'


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
    end, tables = int(time.time()) - 7200, ""  # every hour of it is over, as after two days that pass
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
            server = VictoriaMetrics(plant)
            server.stop()
            gateway = Gateway(plant, mqtt_config(broker, 1000) + replays(plant, readings) + sync.sink(server.port), ready=False)
            gateway.path.write_text(gateway.path.read_text().replace("[storage]\n", STORAGE))
            began = time.monotonic()
            gateway.start()
            disk = Disk(gateway)
            disk.start()
            gateway.wait_committed(sync.DEVICES * readings, 3600)
            passed = time.monotonic() - began
            assert sync.sent(gateway) == 0
            # In two days that pass every hour is compacted once it is over.
            compacted, since = -1, time.monotonic()
            while time.monotonic() - since < 15:
                if compacted != (compacted := gateway.status()["storage"]["compacted_seq"]):
                    since = time.monotonic()
                time.sleep(.5)
            # What it took to replay two days is no part of it.
            gateway.stop()
            gateway.write_config(mqtt_config(broker, 1000) + sync.sink(server.port) + RATE)
            gateway.path.write_text(gateway.path.read_text().replace("[storage]\n", STORAGE))
            server.start()
            gateway.start()
            live = sync.Live(broker, server)
            began = time.monotonic()
            live.start()
            wait_until(lambda: live.ages, what="the first live sample is there")
            live.ages.clear()
            wait_until(lambda: sync.sent(gateway) >= samples, 3600, every=.2, what="it has caught up")
            took = time.monotonic() - began
            wait_until(lambda: len(live.ages) > 20, what="live samples were looked at")  # a short outage is over before
            ages = live.stop()
            wait_until(lambda: sync.count(server, '{device_id=~"M.*"}') >= samples, 120, every=1, what="all are there")
            there = sync.count(server, '{device_id=~"M.*"}')
            report("outage.lost", abs(there - samples), "samples", target=0, samples=samples)
            report("outage.catch_up", samples / took, "samples/s", seconds=round(took, 1), times_as_fast=round(HOURS * 3600 / took))
            report("outage.live", ages[int(.95 * (len(ages) - 1))], "s", p50=round(ages[len(ages) // 2], 2), looked=len(ages), target=2)
            report("outage.disk", disk.stop() / LIMIT, "of the budget", target=1, budget=LIMIT, replayed_in=round(passed))
            gateway.stop()
        finally:
            plant.close()
