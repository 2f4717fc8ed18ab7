"""Publishes one reading of four fields a message at a steady pace: pace.py PORT RATE SECONDS DEVICES. Field `t` is the monotonic time of publishing."""
import json
import sys
import time

import paho.mqtt.client as mqtt


def main(port: int, rate: float, seconds: float, devices: int):
    client = mqtt.Client(client_id="pace")
    client.max_inflight_messages_set(1000)
    client.connect("127.0.0.1", port)
    client.loop_start()
    began, sent = time.monotonic(), 0
    while sent < rate * seconds:
        due = began + sent / rate
        now = time.monotonic()
        if due > now:
            time.sleep(min(due - now, .001))
            continue
        client.publish(f"devices/P{sent % devices}/telemetry", json.dumps({"voltage": 230.1, "current": 0.85, "power": 195.6, "t": now}), 1)
        sent += 1
    while client.want_write():
        time.sleep(.01)
    time.sleep(1)
    client.loop_stop()
    client.disconnect()


if __name__ == "__main__":
    main(int(sys.argv[1]), *map(float, sys.argv[2:4]), int(sys.argv[4]))
