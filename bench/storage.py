"""What a sample costs on the disk and in writes, and how fast the storage room is.

bench_storage drives the room with seeded signals, as the daemon does and with its durability; the same samples go as rows
into a plain table, and as line protocol into VictoriaMetrics and InfluxDB. Everything on disk counts (indexes, free pages,
the write-ahead log at rest, segments that are not deleted yet), the ballast file aside, which is a reserve.
WATTD_STORAGE_DAYS shortens the month of signals for a quick look.
"""
import json
import os
import pathlib
import signal
import subprocess
import time
import urllib.request

from footprint import ready_ms
from plant import BUILD, Broker, Gateway, Plant, free_port, mqtt_config, wait_until
from report import Directory, file_system, median, report

TOOL = BUILD / "bench" / "bench_storage"
DAYS = float(os.environ.get("WATTD_STORAGE_DAYS", "30"))
PEER_DAYS = min(DAYS, 2)
WRITTEN_HOURS = 6


def tool(command: str, **options) -> dict:
    done = subprocess.run([TOOL, command, *(f"--{name}={value}" if value is not True else f"--{name}" for name, value in options.items())],
                          check=True, capture_output=True, text=True)
    return json.loads(done.stdout) if command != "lines" else done.stdout


def size_of(path: pathlib.Path) -> int:
    return sum(file.stat().st_blocks * 512 for file in path.rglob("*") if file.is_file())


def feed(url: str, query: str, directory: pathlib.Path, **options) -> None:
    """Line protocol from the tool to a store, 20,000 lines a request."""
    lines = directory / "lines"
    with lines.open("wb") as out:
        subprocess.run([TOOL, "lines", *(f"--{name}={value}" for name, value in options.items())], check=True, stdout=out)
    with lines.open("rb") as text:
        while batch := b"".join(line for line, _ in zip(text, range(20_000))):
            urllib.request.urlopen(urllib.request.Request(f"{url}/write?{query}", data=batch), timeout=60).read()
    lines.unlink()


class Store:
    """A peer from apt, with its data in a directory, stopped by pid."""

    def __init__(self, directory: pathlib.Path, command: list, port: int, ready: str):
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(command, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: self._answers(ready), what=f"{command[0]} answers")

    def _answers(self, path: str) -> bool:
        try:
            return urllib.request.urlopen(self.url + path, timeout=2).status < 300
        except OSError:
            return False

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def victoria(directory: pathlib.Path, **options) -> int:
    port, data = free_port(), directory / "vm"
    store = Store(directory, ["victoria-metrics", f"-storageDataPath={data}", f"-httpListenAddr=127.0.0.1:{port}", "-retentionPeriod=100y",
                              "-search.disableCache"], port, "/health")
    try:
        feed(store.url, "precision=u", directory, **options)
        urllib.request.urlopen(store.url + "/internal/force_flush", timeout=60).read()
        urllib.request.urlopen(store.url + "/internal/force_merge", timeout=60).read()
        settled = wait_for_steady(data)
    finally:
        store.stop()
    return min(settled, size_of(data))


def influx(directory: pathlib.Path, **options) -> int:
    port, rpc, data = free_port(), free_port(), directory / "influx"
    data.mkdir()
    config = directory / "influx.conf"
    config.write_text(f'reporting-disabled = true\nbind-address = "127.0.0.1:{rpc}"\n[meta]\n dir = "{data}/meta"\n[data]\n dir = "{data}/data"\n'
                      f' wal-dir = "{data}/wal"\n index-version = "tsi1"\n compact-full-write-cold-duration = "5s"\n cache-snapshot-write-cold-duration = "5s"\n'
                      f'[http]\n bind-address = "127.0.0.1:{port}"\n log-enabled = false\n')
    store = Store(directory, ["influxd", "-config", str(config)], port, "/ping")
    try:
        urllib.request.urlopen(urllib.request.Request(store.url + "/query?q=CREATE+DATABASE+b", data=b"")).read()
        feed(store.url, "db=b&precision=u", directory, **options)
        return wait_for_steady(data, longest=45)
    finally:
        store.stop()


def wait_for_steady(path: pathlib.Path, longest: float = 30) -> int:
    """The size once it has not changed for five seconds: merges run in the background."""
    last, since, end = -1, time.monotonic(), time.monotonic() + longest
    while time.monotonic() < end and time.monotonic() - since < 5:
        size = size_of(path)
        if size != last:
            last, since = size, time.monotonic()
        time.sleep(.5)
    return last


