"""What an integrator types over SSH."""
import json
import subprocess

from plant import BUILD, BULB, PROFILES, Gateway, free_port, mqtt_config, wait_until
from test_way_of_a_reading import publish


def test_query_answers_as_table_csv_and_json(plant, broker):
    gateway = Gateway(plant, mqtt_config(broker))
    gateway.wait_connected()
    publish(broker.port, [("devices/A/telemetry", json.dumps({"timestamp": f"2026-11-0{day}T10:00:0{second}Z", "p": second * day, "on": True}))
                          for day in (1, 2) for second in range(10)])
    publish(broker.port, [("devices/A/telemetry", '{"p": 5}')])
    wait_until(lambda: gateway.status()["pipeline"]["received"] == 21, what="all have come")
    gateway.wait_committed(21)
    window = ["--from", "2026-11-01T00:00:00Z", "--to", "2026-11-03T00:00:00Z"]
    table = gateway.ctl("query", "A", *window, "--limit", 2).stdout.splitlines()
    assert table[0].split() == ["timestamp", "on", "p"] and len(table) == 3
    rows = gateway.ctl("--csv", "query", "A", *window, "--fields", "p").stdout.splitlines()
    assert rows[0] == "timestamp,p" and rows[1] == "2026-11-01T10:00:00Z,0" and len(rows) == 21
    daily = gateway.ctl_json("query", "A", *window, "--aggregate", "sum", "--interval", "1d", "--fields", "p")["items"]
    assert [item["p"] for item in daily] == [45, 90]
    mean = gateway.ctl_json("query", "A", *window, "--aggregate", "mean", "--interval", "5s", "--fields", "p")["items"]
    assert [item["p"] for item in mean] == [2, 7, 4, 14]
    bad = gateway.ctl("query", "A", "--aggregate", "median", check=False)
    assert bad.returncode == 1 and "expected one of mean, min, max" in bad.stderr
    bad = gateway.ctl("query", "A", "--from", "yesterday", check=False)
    assert bad.returncode == 1 and "expected RFC 3339" in bad.stderr


def test_tail_shows_readings_once_they_are_committed(plant, broker):
    gateway = Gateway(plant, BULB + mqtt_config(broker))
    gateway.wait_connected()
    tail = subprocess.Popen([BUILD / "wattctl", "--socket", gateway.socket, "--json", "tail", "-n", "3"], stdout=subprocess.PIPE, text=True)
    wait_until(lambda: plant.sim_done("mqtt", "--port", broker.port, "--interval", 0, "--count", 1) and tail.poll() is not None, every=0.3, what="tail has three")
    lines = [json.loads(line) for line in tail.stdout.read().splitlines()]
    assert len(lines) == 3 and all(line["device_id"] == "D1" and line["seq"] > 0 for line in lines)


def test_meter_read_and_explain_show_the_wire(plant):
    port = free_port()
    plant.sim("modbus", "--profiles", PROFILES, "--port", port, "--profile", "schneider-iem3155", "--unit", 7)
    wattctl = [BUILD / "wattctl", "--json", "meter"]
    explained = json.loads(subprocess.run([*wattctl, "explain", "schneider-iem3155", "--profiles", PROFILES], capture_output=True, text=True, check=True).stdout)
    assert sum(len(request["measurands"]) for request in explained if request["class"] == "all") == 24
    assert all(request["registers"] <= 60 for request in explained)

    def read(*arguments):
        return subprocess.run([*wattctl, "read", "schneider-iem3155", "--profiles", PROFILES, *map(str, arguments)], capture_output=True, text=True)

    done = wait_until(lambda: (r := read("--tcp", f"127.0.0.1:{port}", "--unit", 7)).returncode == 0 and r, what="the meter answers")
    values = {row["measurand"]: row for row in json.loads(done.stdout)}
    assert values["voltage_l1_n"]["value"] == 230.1 and values["voltage_l1_n"]["words"] == "4366 199a"
    wrong = read("--tcp", f"127.0.0.1:{port}", "--unit", 9, "--timeout", 200)
    assert wrong.returncode == 1 and "gateway target does not respond" in wrong.stderr
    nobody = read("--tcp", f"127.0.0.1:{free_port()}")
    assert nobody.returncode == 1 and "Connection refused" in nobody.stderr
    unknown = subprocess.run([*wattctl, "explain", "no-such"], capture_output=True, text=True)
    assert unknown.returncode == 1 and 'profile "no-such" is not in' in unknown.stderr


def test_errors_name_the_remedy(plant):
    done = subprocess.run([BUILD / "wattctl", "--socket", plant.directory / "nothing", "status"], capture_output=True, text=True)
    assert done.returncode == 1 and "is wattd running?" in done.stderr
    done = subprocess.run([BUILD / "wattctl", "frobnicate"], capture_output=True, text=True)
    assert done.returncode == 2
    gateway = Gateway(plant, "")
    missing = gateway.ctl("dead-letters", "show", 99, check=False)
    assert missing.returncode == 1 and "dead letter 99 does not exist" in missing.stderr


def test_doctor_finds_nothing_wrong_with_a_healthy_gateway(plant, broker, upstream):
    from plant import sink_config
    gateway = Gateway(plant, BULB + mqtt_config(broker) + sink_config(upstream.url))
    gateway.wait_connected()
    plant.sim_done("mqtt", "--port", broker.port, "--interval", 0, "--count", 1)
    gateway.wait_committed(1)
    gateway.wait_shipped()
    findings = json.loads(gateway.ctl("--json", "doctor").stdout)
    assert {finding["check"] for finding in findings} >= {"clock", "daemon", "configuration", "commits", "disk", "permissions", "broker mqtt", "upstream upstream"}
    assert [finding for finding in findings if finding["state"] == "FAILED"] == []
    assert {finding["state"] for finding in findings if finding["check"] == "clock"} == {"ok"}, "[clock] trust says who vouches for it"
    assert not [finding for finding in findings if "sent again" in finding["found"]]
