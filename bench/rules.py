"""How soon an alert is told, and what rules cost.

rules.latency publishes 1,000 messages a second of 200 devices at QoS 1, with five rules for each device, default settings and an
MQTT channel. Every tenth of a second one message passes one rule's threshold. The time runs from its publishing to the
alert's own message at a subscriber: by then the alert is on the disk, whose own share is measured beside it. rules.latency.storm is the same with 91 alerts a second.
rules.evaluate and rules.memory run the engine alone, on one core.
"""
import json
import os
import subprocess
import threading
import time

import paho.mqtt.client as mqtt

from plant import BUILD, Broker, Gateway, Plant, mqtt_config, wait_until
from report import Directory, median, report

DEVICES, RULES, RATE, SECONDS = 200, 5, 1000, 40


def rules() -> str:
    tables = []
    for device in range(DEVICES):
        for number in range(RULES):
            tables.append(f'[[rules]]\nname = "R{device}.{number}"\ndevices = ["P{device}"]\nproperty = "p{number}"\nthreshold = 100\n'
                          'channels = ["bus"]\ncooldown = "0s"\n')
    return "".join(tables)


class Listener:
    def __init__(self, port: int):
        self.took: list = []
        self.client = mqtt.Client(client_id="listener")
        self.client.on_message = self.heard
        self.client.connect("127.0.0.1", port)
        self.client.subscribe("wattd/alerts/#", 0)
        self.client.loop_start()

    def heard(self, _, __, message):
        now = time.monotonic()
        alert = json.loads(message.payload)
        if alert["event"] == "raised":
            # The value that passed the threshold carries the time of its publishing.
            self.took.append((now - (alert["actual_value"] - 1000)) * 1000)


def publish(port: int, alerts_a_second: float):
    """A hot value every now and then; the same device's next message is cool again."""
    client = mqtt.Client(client_id="plant")
    client.max_inflight_messages_set(1000)
    client.connect("127.0.0.1", port)
    client.loop_start()
    began, sent, hot = time.monotonic(), 0, 0
    while sent < RATE * SECONDS:
        now = time.monotonic()
        due = began + sent / RATE
        if due > now:
            time.sleep(min(due - now, .001))
            continue
        fields = {f"p{number}": 20 + sent % 7 for number in range(RULES)}
        if hot < (now - began) * alerts_a_second:
            fields[f"p{hot % RULES}"] = 1000 + time.monotonic()
            hot += 1
        client.publish(f"devices/P{sent % DEVICES}/telemetry", json.dumps(fields), 1)
        sent += 1
    time.sleep(2)
    client.loop_stop()
    client.disconnect()
    return hot


def disk(directory) -> dict:
    """What one synced write of 4 kB costs by itself, just before: no alert can be told sooner."""
    took = []
    with open(directory / "probe", "wb", buffering=0) as file:
        for _ in range(300):
            began = time.monotonic()
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
            took.append((time.monotonic() - began) * 1000)
            time.sleep(.01)
    took.sort()
    return {"disk_p95": round(took[285], 2), "disk_p99": round(took[297], 2)}


def latency(plant, name: str, alerts_a_second: float, **more):
    more |= disk(plant.directory)
    broker = Broker(plant, window=1000)
    gateway = Gateway(plant, mqtt_config(broker, 1000) + f'[[channels]]\nid = "bus"\nkind = "mqtt"\nport = {broker.port}\n' + rules() +
                      "[alerts]\nflaps = 0\n", name=name)
    gateway.wait_connected()
    listener = Listener(broker.port)
    hot: list = []
    thread = threading.Thread(target=lambda: hot.append(publish(broker.port, alerts_a_second)))
    thread.start()
    thread.join()
    wait_until(lambda: len(listener.took) >= hot[0], 30, what=f"all {hot[0]} alerts are told")
    listener.client.loop_stop()
    took = sorted(listener.took)
    assert len(took) == hot[0], f"{len(took)} of {hot[0]}"
    at = lambda share: round(took[int(share * (len(took) - 1))], 2)
    report(name, at(.95), "ms", p50=at(.5), p99=at(.99), alerts=len(took), alerts_a_second=alerts_a_second, messages_a_second=RATE,
           rules=DEVICES * RULES, **more)
    gateway.stop()
    broker.stop()
    (plant.directory / "mosquitto.db").unlink(missing_ok=True)


def alone(what: str) -> float:
    return median([float(subprocess.run([BUILD / "bench" / "bench_rules", what], check=True, capture_output=True, text=True).stdout)
                   for _ in range(3)])


def main():
    report("rules.evaluate", alone("evaluate") / 1e6, "million checks/s", target=20, checks_a_reading=50)
    report("rules.memory", alone("memory"), "MB", target=32, rules=10_000, series=2_000, window_s=900)
    with Directory() as directory:
        plant = Plant(directory)
        try:
            latency(plant, "rules.latency", 10, target=5)
            latency(plant, "rules.latency.storm", 91)
        finally:
            plant.close()
