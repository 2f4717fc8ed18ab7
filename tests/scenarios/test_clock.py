"""A gateway whose clock is wrong at first, or is set while it runs. The wall clock is faketime's, the monotonic one the machine's."""
import datetime
import json
import pathlib
import time

from plant import Gateway, VictoriaMetrics, mqtt_config, sink_config, wait_until
from test_way_of_a_reading import publish

FAKETIME = str(next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")))
TOPIC = "devices/D1/telemetry"


class Clock:
    def __init__(self, plant, value: str):
        self.file = plant.directory / "faketime"
        self.set(value)
        self.env = {"LD_PRELOAD": FAKETIME, "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_CACHE_DURATION": "1",
                    "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    def set(self, value: str):
        self.file.write_text(value + "\n")


def publish_powers(broker, values):
    """Payloads without a timestamp of their own: the gateway's clock stamps them."""
    for value in values:  # one by one: VictoriaMetrics keeps one sample a millisecond
        publish(broker.port, [(TOPIC, json.dumps({"device_id": "D1", "power": value}))])


def stored(gateway) -> list:
    window = "start_time=2001-01-01T00:00:00Z&end_time=2100-01-01T00:00:00Z"
    items = gateway.get(f"/api/v1/data/telemetry/D1?limit=1000&{window}")["data"]["items"]
    return [(datetime.datetime.fromisoformat(item["timestamp"].replace("Z", "+00:00")).timestamp(), item["power"]) for item in items]


def test_readings_of_an_unknown_time_are_held_and_put_right(plant, broker):
    clock, upstream = Clock(plant, "@2003-01-01 00:00:00"), VictoriaMetrics(plant)
    gateway = Gateway(plant, mqtt_config(broker) + sink_config(upstream.url), ready=False)
    gateway.start(clock.env)
    gateway.wait_connected()
    began = time.time()
    publish_powers(broker, range(5))
    gateway.wait_committed(5)
    gateway.kill()
    gateway.start(clock.env)
    gateway.wait_connected()
    publish_powers(broker, range(5, 10))
    gateway.wait_committed(5)
    ended = time.time()
    assert gateway.status()["clock"] == {"trusted": False, "steps": 0, "held_readings": 10}
    assert gateway.local_samples() == 0 and stored(gateway) == []
    latest = gateway.get("/api/v1/data/telemetry/D1/latest")["data"]["series"][0]
    assert latest["value"] == 9 and latest["timestamp"].startswith("2003-01-01") and latest["quality"] == "clock_unsynced"
    assert "NOT TRUSTED: 10 readings" in gateway.ctl("status").stdout
    assert "wattd_clock_trusted 0" in gateway.metrics() and "wattd_held_readings 10" in gateway.metrics()
    clock.set("+0")
    wait_until(lambda: gateway.status()["clock"]["held_readings"] == 0, what="the clock is known and all is put right")
    samples = stored(gateway)
    assert [value for _, value in samples] == list(range(10))
    assert all(began - 1 <= at <= ended + 1 for at, _ in samples), "stamps are those of the true time"
    gateway.wait_shipped()
    sent = upstream.export()["D1", "power"]
    assert [value for _, value in sent] == list(range(10)) and all(began - 1 <= at / 1000 <= ended + 1 for at, _ in sent)


def test_a_step_back_doubles_nothing_and_orders_nothing_wrong(plant, broker):
    clock = Clock(plant, "+0")
    gateway = Gateway(plant, mqtt_config(broker), ready=False)
    gateway.start(clock.env)
    gateway.wait_connected()
    publish_powers(broker, range(10))
    gateway.wait_committed(10)
    clock.set("-600s")
    wait_until(lambda: gateway.status()["clock"]["steps"] == 1, what="the step is seen")
    publish_powers(broker, range(10, 20))
    gateway.wait_committed(20)
    assert [value for _, value in stored(gateway)] == list(range(20))
    latest = gateway.get("/api/v1/data/telemetry/D1/latest")["data"]["series"][0]
    assert latest["value"] == 19 and latest["quality"] == "clock_adjusted"
    clock.set("+7200s")
    wait_until(lambda: gateway.status()["clock"]["steps"] == 2, what="the step forward is seen")
    publish_powers(broker, range(20, 30))
    gateway.wait_committed(30)
    samples = stored(gateway)
    assert [value for _, value in samples] == list(range(30)) and samples[20][0] - samples[19][0] > 7000
