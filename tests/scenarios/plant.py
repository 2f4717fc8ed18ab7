"""A plant on loopback: real servers on free ports, the daemon under test, and the simulator that feeds it.

Used by the scenarios, the benchmarks and the demo. Everything that is started is stopped by its pid.
"""
import contextlib
import http.client
import itertools
import json
import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("WATTD_BUILD", ROOT / "build" / "dev"))
PROFILES = ROOT / "etc" / "profiles"


# Those who run tests beside each other have ranges of their own, below what the kernel hands out: between here and the
# server's own bind nobody takes the port.
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
PORTS = itertools.cycle(range(10_000 + 2_000 * WORKER, 12_000 + 2_000 * WORKER))


def free_port() -> int:
    while True:
        port = next(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_until(condition, seconds: float = 20, every: float = 0.05, what: str = "it"):
    """Calls `condition` until it returns something true, and returns that."""
    end = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain until {what}")
        time.sleep(every)


def can_connect(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class Process:
    """One program with its output in a file of the plant's directory."""

    def __init__(self, plant, name: str, command: list, env: dict | None = None):
        self.log = plant.directory / f"{name}.log"
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen([str(part) for part in command], stdout=log, stderr=subprocess.STDOUT,
                                          stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})})
        self.pid = self.child.pid

    def alive(self) -> bool:
        return self.child.poll() is None

    def stop(self, sig=signal.SIGTERM, seconds: float = 20) -> int:
        if self.alive():
            self.child.send_signal(sig)
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise AssertionError(f"{self.log.name} did not stop within {seconds} s")

    def text(self) -> str:
        return self.log.read_text(errors="replace")


class Broker:
    def __init__(self, plant, window: int = 20, extra: str = ""):
        self.plant, self.port, self.process = plant, free_port(), None
        self.config = plant.directory / "mosquitto.conf"
        self.config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nmax_inflight_messages {window}\n"
            f"max_queued_messages 0\npersistence true\npersistence_location {plant.directory}/\n"
            f"persistence_file mosquitto.db\nuser root\nset_tcp_nodelay true\n{extra}\n")
        self.start()

    def start(self):
        self.process = self.plant.run("mosquitto", ["mosquitto", "-c", self.config])
        wait_until(lambda: can_connect(self.port), what="mosquitto listens")

    def stop(self):
        self.process.stop()


class VictoriaMetrics:
    """Keeps one sample a timestamp, so that what is sent again counts once."""

    def __init__(self, plant):
        self.plant, self.port, self.process = plant, free_port(), None
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        self.process = self.plant.run("victoria-metrics", [
            "victoria-metrics", f"-storageDataPath={self.plant.directory}/vm", f"-httpListenAddr=127.0.0.1:{self.port}",
            "-dedup.minScrapeInterval=1ms", "-retentionPeriod=100y", "-search.latencyOffset=0s", "-memory.allowedPercent=10"])
        wait_until(lambda: can_connect(self.port), what="VictoriaMetrics listens")

    def stop(self):
        self.process.stop()

    def export(self, match: str = '{__name__!=""}') -> dict:
        """Every stored sample: {(device, field): [(milliseconds, value), …]} in order of time."""
        # What was taken within the last second may not be searchable yet, flushed or not.
        for pause in (1.2, 0):
            urllib.request.urlopen(f"{self.url}/internal/force_flush", timeout=10).read()
            time.sleep(pause)
        query = urllib.parse.urlencode({"match[]": match})
        lines = urllib.request.urlopen(f"{self.url}/api/v1/export?{query}", timeout=60).read().decode().splitlines()
        series: dict = {}
        for line in lines:
            row = json.loads(line)
            labels = row["metric"]
            key = (labels["device_id"], labels["__name__"].removeprefix("device_telemetry_"))
            series.setdefault(key, []).extend(zip(row["timestamps"], row["values"]))
        return {key: sorted(samples) for key, samples in series.items()}

    def count(self) -> int:
        return sum(len(samples) for samples in self.export().values())


