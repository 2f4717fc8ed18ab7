"""Every kind of sink against its real server, over a link that is cut, stalls, drips or loses answers: upstream equals local."""
import json
import os
import time

import paho.mqtt.client as mqtt
import pytest

from bad_link import BadLink
from plant import Gateway, mqtt_config, wait_until
from test_clock import Clock
from upstream import KINDS, sink

START = (int(time.time()) - 86_400) * 1_000_000  # all of it is past, and new enough to be kept


def stamp(us: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(us // 1_000_000)) + f".{us % 1_000_000:06}Z"


class Speaker:
    """Publishes readings of known stamps and values, and remembers them."""

    def __init__(self, broker):
        self.client = mqtt.Client("speaker")
        self.client.max_inflight_messages_set(1000)
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()
        self.said: dict = {}
        self.count = 0

    def say(self, readings: int):
        waiting = []
        for _ in range(readings):
            number = self.count
            self.count += 1
            device, at = f"D{number % 7}", START + number * 10_007_003
            fields = {"power": number / 8, "count": float(number), "state": f"s{number % 3} é\t\"'\\", "on": number % 2 == 0}
            waiting.append(self.publish(device, at, fields))
        for message in waiting:
            message.wait_for_publish(30)

    def publish(self, device: str, at: int, fields: dict):
        for field, value in fields.items():
            self.said.setdefault((device, field), {})[at] = value
        return self.client.publish(f"devices/{device}/telemetry", json.dumps({"device_id": device, "timestamp": stamp(at), **fields}), 1)

    def expected(self, store) -> dict:
        rows = {}
        for (device, field), values in self.said.items():
            some = next(iter(values.values()))
            if store.holds_text or (isinstance(some, float) and not isinstance(some, bool)):
                rows[device, field] = {at // store.precision * store.precision: value for at, value in values.items()}
        return rows

    def close(self):
        self.client.loop_stop()
        self.client.disconnect()


@pytest.fixture
def speaker(broker):
    one = Speaker(broker)
    yield one
    one.close()


def compare(gateway, store, speaker, seconds: float = 60):
    expected = speaker.expected(store)
    def same() -> bool:
        return store.rows() == expected
    wait_until(same, seconds, every=.5, what="upstream equals local")
    gateway.wait_shipped()


@pytest.mark.parametrize("store", KINDS, indirect=True)
def test_everything_arrives_over_a_link_that_does_its_worst(plant, broker, store, speaker):
    link = BadLink(store.port) if store.port else None
    gateway = Gateway(plant, mqtt_config(broker, 1000) + sink(store, link.port if link else 0))
    gateway.wait_connected()
    speaker.say(300)
    compare(gateway, store, speaker)
    for how in ("cut", "stalled", "lost", "slow") if link else ():
        link.become(how)
        speaker.say(400)
        time.sleep(3 if how in ("stalled", "lost") else 1)
        if how != "slow":
            assert gateway.status()["sinks"][0]["last_error"], f"a link that is {how} is noticed"
            link.become("good")
        compare(gateway, store, speaker)
        link.become("good")
    # The server goes down in the midst of it, and the gateway, too.
    speaker.say(400)
    store.kill()
    speaker.say(200)
    gateway.wait_committed(speaker.count)
    gateway.process.stop(9)
    store.start()
    gateway.start()
    gateway.wait_connected()
    compare(gateway, store, speaker)


@pytest.mark.parametrize("store", [name for name, kind in KINDS.items() if kind.takes_corrections], indirect=True)
def test_a_correction_arrives_where_the_store_takes_it(plant, broker, store, speaker):
    gateway = Gateway(plant, mqtt_config(broker, 1000) + sink(store, store.port))
    gateway.wait_connected()
    speaker.say(50)
    compare(gateway, store, speaker)
    at = START + 7 * 10_007_003
    speaker.publish("D0", at, {"power": -5.5}).wait_for_publish(10)
    speaker.count += 1
    compare(gateway, store, speaker)
    assert store.rows()["D0", "power"][at // store.precision * store.precision] == -5.5


@pytest.mark.parametrize("store", [name for name, kind in KINDS.items() if kind.can_be_asked], indirect=True)
def test_verify_finds_what_upstream_has_lost_and_sends_it_again(plant, broker, store, speaker):
    gateway = Gateway(plant, mqtt_config(broker, 1000) + sink(store, store.port))
    gateway.wait_connected()
    speaker.say(300)
    compare(gateway, store, speaker)
    verify = ("sync", "verify", "up", "--from", "30h")
    done = gateway.ctl_json(*verify)
    assert done["hours_different"] == 0 and done["values_here"] == done["values_there"] == sum(map(len, speaker.expected(store).values())), done
    store.forget("D3")
    looked = json.loads(gateway.ctl("--json", *verify, "--dry-run", check=False).stdout)
    assert {one["device_id"] for one in looked["differences"]} == {"D3"} and looked["sent_readings"] == 0
    done = gateway.ctl_json(*verify)
    assert done["hours_different"] == looked["hours_different"] > 0 and done["sent_readings"] == 43, "every seventh of them"
    compare(gateway, store, speaker)
    store.forget("D4")
    assert gateway.ctl_json("sync", "backfill", "up", "--from", "30h")["sent_readings"] == 300
    compare(gateway, store, speaker)
    assert gateway.status()["sinks"][0]["failures"] == 0


@pytest.mark.parametrize("store", KINDS, indirect=True)
def test_a_sink_is_tested_and_paused(plant, broker, store, speaker):
    gateway = Gateway(plant, mqtt_config(broker, 1000) + sink(store, store.port) + (sink(store, 1).replace('"up"', '"nobody"') if store.port else ""))
    gateway.wait_connected()
    assert not gateway.ctl_json("sync", "test", "up")["failed"]
    if store.port:
        refused = gateway.ctl("sync", "test", "nobody", check=False)
        assert refused.returncode == 1 and "onnect" in refused.stderr, refused
        unknown = gateway.ctl("sync", "test", "up2", check=False)
        assert unknown.returncode == 1 and "there is no sink" in unknown.stderr
    gateway.ctl("sync", "pause", "up")
    speaker.say(20)
    gateway.wait_committed(speaker.count)
    def sees_what_waits() -> bool:
        mine = gateway.ctl_json("sync", "status")[0]
        return mine["paused"] and mine["lag_seconds"] > .5 and mine["sent_readings"] == 0
    wait_until(sees_what_waits, 15, every=.2, what="it is paused, and tells since when something waits")
    assert 'wattd_sink_paused{sink="up"} 1' in gateway.metrics()
    gateway.process.stop(9)
    gateway.start()
    assert gateway.ctl_json("sync", "status")[0]["paused"], "whoever paused it does not look after every restart"
    gateway.ctl("sync", "resume", "up")
    wait_until(lambda: store.rows() == speaker.expected(store), 60, every=.5, what="upstream equals local")
    wait_until(lambda: gateway.ctl_json("sync", "status")[0]["lag_seconds"] == 0, what="nothing waits any more")


@pytest.mark.parametrize("store", KINDS, indirect=True)
def test_a_clock_that_is_stepped_doubles_and_loses_nothing(plant, broker, store, speaker):
    clock = Clock(plant, "+0")
    gateway = Gateway(plant, mqtt_config(broker, 1000) + sink(store, store.port), ready=False)
    gateway.start(clock.env)
    gateway.wait_connected()
    speaker.say(100)
    # Back, far ahead, and right again: S3 takes nothing that is signed hours away.
    for steps, value in enumerate(("-600s", "+7200s", "+0"), 1):
        clock.set(value)
        wait_until(lambda: gateway.status()["clock"]["steps"] == steps, what="the step is seen")
        speaker.say(100)
    compare(gateway, store, speaker)


KILLS = int(os.environ.get("WATTD_SYNC_KILLS", "2"))  # ./dev soak row: ten


@pytest.mark.parametrize("store", [name for name in KINDS if name != "file"], indirect=True)
def test_a_store_that_is_killed_many_times_in_a_row_under_load_has_everything_in_the_end(plant, broker, store, speaker):
    gateway = Gateway(plant, mqtt_config(broker, 1000) + sink(store, store.port))
    gateway.wait_connected()
    for number in range(KILLS):
        speaker.say(100)
        store.kill()  # while the first of them are on their way
        speaker.say(100)
        time.sleep(number % 3)
        store.start()
        speaker.say(50)
        wait_until(lambda: gateway.status()["sinks"][0]["last_error"] is None, 60, every=.05, what="it sends again")
    compare(gateway, store, speaker, 120)


@pytest.mark.parametrize("store", ["victoriametrics"], indirect=True)
def test_a_store_that_loses_its_tail_between_two_requests_gets_it_again(plant, broker, store, speaker):
    gateway = Gateway(plant, mqtt_config(broker, 1000) + sink(store, store.port))
    gateway.wait_connected()
    for _ in range(3):
        speaker.say(100)
        gateway.wait_committed(speaker.count)
        wait_until(lambda: gateway.status()["sinks"][0]["behind_segments"] == 0, every=.05, what="it has answered for everything")
        store.kill()  # while nothing is on its way: no request fails
        store.start()
        speaker.say(1)
        compare(gateway, store, speaker)
    assert gateway.status()["sinks"][0]["failures"] <= 3
