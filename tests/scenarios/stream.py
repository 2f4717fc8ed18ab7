"""Numbered messages, and what the gateway has stored of them."""
import contextlib
import json
import threading
import time

import paho.mqtt.client as mqtt

from plant import wait_until


class Stream(threading.Thread):
    """Numbered messages at a rate, from a client of its own; knows what the broker has acknowledged."""

    def __init__(self, port: int, rate: int, tls: dict | None = None):
        super().__init__(daemon=True)
        self.acknowledged: set = set()
        self.rate, self.running, self.pausing = rate, True, False
        self.client = mqtt.Client(client_id="stream", clean_session=False)
        self.client.max_inflight_messages_set(200)
        self.client.on_publish = lambda client, data, mid: self.acknowledged.add(self.numbers.pop(mid))
        self.numbers: dict = {}
        if tls:
            self.client.tls_set(**tls)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.sent = 0

    def run(self):
        last, due = time.monotonic(), 0.0
        while self.running:
            now = time.monotonic()
            due, last = due + (0 if self.pausing else (now - last) * self.rate), now
            while self.running and self.sent < due:
                # No stamp of its own: stored twice it would be two readings.
                info = self.client.publish("devices/N/telemetry", json.dumps({"n": self.sent}), 1)
                self.numbers[info.mid] = self.sent
                self.sent += 1
            time.sleep(0.005)

    @contextlib.contextmanager
    def paused(self):
        """Nothing is on its way to the broker meanwhile: what the publisher sent again would be a second message."""
        self.pausing = True
        time.sleep(0.05)
        wait_until(lambda: len(self.acknowledged) == self.sent, what="the broker has taken everything")
        yield
        wait_until(self.client.is_connected, what="the publisher is connected again")
        self.pausing = False

    def finish(self):
        self.running = False
        self.join()
        wait_until(lambda: len(self.acknowledged) == self.sent, what="the broker has taken everything")
        self.client.loop_stop()
        self.client.disconnect()


def readings_stored(gateway) -> list:
    """Every reading of N, in order of time."""
    found, start = [], "2020-01-01T00:00:00Z"
    while True:
        items = gateway.get(f"/api/v1/data/telemetry/N?limit=10000&start_time={start}")["data"]["items"]
        found += items[1:] if found else items
        if len(items) < 10000:
            return found
        start = items[-1]["timestamp"]


def numbers_stored(gateway) -> list:
    return [item["n"] for item in readings_stored(gateway)]
