"""How fast messages of QoS 1 become durable.

A backlog of seeded bulb messages waits in mosquitto (window 1,000) for a persistent session. Each consumer drains it in
turn: the bare counting subscriber; wattd with synchronous=FULL and a rule for every device; and the 30-line script that
commits each message before it acknowledges it. wattd's time runs from the first to the last reading in its socket's
stream of committed readings: durable, as seen from outside. ingest.cpu.flood is the same without that stream.

ingest.latency publishes at 1,000 messages a second and takes the time until each stands in that stream, with commits every
10 ms. ingest.cpu and ingest.written are a minute at 500 messages a second with commits every second; ingest.cpu.rules is the
same with a rule for every device, for which readings are looked at within a millisecond. Processor time depends on the machine:
each figure stands beside that of the script (synchronous=NORMAL) on the same work in the same run.
"""
import json
import os
import pathlib
import select
import signal
import subprocess
import time

from plant import BUILD, BULBS, OVERHEAT, Broker, Gateway, Plant, mqtt_config, wait_until
from report import ROOT, Directory, file_system, median, processor_seconds, report

MESSAGES = 60_000
SCRIPT_MESSAGES = {"NORMAL": 30_000, "FULL": 8_000}
ROUNDS = 5
WINDOW = 1000
PACED_SECONDS = 60
HERE = pathlib.Path(__file__).parent


def publish_backlog(plant, broker, count: int):
    plant.sim_done("mqtt", "--port", broker.port, "--devices", 100, "--interval", 0, "--count", count // 100, "--seed", 7, seconds=300)


def subscribe(broker, client_id: str):
    subprocess.run([BUILD / "bench" / "bench_subscriber", str(broker.port), client_id, "0"], check=True, capture_output=True)


def bare(plant, broker) -> float:
    subscribe(broker, "bare")
    publish_backlog(plant, broker, MESSAGES)
    done = subprocess.run([BUILD / "bench" / "bench_subscriber", str(broker.port), "bare", str(MESSAGES)], check=True,
                          capture_output=True, text=True)
    return MESSAGES / float(done.stdout)


def script(plant, broker, synchronous: str, number: int) -> dict:
    count, client_id = SCRIPT_MESSAGES[synchronous], f"script-{synchronous}-{number}"
    subscribe(broker, client_id)
    publish_backlog(plant, broker, count)
    done = subprocess.run(["/usr/bin/python3", HERE / "paho_sqlite.py", str(broker.port), client_id, str(count),
                           str(plant.directory / f"{client_id}.db"), synchronous], check=True, capture_output=True, text=True)
    took, cpu = map(float, done.stdout.split())
    return {"rate": count / took, "cpu": cpu / count * 1000}


def wait_for(plant, broker, name: str):
    """wattd with a rule for every device, and a backlog that the broker hands out as soon as it is woken."""
    gateway = Gateway(plant, BULBS + mqtt_config(broker, WINDOW) + OVERHEAT, name=name)
    gateway.wait_connected()
    gateway.stop()
    publish_backlog(plant, broker, MESSAGES)
    # The broker stands still until everything is open, so that the first group is seen.
    os.kill(broker.process.pid, signal.SIGSTOP)
    gateway.start()
    return gateway


def wattd(plant, broker, number: int) -> float:
    gateway = wait_for(plant, broker, f"wattd{number}")
    stream = subprocess.Popen(["curl", "-sN", "--unix-socket", gateway.socket, "http://w/api/v1/stream"], stdout=subprocess.PIPE)
    wait_until(lambda: stream.poll() is None and pathlib.Path(f"/proc/{stream.pid}").exists(), what="curl runs")
    time.sleep(0.5)
    os.kill(broker.process.pid, signal.SIGCONT)
    seen, first, last = 0, None, None
    while seen < MESSAGES:
        lines = os.read(stream.stdout.fileno(), 1 << 20).count(b"\n{")
        if lines:
            last = time.monotonic()
            first, seen = (last, 0) if first is None else (first, seen + lines)
            if seen >= MESSAGES - 2 * WINDOW:
                break
    rate = seen / (last - first)
    gateway.wait_committed(MESSAGES)
    there = gateway.local_samples()
    assert there == MESSAGES * 4, f"{there} samples of {MESSAGES * 4}; a second look: {gateway.local_samples()}"
    stream.kill()
    gateway.stop()
    return rate


def flood_cpu(plant, broker, number: int) -> float:
    """Processor seconds per 1,000 messages, with nobody who looks on."""
    gateway = wait_for(plant, broker, f"flood{number}")
    time.sleep(.5)
    cpu = processor_seconds(gateway.process.pid)
    os.kill(broker.process.pid, signal.SIGCONT)
    time.sleep(1)
    gateway.wait_committed(MESSAGES)
    cpu = processor_seconds(gateway.process.pid) - cpu
    gateway.stop()
    return cpu / MESSAGES * 1000


def written_bytes(pid: int) -> int:
    lines = pathlib.Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("write_bytes")))


def pace(plant, broker, rate: int, seconds: int):
    return plant.run("pace", ["/usr/bin/python3", HERE / "pace.py", broker.port, rate, seconds, 100])


