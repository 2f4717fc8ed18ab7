#!/usr/bin/python3
"""Today's honest do-it-yourself gateway: commits each message before it acknowledges it."""
import json
import sqlite3
import sys
import time

import paho.mqtt.client as mqtt

port, client_id, wanted, path, synchronous = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5]
database = sqlite3.connect(path, isolation_level=None)
database.execute("PRAGMA journal_mode=WAL")
database.execute(f"PRAGMA synchronous={synchronous}")
database.execute("CREATE TABLE readings (device_id TEXT, ts TEXT, voltage REAL, current REAL, power REAL, temperature REAL)")
FIELDS = ["device_id", "timestamp", "voltage", "current", "power", "temperature"]
times = []


def on_message(client, data, message):
    reading = json.loads(message.payload)
    if 200 <= reading["voltage"] <= 250:
        database.execute("INSERT INTO readings VALUES (?,?,?,?,?,?)", [reading.get(name) for name in FIELDS])
    times.append(time.monotonic())
    if len(times) == wanted:
        client.disconnect()


client = mqtt.Client(client_id, clean_session=False)
client.on_connect = lambda c, d, f, rc: c.subscribe("devices/+/telemetry", 1)
client.on_message = on_message
client.connect("127.0.0.1", port)
client.loop_forever()
# Seconds from the first to the last message, and of the processor from start to end.
print(f"{times[-1] - times[0]:.6f} {time.process_time():.6f}")