def bytes_per_sample(directory: pathlib.Path):
    d1 = tool("fill", directory=directory / "d1", signals="d1_5s", days=DAYS, commit=60)
    # The log is emptied after each round; at rest it may have up to its limit.
    at_rest = max(256 << 10, d1["wal"]) - d1["wal"]
    report("storage.bytes_per_sample.d1_5s", (d1["bytes"] + at_rest) / d1["samples"], "bytes", target=1.9, days=DAYS, samples=d1["samples"],
           signals="seeded bulb, 5 s, stamps with microseconds and sleep jitter; commits of 60 s", file_system=file_system(directory))
    meter = tool("fill", directory=directory / "meter", signals="meter_1s", days=DAYS / 4, commit=10)
    peer_samples = int(PEER_DAYS * 86_400) * 100
    merged = victoria(directory, signals="meter_1s", days=PEER_DAYS)
    codec = tool("codec")
    report("storage.bytes_per_sample.victoriametrics", merged / peer_samples, "bytes", days=PEER_DAYS, signals="meter_1s")
    report("storage.bytes_per_sample.meter_1s", (meter["bytes"] + max(256 << 10, meter["wal"]) - meter["wal"]) / meter["samples"], "bytes", target=.85,
           ratio=round(meter["bytes"] / meter["samples"] / (merged / peer_samples), 3), against="VictoriaMetrics, the same signals", days=DAYS / 4,
           entropy_of_deltas=codec["entropy"], packed_values_alone=codec["packed"], chosen_values_alone=codec["chosen"])
    floats = tool("fill", directory=directory / "float", signals="float32_1s", days=PEER_DAYS, commit=10)
    report("storage.bytes_per_sample.float32_1s", floats["bytes"] / floats["samples"], "bytes", days=PEER_DAYS)
    rows = tool("rows", directory=directory / "rows", signals="meter_1s", days=min(1, PEER_DAYS), commit=10)
    report("storage.bytes_per_sample.rows", rows["bytes"] / rows["samples"], "bytes", signals="meter_1s in one row each")
    report("storage.bytes_per_sample.influxdb", influx(directory, signals="meter_1s", days=PEER_DAYS) / peer_samples, "bytes", days=PEER_DAYS, signals="meter_1s")


def household(directory: pathlib.Path):
    data = os.environ.get("WATTD_DATA")
    file = pathlib.Path(data or "") / "ml" / "data" / "electrical" / "household_hourly_vpqi.csv.gz"
    if not data or not file.exists():
        return report("storage.bytes_per_sample.household", float("nan"), "bytes", skipped="WATTD_DATA does not say where the household is")
    filled = tool("fill", directory=directory / "household", signals="household", file=file, days=DAYS, commit=60)
    report("storage.bytes_per_sample.household", filled["bytes"] / filled["samples"], "bytes", target=2.8, samples=filled["samples"])


def written(directory: pathlib.Path):
    for seconds, target in ((1, 90), (10, 20)):
        ours = tool("fill", directory=directory / f"written{seconds}", signals="meter_1s", days=WRITTEN_HOURS / 24, commit=seconds)
        rows = tool("rows", directory=directory / f"written-rows{seconds}", signals="meter_1s", days=WRITTEN_HOURS / 24, commit=seconds)
        value = ours["written"] / ours["samples"]
        report(f"storage.written_per_sample.{seconds}s", value, "bytes", target=target, ratio=round(value / (rows["written"] / rows["samples"]), 3),
               against="one row a sample, the same commits", gb_per_day=round(value * 100 * 86_400 / 1e9, 2))


def ingest(directory: pathlib.Path):
    days, rounds = .03, 7
    # In pairs: the machine is faster in one minute than in the next.
    pairs = [(tool("ingest", directory=directory / f"ingest{i}", days=days),
              tool("ingest", directory=directory / f"full{i}", days=days, ring=8 << 20, lagging=True)) for i in range(rounds)]
    plain, full = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    rates = sorted(run["per_second"] for run in plain)
    report("storage.ingest", median(rates), "samples/s", target=1_000_000, fastest=rates[-1], slowest=rates[0],
           durable="synchronous=FULL, groups of 1,000 samples of 1,000 series, compaction included")
    report("storage.ingest.full", median([late["per_second"] / early["per_second"] for early, late in pairs]), "ratio", target=.8,
           samples_per_second=median([run["per_second"] for run in full]), ring_bytes=full[0]["ring"])
    report("storage.ingest.memory", max(run["resident_mb"] for run in plain + full), "MB", target=64)


def queries_and_restart(directory: pathlib.Path):
    days = min(DAYS * 3, 90)
    data = directory / "quarter"
    # 100 series at 5 s: every fifth second of the plant.
    tool("fill", directory=data, signals="meter_5s", days=days, commit=60, start=int(time.time() - days * 86_400))
    found = tool("query", directory=data, file="meter-10")
    for name, target in (("7d_1m", 8), ("90d_1h", 2)):
        one = found[name]
        report(f"storage.query.{name}", one["p95"], "ms", p50=one["p50"], p99=one["p99"], target=target, buckets=one["buckets"], days=days)
        report(f"storage.query.{name}.cold", one["cold"], "ms")
    restart(directory, data)


def restart(directory: pathlib.Path, data: pathlib.Path):
    plant = Plant(directory)
    try:
        broker = Broker(plant)
        gateway = Gateway(plant, mqtt_config(broker), ready=False)
        data.rename(gateway.directory / "data")
        times = sorted(ready_ms(gateway, directory, number, subprocess.Popen.kill) for number in range(7))
        report("storage.restart", times[-1], "ms", p50=round(median(times), 1), target=300, after="kill -9")
    finally:
        plant.close()


def main():
    with Directory() as directory:
        codec = tool("codec")
        report("storage.encode", codec["encode"], "million samples/s", target=100)
        report("storage.decode", codec["decode"], "million samples/s", target=100)
        ingest(directory)
        written(directory)
        household(directory)
        bytes_per_sample(directory)
        queries_and_restart(directory)