class Gateway:
    """The daemon under test, with its configuration as a text to be changed."""

    def __init__(self, plant, config: str, strace: list | None = None, name: str = "wattd", ready: bool = True,
                 profiles: pathlib.Path = PROFILES):
        self.plant = plant
        self.profiles = profiles
        self.directory = plant.directory / name
        self.directory.mkdir(exist_ok=True)
        self.port = free_port()
        self.socket = self.directory / "wattd.sock"
        self.path = self.directory / "wattd.toml"
        self.name = name
        self.strace = strace or []
        self.process = None
        self.write_config(config)
        if ready:
            self.start()

    def write_config(self, config: str):
        # Keys of the root table have to come before the first table. Machines that run tests have no time service.
        self.path.write_text(
            f'{config}\n[clock]\ntrust = "rtc"\n[storage]\ndirectory = "{self.directory}/data"\n[api]\nsocket = "{self.socket}"\nport = {self.port}\n'
            f'[modbus]\nprofiles = ["{self.profiles}"]\n')

    def start(self, env: dict | None = None):
        self.process = self.plant.run(self.name, [*self.strace, BUILD / "wattd", "--config", self.path], env)
        wait_until(lambda: self.answers() or not self.process.alive(), what="wattd answers")
        assert self.process.alive(), self.process.text()

    def answers(self) -> bool:
        with contextlib.suppress(OSError, ValueError):
            return urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=2).status == 200
        return False

    def kill(self):
        self.process.stop(signal.SIGKILL)

    def stop(self) -> int:
        if self.strace and self.process.alive():
            children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            os.kill(int(children[0]), signal.SIGTERM)
            return self.process.child.wait(20)
        return self.process.stop()

    def get(self, target: str):
        return json.load(urllib.request.urlopen(f"http://127.0.0.1:{self.port}{target}", timeout=30))

    def ask(self, method: str, target: str, body=None) -> tuple:
        """A request over the unix socket, where changes are taken: (status, document)."""
        with socket.socket(socket.AF_UNIX) as way:
            way.connect(str(self.socket))
            connection = http.client.HTTPConnection("localhost")
            connection.sock = way
            connection.request(method, target, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def status(self) -> dict:
        return self.get("/api/v1/status")["data"]

    def metrics(self) -> str:
        return urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30).read().decode()

    def local_samples(self) -> int:
        return self.get("/api/v1/storage/samples")["data"]["samples"]

    def ctl(self, *arguments, check: bool = True) -> subprocess.CompletedProcess:
        done = subprocess.run([BUILD / "wattctl", "--socket", self.socket, *map(str, arguments)], capture_output=True,
                              text=True, timeout=120, env={**os.environ, "PATH": f"{BUILD}:{os.environ['PATH']}"})
        assert not check or done.returncode == 0, f"wattctl {arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def ctl_json(self, *arguments):
        return json.loads(self.ctl("--json", *arguments).stdout)

    def wait_committed(self, readings: int, seconds: float = 60):
        wait_until(lambda: self.status()["pipeline"]["committed"] >= readings, seconds, what=f"{readings} readings are committed")

    def wait_connected(self):
        def connected():
            links = self.status()["mqtt"]  # none while the daemon is still starting
            return links and all(link["connected"] for link in links)
        wait_until(connected, what="the broker is connected")

    def wait_shipped(self, seconds: float = 60):
        def shipped():
            status = self.status()
            return status["pipeline"]["backlog"] == 0 and all(
                sink["behind_segments"] == 0 and sink["last_error"] is None for sink in status["sinks"])
        wait_until(shipped, seconds, what="every sink has everything")


class Plant:
    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.processes: list[Process] = []

    def run(self, name: str, command: list, env: dict | None = None) -> Process:
        process = Process(self, name, command, env)
        self.processes.append(process)
        return process

    def sim(self, *arguments, name: str = "wattsim") -> Process:
        return self.run(name, [BUILD / "wattsim", *arguments])

    def sim_done(self, *arguments, seconds: float = 120) -> str:
        """Runs the simulator to its end and returns what it printed."""
        done = subprocess.run([str(BUILD / "wattsim"), *map(str, arguments)], capture_output=True, text=True, timeout=seconds)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def close(self):
        for process in reversed(self.processes):
            with contextlib.suppress(AssertionError):
                process.stop(seconds=10)


def mqtt_config(broker: Broker, window: int = 20) -> str:
    return f'[[mqtt]]\nport = {broker.port}\nwindow = {window}\n'


def sink_config(url: str) -> str:
    return f'[[sinks]]\nid = "upstream"\nurl = "{url}"\nmax_pause = "1s"\nsettle = "2s"\n'


BULB = '[[devices]]\nid = "D1"\nname = "Bulb"\ntype = "bulb"\nlocation = "Plant-A"\n'
BULBS = '[registry]\ndefault_type = "bulb"\ndefault_location = "Plant-A"\n'
OVERHEAT = ('[[rules]]\nname = "Bulb Overheat"\nproperty = "temperature"\ncondition = ">"\nthreshold = 50\n'
            'severity = "high"\nchannels = ["email", "whatsapp"]\n')
