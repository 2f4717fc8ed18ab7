"""From a source to upstream, through every room, with real servers."""
import csv
import gzip
import json
import struct

import paho.mqtt.client as mqtt

from certificates import make_certificates
from plant import BUILD, BULB, BULBS, OVERHEAT, PROFILES, Broker, Gateway, free_port, mqtt_config, sink_config, wait_until


def publish(port: int, messages: list, qos: int = 1, retain: bool = False):
    """Publishes with an independent client, and returns when the broker has taken everything."""
    client = mqtt.Client()
    client.max_inflight_messages_set(1000)
    client.max_queued_messages_set(0)
    client.connect("127.0.0.1", port)
    client.loop_start()
    for info in [client.publish(topic, payload, qos, retain) for topic, payload in messages]:
        info.wait_for_publish(30)
    client.loop_stop()
    client.disconnect()


def test_mqtt_arrives_upstream_sample_for_sample(plant, broker, upstream):
    gateway = Gateway(plant, BULBS + mqtt_config(broker) + sink_config(upstream.url))
    gateway.wait_connected()
    plant.sim_done("mqtt", "--port", broker.port, "--devices", 10, "--interval", 0.2, "--count", 20)
    gateway.wait_committed(200)
    gateway.wait_shipped()
    assert gateway.local_samples() == 800
    stored = upstream.export()
    assert sum(len(samples) for samples in stored.values()) == 800
    local = gateway.get("/api/v1/data/telemetry/D3?limit=1000")["data"]["items"]
    for field in ("voltage", "current", "power", "temperature"):
        assert [value for _, value in stored["D3", field]] == [item[field] for item in local]
    series = upstream.process and gateway.metrics()
    assert 'telemetry_messages_total{device_id="D3"} 20' in series
    assert "rule_evaluation_duration_seconds_bucket" in series and 'alerts_active{severity="high"} 0' in series


def test_labels_upstream_are_the_seeds_and_the_gateway(plant, broker, upstream):
    gateway = Gateway(plant, BULB + mqtt_config(broker) + sink_config(upstream.url))
    gateway.wait_connected()
    plant.sim_done("mqtt", "--port", broker.port, "--interval", 0, "--count", 1)
    gateway.wait_committed(1)
    gateway.wait_shipped()
    upstream.export()
    import urllib.request
    found = json.load(urllib.request.urlopen(f"{upstream.url}/api/v1/series?match[]=device_telemetry_voltage"))["data"]
    assert found == [{"__name__": "device_telemetry_voltage", "db": "telemetry", "device_id": "D1", "device_type": "bulb",
                      "enrichment_status": "success", "gateway": gateway.status()["gateway_id"], "location": "Plant-A",
                      "schema_version": "v1"}]


def test_modbus_tcp_and_rtu_arrive_upstream(plant, upstream):
    port, tty = free_port(), plant.directory / "tty"
    plant.sim("modbus", "--profiles", PROFILES, "--port", port, "--profile", "schneider-iem3155", name="tcp")
    plant.sim("modbus", "--profiles", PROFILES, "--pty", tty, "--profile", "eastron-sdm120", "--unit", 3, name="rtu")
    wait_until(tty.is_symlink, what="the pseudo-terminal is there")
    gateway = Gateway(plant, f'[[buses]]\nhost = "127.0.0.1"\nport = {port}\n[[buses.meters]]\ndevice = "M1"\nfast = "500ms"\n'
                      f'slow = "1s"\nprofile = "schneider-iem3155"\n'
                      f'[[buses]]\ndevice = "{tty}"\n[[buses.meters]]\ndevice = "M2"\nunit = 3\nfast = "500ms"\nslow = "1s"\n'
                      f'profile = "eastron-sdm120"\n' + sink_config(upstream.url))
    gateway.wait_committed(12)
    gateway.stop()
    gateway.start()
    gateway.wait_shipped()
    stored = upstream.export()
    for device in ("M1", "M2"):
        local = gateway.get(f"/api/v1/data/telemetry/{device}?limit=10000&fields=power_total")["data"]["items"]
        shipped = [value for _, value in stored[device, "power_total"]]
        assert shipped[:len(local)] == [item["power_total"] for item in local][:len(shipped)]
        assert len(shipped) >= 3
        assert all(value == 230.1 for _, value in stored[device, "voltage_l1_n"])
        assert stored[device, "energy_import_total"][0][1] >= 12345.678
    devices = {device["device_id"]: device for device in gateway.ctl_json("devices")}
    assert devices["M1"]["manufacturer"] == "Schneider Electric" and devices["M1"]["enrichment_status"] == "success"


