"""The samples in etc/upstream, run: each drop-in is one that the gateway takes, each engine runs with its file, every query of the dashboards answers."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request

import pytest

from plant import BUILD, Gateway, VictoriaMetrics, can_connect, free_port, mqtt_config, wait_until
from test_way_of_a_reading import publish
from upstream import Postgres

SAMPLES = pathlib.Path(__file__).parents[2] / "etc" / "upstream"


@pytest.mark.parametrize("sample", sorted(path.name for path in SAMPLES.glob("*.toml")))
def test_a_drop_in_is_one_that_the_gateway_takes(tmp_path, sample):
    text = (SAMPLES / sample).read_text()
    for named in re.findall(r'file = "([^"]+)"', text):
        secret = tmp_path / pathlib.Path(named).name
        secret.write_text("0123456789abcdef\n")
        text = text.replace(named, str(secret))
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / sample).write_text(text)
    (tmp_path / "wattd.toml").write_text(f'[storage]\ndirectory = "{tmp_path}/data"\n')
    done = subprocess.run([BUILD / "wattd", "--check-config", "--config", tmp_path / "wattd.toml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_sample_that_was_not_run_says_so_in_its_first_line():
    engines = ("cluster", "timescale", "emqx", "aws")
    for path in SAMPLES.glob("*.*"):
        text = path.read_text().lower()
        if path.suffix in (".toml", ".conf") and any(engine in text for engine in engines):
            assert "not run" in text.splitlines()[0], path.name


def test_victoriametrics_with_our_arguments_counts_what_comes_twice_once(plant):
    arguments = re.search(r'ARGS="(.*)"', (SAMPLES / "victoria-metrics.default").read_text())[1]
    port = free_port()
    server = plant.run("victoria-metrics", ["victoria-metrics", *arguments.replace("/var/lib/victoria-metrics", str(plant.directory / "vm")).replace(":8428", f"127.0.0.1:{port}").split()])
    wait_until(lambda: can_connect(port), what="VictoriaMetrics listens")
    stamp = int(time.time() * 1000) * 1_000_000
    for _ in range(3):
        urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/write", data=f"m v=1 {stamp}\n".encode()), timeout=10)
    def count() -> list:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/internal/force_flush", timeout=10).read()
        return json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?query=count_over_time(m_v[1h])&nocache=1&time={time.time() + 60:.0f}", timeout=10))["data"]["result"]
    wait_until(count, what="it can be found")
    assert count()[0]["value"][1] == "1"
    server.stop()


def test_the_role_of_postgresql_sql_may_do_what_the_sink_has_to_and_readers_may_read(plant, broker):
    store = Postgres(plant)
    psql = ["psql", "-h", "127.0.0.1", "-p", str(store.port), "-v", "ON_ERROR_STOP=1", "-At"]
    subprocess.run([*psql, "-U", "wattd", "-d", "postgres", "-c", "CREATE ROLE owner SUPERUSER LOGIN", "-c", "CREATE DATABASE plant OWNER owner"], check=True, capture_output=True)
    # The cluster of the tests has a superuser of that name: the sample's role gets another one.
    sample = (SAMPLES / "postgresql.sql").read_text().replace("ROLE wattd ", "ROLE gateway ").replace("AUTHORIZATION wattd;", "AUTHORIZATION gateway;").replace("FOR ROLE wattd ", "FOR ROLE gateway ")
    subprocess.run([*psql, "-U", "owner", "-d", "plant", "-v", "password=secret"], input=sample, check=True, capture_output=True, text=True)
    subprocess.run([*psql, "-U", "owner", "-d", "plant", "-c", "CREATE ROLE report LOGIN IN ROLE wattd_reader"], check=True, capture_output=True)
    gateway = Gateway(plant, mqtt_config(broker) + f'[[sinks]]\nid = "erp"\nkind = "postgres"\nurl = "postgresql://gateway@127.0.0.1:{store.port}/plant"\npassword = "secret"\nfields = ["energy*"]\n')
    gateway.wait_connected()
    publish(broker.port, [("devices/M/telemetry", json.dumps({"energy_import_total": value, "power_total": 5.0})) for value in (1, 2, 3)])
    gateway.wait_committed(3)
    gateway.wait_shipped()
    def read(query: str) -> subprocess.CompletedProcess:
        return subprocess.run([*psql, "-U", "report", "-d", "plant", "-c", query], capture_output=True, text=True)
    assert set(read("SELECT DISTINCT field FROM wattd.telemetry").stdout.split()) == {"energy_import_total", "energy_import_total_adjusted"}
    assert "permission denied" in read("DELETE FROM wattd.telemetry").stderr
    store.close()


def test_the_bridge_hands_on_what_waited_while_the_central_broker_was_away(plant, broker):
    central, local = broker, free_port()
    sample = (SAMPLES / "mosquitto-bridge.conf").read_text().replace("mqtt.example.org:1883", f"127.0.0.1:{central.port}").replace("restart_timeout 2 60", "restart_timeout 1 1")
    path = plant.directory / "bridge.conf"
    path.write_text(f"listener {local} 127.0.0.1\nallow_anonymous true\nuser root\npersistence_location {plant.directory}/\npersistence_file bridge.db\n{sample}")
    reader = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(central.port), "-i", "central-reader", "-c", "-q", "1", "-t", "wattd/#"]
    subprocess.run([*reader, "-E"], check=True, timeout=20)  # Subscribed before anything is sent: the session stays.
    heard = subprocess.Popen([*reader, "-W", "60"], stdout=subprocess.PIPE, text=True)
    plant.run("bridge", ["mosquitto", "-c", path])
    wait_until(lambda: can_connect(local), what="the bridge listens")
    publish(local, [("wattd/g/D/telemetry", "first")])
    wait_until(lambda: heard.stdout.readline().strip() == "first", what="it goes through")
    central.stop()
    publish(local, [("wattd/g/D/telemetry", str(number)) for number in range(20)])
    central.start()
    missing = {str(number) for number in range(20)}
    for line in heard.stdout:  # What was on its way when the broker went may come twice: that is QoS 1.
        missing.discard(line.strip())
        if not missing:
            break
    heard.kill()
    assert not missing


def expressions() -> list:
    found = []
    for path in sorted((SAMPLES / "grafana").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            found += [(f"{path.stem}: {panel['title']}", target["expr"]) for target in panel["targets"]]
    return found


def test_every_query_of_the_dashboards_answers(plant, broker):
    server = VictoriaMetrics(plant)
    gateway = Gateway(plant, mqtt_config(broker) + f'[[sinks]]\nid = "up"\nurl = "{server.url}"\nsettle = "0s"\n')
    gateway.wait_connected()
    now = time.time()
    publish(broker.port, [("devices/MAIN/telemetry", json.dumps({
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now - 3600 + 60 * minute)), "power_total": 1000 + minute, "power_factor_total": .95, "voltage_l1": 230.5,
        "voltage_l2_n": 231.0, "energy_import_total": 5000 + minute / 60})) for minute in range(60)])
    gateway.wait_committed(60)
    gateway.wait_shipped()
    # As VictoriaMetrics scrapes it: the labels that a scrape adds, twice, so that there are rates.
    for at in (now - 60, now - 1):
        publish(broker.port, [("devices/OTHER/telemetry", '{"power_factor_total": 1}')])
        gateway.wait_committed(61 if at < now - 1 else 62)
        lines = "".join(re.sub(r"^(\w+)\{?", lambda match: f'{match[1]}{{instance="g:8470",' if match[0].endswith("{") else f'{match[1]}{{instance="g:8470"}}', line) + f" {int(at * 1000)}\n"
                        for line in gateway.metrics().splitlines() if line and not line.startswith("#"))
        urllib.request.urlopen(urllib.request.Request(f"{server.url}/api/v1/import/prometheus", data=lines.encode()), timeout=10)
    def ask(expression: str) -> list:
        for name, value in (("$gateway", ".*"), ("$device", ".*"), ("$__range", "1h"), ("$__rate_interval", "5m")):
            expression = expression.replace(name, value)
        query = urllib.parse.urlencode({"query": expression, "nocache": 1, "time": f"{now:.0f}"})
        answer = json.load(urllib.request.urlopen(f"{server.url}/api/v1/query?{query}", timeout=10))
        assert answer["status"] == "success", answer
        return answer["data"]["result"]
    server.export('{device_id!=""}')  # what was sent can be found from now on
    asked = expressions()
    assert len(asked) > 20
    for title, expression in asked:
        wait_until(lambda: ask(expression), 10, every=.5, what=f"{title} answers: {expression}")
    energy = next(expression for title, expression in asked if "Energy in this range" in title)
    assert 0.9 < float(ask(energy)[0]["value"][1]) <= 1.0
