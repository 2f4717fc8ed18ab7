"""Devices of many makers on a real broker, read out of the box: examples as the makers' pages show them."""
import collections
import contextlib
import json
import subprocess
import time
import urllib.error

import paho.mqtt.client as mqtt

import sparkplug

from plant import Broker, Gateway, wait_until

ALL = ["tasmota", "shelly-gen1", "shelly", "zigbee2mqtt", "wirenboard", "openwb"]
MESSAGES = {
    "plug1": [("tele/plug1/SENSOR", {"Time": "2026-02-07T12:00:00", "ENERGY": {"Total": 3.185, "Power": 33, "Voltage": 230, "Current": 0.219}},
               {"energy_import_total": 3.185, "power_total": 33, "voltage_l1_n": 230, "current_l1": 0.219})],
    "shellyem3-A1": [("shellies/shellyem3-A1/emeter/1/power", "123.45", {"power_l2": 123.45}),
                     ("shellies/shellyem3-A1/emeter/1/total", "2500", {"energy_import_l2": 2.5})],
    "shellypro3em-1": [("shellypro3em-1/events/rpc", {"method": "NotifyStatus", "params": {
        "ts": None, "em:0": {"id": 0, "a_act_power": 100.5, "total_act_power": 90.5}}}, {"power_l1": 100.5, "power_total": 90.5})],
    "hall plug": [("zigbee2mqtt/hall plug", {"power": 110, "energy": 12.25, "linkquality": 120},
                   {"power_total": 110, "energy_import_total": 12.25, "linkquality": 120})],
    "wb-map3e_1": [("/devices/wb-map3e_1/controls/Urms L2", "229.5", {"voltage_l2_n": 229.5})],
    "openwb-counter-0": [("openWB/counter/0/get/powers", [1, -2, 3.5], {"power_l1": 1, "power_l2": -2, "power_l3": 3.5})],
    "press": [("plant/press/em/ch2", {"t": None, "kw": 1.5}, {"power_total_ch2": 1500})],
}
MAPPING = ('[[mqtt.mappings]]\ntopic = "plant/{line}/em/{channel}"\ndevice = "{line}"\ntimestamp = "/t"\n'
           'fields = [{ pointer = "/kw", name = "power_total_{channel}", scale = 1000 }]\n')


def stamped(payload):
    """With the time of sending where a stamp belongs."""
    if isinstance(payload, str):
        return payload
    text = json.dumps(payload)
    return text.replace('"ts": null', f'"ts": {time.time():.2f}').replace('"t": null', f'"t": {time.time():.3f}')


def say(broker, topic: str, payload):
    subprocess.run(["mosquitto_pub", "-p", str(broker.port), "-q", "1", "-t", topic, "-m", stamped(payload)], check=True)


def test_publishers_of_many_makers_are_read_out_of_the_box(plant):
    broker = Broker(plant)
    gateway = Gateway(plant, f'[[mqtt]]\nport = {broker.port}\npublishers = {json.dumps(ALL)}\n{MAPPING}')
    gateway.wait_connected()
    for messages in MESSAGES.values():
        for topic, payload, _ in messages:
            say(broker, topic, payload)
    say(broker, "zigbee2mqtt/bridge/state", "online")  # no telemetry: passed over
    say(broker, "tele/plug1/SENSOR", "{oops")          # a dead letter
    gateway.wait_committed(sum(map(len, MESSAGES.values())))
    for device, messages in MESSAGES.items():
        url = f"/api/v1/data/telemetry/{device.replace(' ', '%20')}?limit=10"
        found = [{name: value for name, value in item.items() if name in expected}
                 for item, (_, _, expected) in zip(gateway.get(url)["data"]["items"], messages)]
        assert found == [expected for _, _, expected in messages], device
    wait_until(lambda: gateway.status()["storage"]["dead_letters"] == 1, what="the broken message is set aside")
    letters = json.loads(gateway.ctl("--json", "dead-letters", "list").stdout)
    assert "not valid JSON" in json.dumps(letters) and "tele/plug1/SENSOR" in json.dumps(letters)


def test_a_changed_subscription_holds_for_a_session_that_goes_on(plant):
    broker = Broker(plant, extra="log_type all")
    plain = f'[[mqtt]]\nport = {broker.port}\n'
    gateway = Gateway(plant, plain)
    gateway.wait_connected()
    gateway.stop()
    gateway.write_config(plain + 'publishers = ["tasmota"]\n')
    gateway.start()
    gateway.wait_connected()
    say(broker, "devices/D9/telemetry", {"power": 1})
    say(broker, *MESSAGES["plug1"][0][:2])
    gateway.wait_committed(1)
    wait_until(lambda: "UNSUBSCRIBE from" in broker.process.text(), what="the broker is told that the old topic is not wanted")
    time.sleep(1)
    assert [device["device_id"] for device in gateway.get("/api/v1/devices")["data"]] == ["plug1"]