def household(data, rows: int) -> list:
    with gzip.open(data / "electrical" / "household_hourly_vpqi.csv.gz", "rt") as file:
        return [row for _, row in zip(range(rows), csv.DictReader(file))]


def test_household_over_mqtt_arrives_value_for_value(plant, broker, upstream, data):
    gateway = Gateway(plant, mqtt_config(broker) + sink_config(upstream.url))
    gateway.wait_connected()
    path = data / "electrical" / "household_hourly_vpqi.csv.gz"
    plant.sim_done("replay", path, "--device", "HOUSE", "--port", broker.port, "--limit", 5000)
    gateway.wait_committed(5000)
    gateway.wait_shipped()
    rows = household(data, 5000)
    stored = upstream.export()
    columns = [name for name in rows[0] if name != "timestamp"]
    assert len(columns) >= 4
    for column in columns:
        expected = [float(row[column]) for row in rows if row[column] != ""]
        assert [value for _, value in stored["HOUSE", column]] == expected, column


def test_household_over_modbus_arrives_value_for_value(plant, upstream, data):
    port = free_port()
    path = data / "electrical" / "household_hourly_vpqi.csv.gz"
    columns = {"V": "voltage_l1_n", "I_A": "current_l1", "P_kW": "power_total"}
    rows = household(data, 100_000)
    plant.sim("modbus", "--profiles", PROFILES, "--port", port, "--profile", "eastron-sdm120", "--replay", path,
              *[part for pair in columns.items() for part in ("--column", "=".join(pair))], name="meter")
    gateway = Gateway(plant, f'[[buses]]\nhost = "127.0.0.1"\nport = {port}\n[[buses.meters]]\ndevice = "HOUSE"\n'
                      'fast = "50ms"\nslow = "1h"\nprofile = "fast-sdm120"\n' + sink_config(upstream.url), ready=False)
    # The shipped profile rests 100 ms after each request; a simulated meter needs no rest.
    shipped = (PROFILES / "eastron-sdm120.toml").read_text()
    (gateway.directory / "fast-sdm120.toml").write_text(
        shipped.replace('delay = "100ms"', 'delay = "0ms"').replace('id = "eastron-sdm120"', 'id = "fast-sdm120"'))
    gateway.path.write_text(gateway.path.read_text().replace(f'profiles = ["{PROFILES}"]', f'profiles = ["{gateway.directory}"]'))
    gateway.start()
    gateway.wait_committed(300, 120)
    gateway.stop()
    gateway.start()
    gateway.wait_shipped()
    stored = upstream.export()

    def as_float32(text: str) -> float:
        # The shortest decimal that reads back as the same float32.
        single = struct.unpack("f", struct.pack("f", float(text)))[0]
        return next(float(f"{single:.{digits}g}") for digits in range(1, 18)
                    if struct.unpack("f", struct.pack("f", float(f"{single:.{digits}g}")))[0] == single)

    for column, field in columns.items():
        got = [value for _, value in stored["HOUSE", field]]
        expected = [as_float32(row[column]) for row in rows if row[column] != ""]
        assert len(got) >= 300
        assert got == expected[:len(got)], field


def test_an_overheating_bulb_raises_the_seeds_alert(plant, broker):
    gateway = Gateway(plant, BULB + mqtt_config(broker) + OVERHEAT)
    gateway.wait_connected()
    plant.sim_done("mqtt", "--port", broker.port, "--interval", 0.1, "--count", 10, "--at", "0.45:overheat:D1", "--seed", 4)
    gateway.wait_committed(10)
    alerts = gateway.ctl_json("alerts", "--device", "D1")
    assert len(alerts) == 1
    alert = alerts[0]
    assert alert["severity"] == "high" and alert["status"] == "resolved" and alert["actual_value"] >= 60
    assert alert["message"].startswith("Alert: Bulb Overheat - Device D1 temperature is ")
    rule = next(rule for rule in gateway.get("/api/v1/rules")["data"] if rule["rule_name"] == "Bulb Overheat")
    assert rule["last_triggered_at"] == alert["created_at"] and rule["origin"].startswith(str(gateway.path))
    assert rule["cooldown_minutes"] == 15 and rule["notification_channels"] == ["email", "whatsapp"]


