"""Devices of many makers on a real broker, read out of the box: examples as the makers' pages show them."""
import json
import subprocess
import time

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
