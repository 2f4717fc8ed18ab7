"""What the idle gateway costs: memory with the bulb at 5 s, the time to READY, the size of the package's own files."""
import os
import pathlib
import socket
import subprocess
import time

from plant import BUILD, BULB, PROFILES, Broker, Gateway, Plant, VictoriaMetrics, mqtt_config, sink_config
from report import Directory, median, report

ROUNDS = 15


def pss_mb(pid: int) -> float:
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no Pss")


def ready_ms(gateway, directory, number: int, end=subprocess.Popen.terminate) -> float:
    """From exec to READY=1, as systemd would see it; the process is then ended by `end`."""
    path = directory / f"notify{number}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(30)
        began = time.monotonic()
        child = subprocess.Popen([BUILD / "wattd", "--config", gateway.path], env={**os.environ, "NOTIFY_SOCKET": str(path)},
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while b"READY=1" not in listener.recv(4096):
            pass
        took = (time.monotonic() - began) * 1000
        if end is subprocess.Popen.kill:
            time.sleep(.5)  # in the midst of its work
        end(child)
        child.wait()
    return took


def main():
    with Directory() as directory:
        plant = Plant(directory)
        try:
            broker, upstream = Broker(plant), VictoriaMetrics(plant)
            gateway = Gateway(plant, BULB + mqtt_config(broker) + sink_config(upstream.url))
            gateway.wait_connected()
            plant.sim("mqtt", "--port", broker.port)
            time.sleep(30)
            report("footprint.pss", pss_mb(gateway.process.pid), "MB", target=12, with_="D1 at 5 s, a broker and a sink")
            gateway.stop()
            times = sorted(ready_ms(gateway, directory, number) for number in range(ROUNDS))
            report("footprint.ready", times[int(.95 * (ROUNDS - 1))], "ms", p50=round(median(times), 1), p99=round(times[-1], 1), target=100)
        finally:
            plant.close()
        stripped = directory / "stripped"
        size = 0
        for binary in ("wattd", "wattctl"):
            subprocess.run(["strip", "-o", stripped, BUILD / binary], check=True)
            size += stripped.stat().st_size
        size += sum(path.stat().st_size for path in PROFILES.glob("*.toml"))
        report("footprint.installed", size / 1e6, "MB", target=6, of="the stripped daemon, wattctl and the profiles")