def test_an_alert_is_acknowledged_over_the_socket_only(plant, broker):
    gateway = Gateway(plant, BULB + mqtt_config(broker) + OVERHEAT)
    gateway.wait_connected()
    plant.sim_done("mqtt", "--port", broker.port, "--interval", 0, "--count", 1, "--fault", "overheat=1")
    gateway.wait_committed(1)
    alert = gateway.ctl_json("alerts", "--status", "open")[0]["alert_id"]
    import urllib.error
    import urllib.request
    request = urllib.request.Request(f"http://127.0.0.1:{gateway.port}/api/v1/alerts/{alert}/acknowledge", b"{}", method="PATCH")
    try:
        urllib.request.urlopen(request)
        raise AssertionError("TCP must not take changes")
    except urllib.error.HTTPError as refused:
        assert refused.code == 403
    gateway.ctl("alerts", "ack", alert, "--by", "ops@plant")
    gateway.stop()
    gateway.start()
    kept = gateway.ctl_json("alerts", "--status", "acknowledged")[0]
    assert kept["alert_id"] == alert and kept["acknowledged_by"] == "ops@plant"
    gateway.wait_connected()
    plant.sim_done("mqtt", "--port", broker.port, "--interval", 0, "--count", 1)
    wait_until(lambda: gateway.ctl_json("alerts", "--status", "resolved"), what="the alert resolves")


def test_a_retained_message_is_no_reading(plant, broker):
    publish(broker.port, [("devices/OLD/telemetry", '{"power": 1}')], retain=True)
    gateway = Gateway(plant, mqtt_config(broker))
    wait_until(lambda: any(link["retained_skipped"] == 1 for link in gateway.status()["mqtt"]), what="the retained message has come")
    publish(broker.port, [("devices/NEW/telemetry", '{"power": 2}')])
    gateway.wait_committed(1)
    assert [device["device_id"] for device in gateway.ctl_json("devices")] == ["NEW"]


def test_tls_with_ca_client_certificate_and_password(plant):
    import subprocess
    import os
    folder = plant.directory
    make_certificates(folder)
    subprocess.run(["mosquitto_passwd", "-c", "-b", folder / "passwords", "gateway", "s3cret"], check=True)
    os.chmod(folder / "passwords", 0o600)
    broker = Broker(plant, extra=f"cafile {folder}/ca.pem\ncertfile {folder}/server.pem\nkeyfile {folder}/server.key\n"
                                 f"require_certificate true\n")
    broker.stop()
    broker.config.write_text(broker.config.read_text().replace("allow_anonymous true", f"allow_anonymous false\npassword_file {folder}/passwords"))
    broker.start()
    (folder / "broker.password").write_text("s3cret\n")
    gateway = Gateway(plant, f'[[mqtt]]\nport = {broker.port}\nusername = "gateway"\n'
                      'password = "${CREDENTIALS_DIRECTORY}/broker.password"\n'
                      f'tls = {{ ca_file = "{folder}/ca.pem", cert_file = "{folder}/client.pem", key_file = "{folder}/client.key" }}\n', ready=False)
    gateway.start({"CREDENTIALS_DIRECTORY": str(folder)})
    gateway.wait_connected()
    client = mqtt.Client()
    client.tls_set(str(folder / "ca.pem"), str(folder / "client.pem"), str(folder / "client.key"))
    client.username_pw_set("gateway", "s3cret")
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    for number in range(200):
        client.publish("devices/TLS/telemetry", json.dumps({"n": number}), 1).wait_for_publish(10)
    client.loop_stop()
    gateway.wait_committed(200)
    assert BUILD.exists() and gateway.local_samples() == 200