def latency(plant, broker):
    gateway = Gateway(plant, '[pipeline]\ncommit_interval = "10ms"\n' + mqtt_config(broker, WINDOW), name="latency")
    gateway.wait_connected()
    stream = subprocess.Popen(["curl", "-sN", "--unix-socket", gateway.socket, "http://w/api/v1/stream"], stdout=subprocess.PIPE, bufsize=0)
    time.sleep(.5)
    pace(plant, broker, 1000, PACED_SECONDS)
    took, rest, end = [], b"", time.monotonic() + PACED_SECONDS + 3
    os.set_blocking(stream.stdout.fileno(), False)
    while time.monotonic() < end:
        if not select.select([stream.stdout], [], [], .1)[0]:
            continue
        *lines, rest = (rest + os.read(stream.stdout.fileno(), 1 << 20)).split(b"\n")
        now = time.monotonic()
        took += [(now - json.loads(line)["t"]) * 1000 for line in lines if line.startswith(b"{")]
    stream.kill()
    took.sort()
    assert len(took) > .98 * 1000 * PACED_SECONDS, f"{len(took)} readings"
    at = lambda share: round(took[int(share * (len(took) - 1))], 2)
    report("ingest.latency", at(.95), "ms", p50=at(.5), p99=at(.99), target=15, messages=len(took), commit_interval_ms=10)
    gateway.stop()


def paced(plant, broker, rules: str) -> tuple:
    """Processor seconds per 1,000 messages and bytes written a message, at 500 messages a second."""
    gateway = Gateway(plant, mqtt_config(broker, WINDOW) + rules, name="paced-rules" if rules else "paced")
    gateway.wait_connected()
    pace(plant, broker, 500, PACED_SECONDS + 10)
    time.sleep(5)
    def state():
        return gateway.status()["pipeline"]["committed"], processor_seconds(gateway.process.pid), written_bytes(gateway.process.pid)
    before = state()
    time.sleep(PACED_SECONDS)
    messages, cpu, written = (after - early for early, after in zip(before, state()))
    gateway.stop()
    return cpu / messages * 1000, written / messages, messages


def paced_script(plant, broker) -> float:
    subscribe(broker, "script-paced")
    count = 500 * PACED_SECONDS
    child = subprocess.Popen(["/usr/bin/python3", HERE / "paho_sqlite.py", str(broker.port), "script-paced", str(count),
                              str(plant.directory / "script-paced.db"), "NORMAL"], stdout=subprocess.PIPE, text=True)
    time.sleep(1)
    pace(plant, broker, 500, PACED_SECONDS + 1)
    return float(child.communicate(timeout=PACED_SECONDS + 60)[0].split()[1]) / count * 1000


def report_cpu(name: str, value: float, peer: float, target: float, **more):
    report(name, value, "processor seconds per 1,000 messages", ratio=round(value / peer, 3), against="paho and sqlite3, synchronous=NORMAL",
           peer=round(peer, 4), target=target, **more)


def main():
    with Directory() as directory:
        plant = Plant(directory)
        try:
            print(json.dumps({"suite": "ingest", "messages": MESSAGES, "devices": 100, "fields": 4, "window": WINDOW, "seed": 7,
                              "file_system": file_system(ROOT)}), flush=True)
            rates: dict = {"bare": [], "wattd": [], "NORMAL": [], "FULL": []}
            floods: list = []
            for number in range(ROUNDS):
                broker = Broker(plant, window=WINDOW)
                rates["bare"].append(bare(plant, broker))
                rates["wattd"].append(wattd(plant, broker, number))
                floods.append(flood_cpu(plant, broker, number))
                for synchronous in ("NORMAL", "FULL"):
                    rates[synchronous].append(script(plant, broker, synchronous, number))
                broker.stop()
                (directory / "mosquitto.db").unlink(missing_ok=True)
            durable = median(rates["wattd"])
            ratio = median([rate / peer for rate, peer in zip(rates["wattd"], rates["bare"])])
            report("ingest.durable", durable, "messages/s", ratio=round(ratio, 3), against="a bare counting subscriber",
                   peer=round(median(rates["bare"])), target=0.5)
            for synchronous in ("NORMAL", "FULL"):
                peer = median([run["rate"] for run in rates[synchronous]])
                report(f"ingest.durable.script_{synchronous.lower()}", peer, "messages/s", ratio=round(durable / peer, 2),
                       against=f"wattd over paho and sqlite3, synchronous={synchronous}")
            report_cpu("ingest.cpu.flood", median(floods), median([run["cpu"] for run in rates["NORMAL"]]), .008)
            broker = Broker(plant, window=WINDOW)
            latency(plant, broker)
            peer = paced_script(plant, broker)
            cpu, written, messages = paced(plant, broker, "")
            report_cpu("ingest.cpu", cpu, peer, .03, messages=messages, rate=500)
            report_cpu("ingest.cpu.rules", paced(plant, broker, OVERHEAT)[0], peer, .03, rate=500)
            report("ingest.written", written, "bytes a message", target=60, fields=4, commit_interval_s=1, file_system=file_system(ROOT))
        finally:
            plant.close()
