"""Configuration comes from upstream: signed, checked whole, taken over at once, and taken back where the gateway is not well with it."""
import http.server
import json
import socket
import subprocess
import threading
import time
import urllib.error

import paho.mqtt.client as mqtt
import pytest

from plant import BUILD, Broker, Gateway, free_port, mqtt_config, wait_until
from test_way_of_a_reading import publish


class Fleet:
    """A server that hands out a bundle, as any web server could, and keeps what gateways say."""

    def __init__(self, plant):
        self.directory, self.bundle, self.port = plant.directory / "fleet", None, free_port()
        self.directory.mkdir()
        self.states, self.asks, self.diagnostics, self.wants, self.is_away = [], 0, {}, None, False
        self.key("plant")
        self.start()

    def key(self, name: str):
        private = self.directory / f"{name}.key"
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True)
        subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", self.directory / f"{name}.pub"], check=True)

    def start(self):
        fleet = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self, status: int, body: bytes = b""):
                self.send_response(status)
                if fleet.wants:
                    self.send_header("X-Wattd-Diagnostics", fleet.wants)
                if fleet.bundle is not None:
                    self.send_header("ETag", f'"{hash(fleet.bundle)}"')
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                if fleet.is_away:
                    self.close_connection = True
                    return
                fleet.asks += 1
                fleet.states.append(self.headers["X-Wattd-Bundle"])
                assert self.path == f"/{self.headers['X-Wattd-Gateway']}.bundle" and self.headers["Authorization"] == "Bearer sesam"
                if fleet.bundle is None:
                    return self.answer(404)
                if self.headers["If-None-Match"] == f'"{hash(fleet.bundle)}"':
                    return self.answer(304)
                self.answer(200, fleet.bundle)

            def do_POST(self):
                fleet.diagnostics[self.headers["X-Wattd-Diagnostics"]] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.answer(202)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def seal(self, serial: int, files: dict, *more, key: str = "plant", check: bool = True) -> bytes:
        source = self.directory / f"bundle-{serial}"
        for path, content in files.items():
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_text(content)
        done = subprocess.run([BUILD / "wattctl", "bundle", "seal", source, "--key", self.directory / f"{key}.key", "--serial", str(serial), "--out", self.directory / "out.bundle", *more],
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return (self.directory / "out.bundle").read_bytes()

    def config(self, trial: str = "5s") -> str:
        return (f'[bundle]\nurl = "http://127.0.0.1:{self.port}/{{gateway}}.bundle"\ntoken = "sesam"\npublic_key = "{self.directory}/plant.pub"\nevery = "1s"\ntrial = "{trial}"\n'
                f'diagnostics_url = "http://127.0.0.1:{self.port}/diagnostics"\n')


@pytest.fixture
def fleet(plant):
    one = Fleet(plant)
    yield one
    one.close()


def bundle_of(gateway) -> dict:
    return gateway.status()["bundle"]


def names(gateway) -> dict:
    return {device["device_id"]: device["device_name"] for device in gateway.ctl_json("devices")}


def test_a_bundle_is_taken_over_and_holds_over_restarts(plant, broker, fleet):
    gateway = Gateway(plant, fleet.config() + '[[devices]]\nid = "OWN"\n' + mqtt_config(broker))
    gateway.wait_connected()
    assert bundle_of(gateway) == {"applied": 0, "trial": False, "refused": None, "why": None, "last_error": None}
    extra = Broker(plant)
    fleet.bundle = fleet.seal(3, {
        "conf.d/10-devices.toml": '[[devices]]\nid = "D1"\nname = "Press 1"\n[[rules]]\nname = "Hot"\nproperty = "temperature"\nthreshold = 50\n',
        "conf.d/20-broker.toml": f'[[mqtt]]\nid = "second"\nport = {extra.port}\n'})
    shown = json.loads(subprocess.run([BUILD / "wattctl", "--json", "bundle", "show", fleet.directory / "out.bundle", "--key", fleet.directory / "plant.pub"], capture_output=True, text=True, check=True).stdout)
    assert shown["serial"] == 3 and [file["path"] for file in shown["files"]] == ["conf.d/10-devices.toml", "conf.d/20-broker.toml"]
    wait_until(lambda: bundle_of(gateway)["applied"] == 3 and not bundle_of(gateway)["trial"], 20, what="it is in use")
    assert names(gateway)["D1"] == "Press 1" and "OWN" in names(gateway)
    publish(extra.port, [("devices/D1/telemetry", '{"device_id": "D1", "temperature": 61.5}')])
    wait_until(lambda: gateway.get("/api/v1/alerts")["total"] == 1, what="its rule raises an alert, over its broker")
    wait_until(lambda: fleet.states[-1] == "applied=3", what="the server is told")
    gateway.process.stop(9)
    gateway.start()
    assert names(gateway)["D1"] == "Press 1" and bundle_of(gateway)["applied"] == 3
    wait_until(lambda: len(gateway.status()["mqtt"]) == 2 and all(one["connected"] for one in gateway.status()["mqtt"]), what="both brokers")
    # The next one replaces it whole; one that is older is not taken.
    fleet.bundle = fleet.seal(4, {"conf.d/10-devices.toml": '[[devices]]\nid = "D1"\nname = "Press One"\n'})
    wait_until(lambda: bundle_of(gateway)["applied"] == 4 and not bundle_of(gateway)["trial"], 20, what="the next is in use")
    assert names(gateway)["D1"] == "Press One" and len(gateway.status()["mqtt"]) == 1
    asks = fleet.asks
    fleet.bundle = fleet.seal(3, {"conf.d/10-devices.toml": '[[devices]]\nid = "D1"\nname = "old"\n'})
    wait_until(lambda: fleet.asks > asks + 2, what="it was fetched")
    assert bundle_of(gateway)["applied"] == 4 and names(gateway)["D1"] == "Press One"


def test_what_is_wrong_with_a_bundle_is_told_and_it_is_not_taken(plant, broker, fleet):
    gateway = Gateway(plant, fleet.config() + mqtt_config(broker))
    gateway.wait_connected()
    good = {"conf.d/10.toml": '[[devices]]\nid = "D1"\n'}
    fleet.key("other")

    def refused(bundle: bytes, serial: int, words: str):
        fleet.bundle = bundle
        wait_until(lambda: bundle_of(gateway)["refused"] == serial and words in bundle_of(gateway)["why"], 10, what=f"{words}: {bundle_of(gateway)}")
        wait_until(lambda: f"refused={serial}; why=" in fleet.states[-1] and words in fleet.states[-1], what="the server is told")
        assert bundle_of(gateway)["applied"] == 0 and names(gateway) == {}
    fleet.bundle = fleet.seal(1, good, key="other")
    wait_until(lambda: "not signed with the key" in (bundle_of(gateway)["last_error"] or ""), what="another key")
    fleet.bundle = b"GIF89a\n" * 20
    wait_until(lambda: "no bundle" in (bundle_of(gateway)["last_error"] or ""), what="no bundle at all")
    refused(fleet.seal(2, good, "--gateway", "00000000-0000-0000-0000-000000000000"), 2, "for other gateways")
    refused(fleet.seal(3, good, "--expires", "2026-01-01T00:00:00Z"), 3, "expired")
    refused(fleet.seal(4, {"conf.d/10.toml": '[[devices]]\nid = "D1"\ncolour = "red"\n'}), 4, "4/conf.d/10.toml:")
    refused(fleet.seal(5, {"conf.d/10.toml": '[bundle]\nurl = "http://elsewhere"\n'}), 5, "never in a bundle")
    refused(fleet.seal(6, {"conf.d/10.toml": '[api]\naddress = "192.0.2.1"\n'}), 6, "api is a table; stands in the gateway's own files alone")
    refused(fleet.seal(7, {"conf.d/10.toml": '[[sinks]]\nid = "up"\nurl = "nowhere"\n'}), 7, "expected http")
    asks = fleet.asks
    fleet.bundle = fleet.seal(4, good)
    wait_until(lambda: fleet.asks > asks + 2, what="an older one was fetched")
    assert bundle_of(gateway)["applied"] == 0, "its number is behind"
    fleet.bundle = fleet.seal(8, good, "--gateway", gateway.status()["gateway_id"], "--expires", "2099-01-01T00:00:00Z")
    wait_until(lambda: bundle_of(gateway)["applied"] == 8 and list(names(gateway)) == ["D1"], 20, what="a good one is taken after all")


def test_a_gateway_that_is_not_well_goes_back(plant, broker, fleet):
    gateway = Gateway(plant, fleet.config(trial="6s") + mqtt_config(broker))
    gateway.wait_connected()
    fleet.bundle = fleet.seal(1, {"conf.d/10.toml": '[[devices]]\nid = "D1"\nname = "first"\n'})
    wait_until(lambda: bundle_of(gateway)["applied"] == 1 and not bundle_of(gateway)["trial"], 20, what="the first is in use")
    # A broker that is not there.
    fleet.bundle = fleet.seal(2, {"conf.d/10.toml": f'[[devices]]\nid = "D1"\nname = "second"\n[[mqtt]]\nid = "new"\nport = {free_port()}\n'})
    wait_until(lambda: bundle_of(gateway)["trial"], 10, what="it is on trial")
    assert names(gateway)["D1"] == "second"
    wait_until(lambda: bundle_of(gateway)["refused"] == 2, 20, what="it is taken back")
    assert bundle_of(gateway)["applied"] == 1 and "mqtt new" in bundle_of(gateway)["why"]
    assert "bundle     1; 2 REFUSED: does not work: mqtt new" in gateway.ctl("status").stdout
    wait_until(lambda: names(gateway)["D1"] == "first", what="the first holds again")
    publish(broker.port, [("devices/D1/telemetry", '{"device_id": "D1", "power": 1}')])
    gateway.wait_committed(1)
    # Killed again and again during its trial.
    fleet.bundle = fleet.seal(3, {"conf.d/10.toml": f'[[devices]]\nid = "D1"\nname = "third"\n[[mqtt]]\nid = "new"\nport = {free_port()}\n'})
    wait_until(lambda: bundle_of(gateway)["trial"], 10, what="it is on trial")
    for _ in range(4):
        gateway.process.stop(9)
        gateway.start()
    assert bundle_of(gateway)["applied"] == 1 and "started 4 times" in bundle_of(gateway)["why"]
    assert names(gateway)["D1"] == "first"
    # Who takes the table out has the gateway's own files alone.
    gateway.stop()
    gateway.write_config(mqtt_config(broker))
    gateway.start()
    assert bundle_of(gateway) is None


def test_a_sink_that_never_answers_fails_the_trial_and_a_full_disk_ends_nothing(plant, broker, fleet):
    gateway = Gateway(plant, fleet.config(trial="6s") + mqtt_config(broker))
    gateway.wait_connected()
    publish(broker.port, [("devices/D1/telemetry", '{"device_id": "D1", "power": 1}')])
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        fleet.bundle = fleet.seal(1, {"conf.d/10.toml": f'[[sinks]]\nid = "deaf"\nurl = "http://127.0.0.1:{deaf.getsockname()[1]}"\ntimeout = "30s"\n'})
        wait_until(lambda: bundle_of(gateway)["refused"] == 1, 30, what="it is taken back")
    assert "sink deaf" in bundle_of(gateway)["why"]
    # In the way of the state's next version.
    (gateway.directory / "data" / "bundle" / "state.new").mkdir()
    fleet.bundle = fleet.seal(2, {"conf.d/10.toml": '[[devices]]\nid = "D2"\n'})
    wait_until(lambda: "cannot be written" in gateway.process.text(), 10, what="it is told")
    (gateway.directory / "data" / "bundle" / "state.new").rmdir()
    wait_until(lambda: bundle_of(gateway)["applied"] == 2 and not bundle_of(gateway)["trial"], 20, what="it is taken after all")


def test_a_bundle_that_cuts_the_gateway_off_is_taken_back(plant, broker, fleet):
    gateway = Gateway(plant, fleet.config(trial="6s") + mqtt_config(broker))
    gateway.wait_connected()
    fleet.bundle = fleet.seal(1, {"conf.d/10.toml": '[[devices]]\nid = "D1"\nname = "first"\n'})
    wait_until(lambda: bundle_of(gateway)["trial"], 10, what="it is on trial")
    fleet.is_away = True
    wait_until(lambda: bundle_of(gateway)["refused"] == 1, 20, what="it is taken back")
    assert "cannot be fetched any more" in bundle_of(gateway)["why"] and bundle_of(gateway)["applied"] == 0
    fleet.is_away = False
    wait_until(lambda: fleet.states[-1].startswith("applied=0; refused=1"), 10, what="the server is told")


def test_a_bundle_comes_over_mqtt(plant, broker, fleet):
    client = mqtt.Client("fleet")
    states = []
    client.on_message = lambda _, __, message: states.append(message.payload.decode())
    client.connect("127.0.0.1", broker.port)
    client.subscribe("wattd/+/bundle/state", 1)
    client.loop_start()
    config = f'[bundle]\nfrom = "mqtt"\nport = {broker.port}\npublic_key = "{fleet.directory}/plant.pub"\nevery = "1s"\ntrial = "5s"\n'
    gateway = Gateway(plant, config + mqtt_config(broker))
    gateway.wait_connected()
    topic = f"wattd/{gateway.status()['gateway_id']}/bundle"
    client.publish(topic, fleet.seal(9, {"conf.d/10.toml": '[[devices]]\nid = "D1"\nname = "nine"\n'}), 1, retain=True).wait_for_publish(10)
    wait_until(lambda: bundle_of(gateway)["applied"] == 9 and not bundle_of(gateway)["trial"], 20, what="it is in use")
    assert names(gateway)["D1"] == "nine"
    wait_until(lambda: states and states[-1] == "applied=9", what="the other side is told")
    client.loop_stop()


def test_diagnostics_go_where_they_are_asked_for_and_hold_no_secrets(plant, broker, fleet):
    sink = '[[sinks]]\nid = "up"\nurl = "http://127.0.0.1:1"\ntoken = "very-secret-token"\n'
    gateway = Gateway(plant, fleet.config() + sink + mqtt_config(broker))
    gateway.wait_connected()
    publish(broker.port, [("devices/D1/telemetry", '{"device_id": "D1", "power": 77.125}'), ("devices/D1/telemetry", "no JSON at all")])
    gateway.wait_committed(1)
    time.sleep(1.5)
    assert fleet.diagnostics == {}, "nobody has asked"
    fleet.wants = "ticket-17"
    wait_until(lambda: "ticket-17" in fleet.diagnostics, 10, what="they are sent")
    document = fleet.diagnostics["ticket-17"]
    assert document["status"]["gateway_id"] == gateway.status()["gateway_id"]
    assert [device["device_id"] for device in document["devices"]] == ["D1"] and "wattd_sink_lag_seconds" in document["metrics"]
    assert any("connected to" in line for line in document["log"]) and document["dead_letters"][0]["reason"] == "parse_error"
    text = json.dumps(document)
    assert "secret" not in text and "sesam" not in text and "no JSON at all" not in text and "77.125" not in text
    asks = fleet.asks
    fleet.diagnostics.clear()
    wait_until(lambda: fleet.asks > asks + 2, what="it has asked again")
    gateway.process.stop(9)
    gateway.start()
    asks = fleet.asks
    wait_until(lambda: fleet.asks > asks + 2, what="it has asked again")
    assert fleet.diagnostics == {}, "once for each request"
    assert gateway.ctl_json("diagnostics")["status"]["gateway_id"] == document["status"]["gateway_id"]
    with pytest.raises(urllib.error.HTTPError, match="403"):
        gateway.get("/api/v1/diagnostics")