class EdgeNode:
    """A Sparkplug B edge node with one device, as the specification has it: born again when it is asked to be."""

    def __init__(self, port: int):
        self.energy, self.seq, self.births, self.stamp = 100, 0, 0, 1_770_465_600_000
        self.client = mqtt.Client(client_id="edge")
        self.client.on_message = lambda client, data, message: self.command(message.payload)
        self.client.connect("127.0.0.1", port)
        self.client.subscribe("spBv1.0/plant/NCMD/press", 1)
        self.client.loop_start()

    def command(self, message: bytes):
        # Node Control/Rebirth, a boolean that is true
        if b"Node Control/Rebirth" in message and sparkplug.number(14, 1) in message:
            self.be_born()

    def say(self, kind: str, device: str, metrics: list):
        seq, self.seq = self.seq, (self.seq + 1) % 256
        topic = f"spBv1.0/plant/{kind}/press{device and '/' + device}"
        self.client.publish(topic, sparkplug.payload(metrics, seq, self.stamp), 1)

    def be_born(self):
        self.seq, self.births = 0, self.births + 1
        self.say("NBIRTH", "", [sparkplug.metric("bdSeq", sparkplug.UINT64, self.births), sparkplug.metric("Node Control/Rebirth", sparkplug.BOOLEAN, False)])
        # Another birth, other aliases: what is read by those of before is another quantity.
        self.alias = 10 * self.births
        self.say("DBIRTH", "meter", [
            sparkplug.metric("energy_import_total", sparkplug.DOUBLE, float(self.energy), self.alias),
            sparkplug.metric("power_total", sparkplug.INT32, -700, self.alias + 1),
            sparkplug.metric("state", sparkplug.STRING, "run", self.alias + 2)])

    def work(self, miss: bool = False):
        self.energy, self.stamp = self.energy + 1, self.stamp + 1000
        if miss:
            self.seq += 1
        self.say("DDATA", "meter", [sparkplug.metric(None, None, float(self.energy), self.alias, self.stamp),
                                    sparkplug.metric(None, None, -self.energy, self.alias + 1, self.stamp)])


def test_sparkplug_nodes_are_read_by_alias_and_asked_to_be_born_again_when_something_was_missed(plant, broker):
    gateway = Gateway(plant, f'[[mqtt]]\nport = {broker.port}\npublishers = ["sparkplug"]\n')
    gateway.wait_connected()
    node = EdgeNode(broker.port)
    node.stamp = int(time.time() * 1000) - 100_000
    node.be_born()
    for _ in range(3):
        node.work()
    def energies():
        items = []
        with contextlib.suppress(urllib.error.HTTPError):  # no such device yet
            items = gateway.get("/api/v1/data/telemetry/plant.press.meter?limit=1000")["data"]["items"]
        return [item["energy_import_total"] for item in items if "energy_import_total" in item]
    wait_until(lambda: energies() == [100, 101, 102, 103], what="data by alias is read")
    latest = {row["field"]: row["value"] for row in gateway.get("/api/v1/data/telemetry/plant.press.meter/latest")["data"]["series"]}
    assert latest["power_total"] == -103 and latest["state"] == "run"
    # A number is missing: what came after it is set aside until the node has said again what its aliases mean.
    node.work(miss=True)
    wait_until(lambda: node.births == 2, what="the node is asked to be born again")
    wait_until(lambda: energies()[-1] == 104, what="the birth's own values are read")
    node.work()
    wait_until(lambda: energies() == [100, 101, 102, 103, 104, 105], what="data by the new aliases is read")
    letters = gateway.ctl_json("dead-letters", "list")["items"]
    assert len(letters) == 1 and "alias 10 means nothing" in letters[0]["detail"], letters
    # A gateway that starts anew knows no alias either.
    gateway.stop()
    gateway.start()
    gateway.wait_connected()
    node.work()
    wait_until(lambda: node.births == 3, what="the node is asked after a restart, too")
    wait_until(lambda: energies()[-1] == 106, what="nothing is missing in the end")
    node.client.loop_stop()


def test_home_assistant_is_told_of_every_series_and_of_what_changes(plant, broker):
    told = collections.defaultdict(list)
    home = mqtt.Client(client_id="home")
    home.on_message = lambda client, data, message: told[message.topic].append(message.payload.decode())
    home.connect("127.0.0.1", broker.port)
    home.subscribe([("homeassistant/#", 1), ("wattd/#", 1)])
    home.loop_start()
    gateway = Gateway(plant, f'[[mqtt]]\nport = {broker.port}\n[[homeassistant]]\nport = {broker.port}\nreport = "change"\n')
    gateway.wait_connected()
    own = gateway.status()["gateway"]["id"][:8] if "gateway" in gateway.status() else gateway.status()["gateway_id"][:8]
    wait_until(lambda: told[f"wattd/{own}/status"] == ["online"], what="the gateway says that it is there")
    def say(kwh: float, watts: float):
        home.publish("devices/M/telemetry", json.dumps({"energy_import_total": kwh, "power_total": watts, "on": True}), 1).wait_for_publish(10)
    say(100, 5)
    state = f"wattd/{own}/M/energy_import_total_adjusted"
    wait_until(lambda: told[state] == ["100"], what="the counter is told")
    config = json.loads(told[f"homeassistant/sensor/wattd_{own}_M_energy_import_total_adjusted/config"][0])
    assert (config["state_topic"], config["device_class"], config["state_class"], config["unit_of_measurement"]) == (state, "energy", "total_increasing", "kWh")
    assert f"homeassistant/sensor/wattd_{own}_M_energy_import_total/config" not in told, "a raw counter may fall"
    assert told[f"wattd/{own}/M/on"] == ["ON"]
    say(101, 5)
    wait_until(lambda: told[state] == ["100", "101"], what="what has changed is told")
    assert told[f"wattd/{own}/M/power_total"] == ["5"], "what has not changed is not"
    gateway.kill()
    wait_until(lambda: told[f"wattd/{own}/status"][-1] == "offline", what="its will is read")
    gateway.start()
    wait_until(lambda: told[f"wattd/{own}/status"][-1] == "online", what="it is back")
    gateway.stop()
    wait_until(lambda: told[f"wattd/{own}/status"][-1] == "offline", what="it says that it goes")
    home.loop_stop()
