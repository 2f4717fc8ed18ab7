"""The store in the running daemon: history, energy and demand by the site's clock, copies while it runs, a database that is put back."""
import datetime
import json
import os
import pathlib
import socket
import sqlite3
import subprocess
import time

from plant import BUILD, Gateway, mqtt_config, wait_until
from test_way_of_a_reading import publish

SITE = '[site]\nzone = "Asia/Kolkata"\n'
METERS = """
[[devices]]
id = "MAIN"
building = "B1"
[[devices]]
id = "HVAC"
building = "B1"
role = "sub"
parent = "MAIN"
"""


def history(hours: int, kw: float = 6.0) -> list:
    """Both meters every minute of the last hours: a counter in kWh and its power."""
    now = datetime.datetime.now(datetime.timezone.utc).replace(second=0, microsecond=0)
    messages = []
    for minute in range(hours * 60):
        at = (now - datetime.timedelta(minutes=hours * 60 - minute)).isoformat()
        for device, share in (("MAIN", 1.0), ("HVAC", .5)):
            kwh = 1000 + minute * kw * share / 60
            messages.append((f"devices/{device}/telemetry", json.dumps(
                {"device_id": device, "timestamp": at, "power_total": kw * share * 1000, "energy_import_total": round(kwh, 3)})))
    return messages


def started(plant, broker, extra: str = "") -> Gateway:
    gateway = Gateway(plant, SITE + METERS + extra + mqtt_config(broker, 1000))
    gateway.wait_connected()
    return gateway


def window(hours: int) -> str:
    now = datetime.datetime.now(datetime.timezone.utc)
    start = (now - datetime.timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"start_time={start}&end_time={now.strftime('%Y-%m-%dT%H:%M:%SZ')}"


def test_history_is_compacted_and_answers_as_before(plant, broker):
    gateway = started(plant, broker)
    publish(broker.port, history(5))
    gateway.wait_committed(600)
    wait_until(lambda: gateway.status()["storage"]["compacted_seq"] > 0, what="segments are in chunks")
    assert gateway.local_samples() == 1800  # power, the counter, and what it has counted
    hours = gateway.get(f"/api/v1/data/telemetry/MAIN?{window(5)}&fields=energy_import_total&aggregate=energy&interval=1h")["data"]["items"]
    assert all(item["timestamp"].endswith(":30:00Z") for item in hours[1:]), "India's hours begin at half past"
    assert all(abs(item["energy_import_total"] - 6) < .01 for item in hours[1:-1])
    assert abs(sum(item["energy_import_total"] for item in hours) - 29.9) < .15, "five hours at 6 kW, cut hours at both ends included"
    latest = {one["field"]: one["value"] for one in gateway.get("/api/v1/data/telemetry/HVAC/latest")["data"]["series"]}
    assert latest["power_total"] == 3000
    stats = gateway.get(f"/api/v1/data/stats/MAIN?{window(6)}")["data"]
    assert stats["power_total_min"] == stats["power_total_avg"] == stats["power_total_max"] == 6000 and stats["data_points"] == 300
    assert gateway.status()["storage"]["written_bytes"] > 0
    assert "wattd_written_bytes_total" in gateway.metrics()


def test_a_building_counts_nothing_twice_and_knows_its_peaks(plant, broker):
    gateway = started(plant, broker)
    publish(broker.port, history(3))
    gateway.wait_committed(360)
    data = gateway.get(f"/api/v1/buildings/B1/demand?{window(2)}")["data"]
    assert data["meters"] == ["+MAIN"]
    complete = [block for block in data["blocks"] if block["complete"]]
    assert len(complete) >= 6 and all(abs(block["demand_kw"] - 6) < .05 for block in complete)
    assert abs(data["days"][-1]["block"]["demand_kw"] - 6) < .05 and data["months"]
    sub = gateway.get(f"/api/v1/data/demand/HVAC?{window(2)}")["data"]
    assert abs(sub["days"][-1]["sliding"]["demand_kw"] - 3) < .05


def test_a_copy_is_made_while_it_runs_and_can_be_put_back(plant, broker, tmp_path):
    gateway = started(plant, broker)
    publish(broker.port, history(2))
    gateway.wait_committed(240)
    copy = tmp_path / "copy.db"
    assert gateway.ctl_json("db", "backup", copy)["backup"] == str(copy)
    publish(broker.port, [("devices/LATER/telemetry", '{"device_id":"LATER","power_total":1.5}')])
    gateway.wait_committed(241)
    data = gateway.directory / "data"
    assert gateway.ctl_json("db", "check", "--directory", data)["problems"] == []
    assert gateway.ctl_json("db", "check", copy)["readings"] == 240
    busy = gateway.ctl("db", "restore", copy, "--directory", data, check=False)
    assert busy.returncode == 1 and "another wattd uses" in busy.stderr
    gateway.stop()
    assert "wattd.db.before-restore" in gateway.ctl("db", "restore", copy, "--directory", data).stdout
    gateway.start()
    assert gateway.local_samples() == 720
    gateway.stop()
    merged = gateway.ctl("db", "merge", data / "wattd.db.before-restore", "--directory", data).stdout
    assert merged.startswith("1 readings")
    gateway.ctl("db", "vacuum", "--directory", data)
    gateway.start()
    assert gateway.local_samples() == 721


def test_a_merge_deletes_nothing_that_the_daemon_keeps(plant, broker):
    gateway = Gateway(plant, mqtt_config(broker, 1000), ready=False)
    gateway.path.write_text(gateway.path.read_text().replace("[storage]\n", '[storage]\nraw_retention = "1000d"\nhourly_retention = "1000d"\n'))
    gateway.start()
    gateway.wait_connected()
    old = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=200)
    publish(broker.port, [("devices/OLD/telemetry", json.dumps({"device_id": "OLD", "timestamp": (old + datetime.timedelta(hours=6 * i)).isoformat(),
                                                                "power": i})) for i in range(48)])
    gateway.wait_committed(48)
    copy = plant.directory / "copy.db"
    gateway.ctl("db", "backup", copy)
    refused = gateway.ctl("db", "backup", gateway.directory / "data" / "wattd.db", check=False)
    assert refused.returncode == 1 and "where the database itself lies" in refused.stderr
    publish(broker.port, [("devices/OLD/telemetry", "not JSON")])
    wait_until(lambda: gateway.status()["storage"]["dead_letters"] == 1, what="the payload is a dead letter")
    gateway.stop()
    data = gateway.directory / "data"
    (data / "wattd.db").rename(plant.directory / "other.db")
    copy.rename(data / "wattd.db")
    assert gateway.ctl("db", "merge", plant.directory / "other.db", "--directory", data).stdout.startswith("0 readings")
    gateway.start()
    assert gateway.local_samples() == 48
    assert gateway.status()["storage"]["dead_letters"] == 1, "refused messages come along"


def test_a_zone_that_nobody_knows_is_refused_with_its_line(plant, tmp_path):
    config = tmp_path / "wattd.toml"
    config.write_text('[site]\nzone = "Europe/Berlln"\n')
    done = subprocess.run([BUILD / "wattd", "--check-config", "--config", config], capture_output=True, text=True)
    assert done.returncode == 6
    assert f'{config}:2:' in done.stderr + done.stdout and "IANA" in done.stderr + done.stdout


def test_files_are_for_the_daemon_alone(plant, broker):
    gateway = started(plant, broker)
    for name in ("wattd.db", "wattd.db-wal", "ballast"):
        assert pathlib.Path(gateway.directory / "data" / name).stat().st_mode & 0o777 == 0o600, name


def test_a_sealed_database_needs_its_key(plant, broker):
    keys = plant.directory / "storage-key"
    keys.write_text("1" * 64 + "\n")
    gateway = Gateway(plant, SITE + METERS + mqtt_config(broker, 1000), ready=False)
    config = gateway.path.read_text().replace("[storage]\n", '[storage]\nkey = "${CREDENTIALS_DIRECTORY}/storage-key"\n')
    gateway.path.write_text(config)
    env = {"CREDENTIALS_DIRECTORY": str(plant.directory)}
    gateway.start(env)
    gateway.wait_connected()
    publish(broker.port, history(3) + [("devices/MAIN/telemetry", "SECRET, and not JSON")])
    gateway.wait_committed(360)
    wait_until(lambda: gateway.status()["storage"]["dead_letters"] == 1, what="the payload is a dead letter")
    assert "SECRET" in gateway.ctl("dead-letters", "show", 1).stdout
    energy = f"/api/v1/data/telemetry/MAIN?{window(3)}&fields=energy_import_total&aggregate=energy&interval=1h"
    before = gateway.get(energy)["data"]["items"]
    data = gateway.directory / "data"
    assert not any(b"SECRET" in file.read_bytes() for file in data.glob("wattd.db*"))
    gateway.stop()
    # Another key: the old one is not forgotten, and everything is sealed anew.
    keys.write_text("2" * 64 + "\n" + "1" * 64 + "\n")
    gateway.start(env)
    wait_until(lambda: not gateway.status()["storage"]["resealing"], what="everything is sealed anew")
    keys.write_text("2" * 64 + "\n")
    gateway.stop()
    gateway.start(env)
    assert gateway.get(energy)["data"]["items"] == before
    assert "It is sound" in gateway.ctl("db", "check", "--directory", data, "--key-file", keys).stdout
    missing = gateway.ctl("db", "check", "--directory", data, check=False)
    assert missing.returncode == 1 and "sealed with key" in missing.stdout
    gateway.stop()
    keys.write_text("3" * 64 + "\n")
    gateway.start(env)
    status = gateway.status()["storage"]
    assert status["database"].endswith("wattd-2.db") and "sealed with key" in status["set_aside"]
    alerts = gateway.get("/api/v1/alerts")["data"]
    assert [(alert["severity"], alert["status"]) for alert in alerts] == [("critical", "open")] and "sealed with key" in alerts[0]["message"]
    gateway.stop()
    gateway.start(env)
    assert len(gateway.get("/api/v1/alerts")["data"]) == 1, "the same is raised once"
    gateway.stop()
    keys.write_text("short\n")
    done = subprocess.run([BUILD / "wattd", "--check-config", "--config", gateway.path], capture_output=True, text=True, env={**env, "PATH": "/usr/bin"})
    assert done.returncode == 6 and "storage.key" in done.stderr + done.stdout and "openssl rand -hex 32" in done.stderr + done.stdout


SLEEP = float(os.environ.get("WATTD_SLEEP", "5"))  # ./dev soak sleeping: ten minutes


def test_a_reader_that_sleeps_does_not_grow_the_log(plant, broker):
    """Under full ingest: one client of ours that asks for everything and reads nothing of the answer, then a foreign program
    that holds a transaction of SQLite's open, which is treated as a full disk is."""
    budget = 8 << 20
    gateway = Gateway(plant, mqtt_config(broker, 1000), ready=False)
    gateway.path.write_text(gateway.path.read_text().replace("[storage]\n", '[storage]\nwal = "8MiB"\n'))
    gateway.start()
    gateway.wait_connected()
    log = gateway.directory / "data" / "wattd.db-wal"
    plant.sim("mqtt", "--port", broker.port, "--devices", 200, "--interval", .02)
    gateway.wait_committed(20_000)

    def largest_while(seconds: float) -> int:
        largest, until = 0, time.monotonic() + seconds
        while time.monotonic() < until:
            largest = max(largest, log.stat().st_size)
            time.sleep(.05)
        return largest

    with socket.create_connection(("127.0.0.1", gateway.port)) as client:
        client.sendall(f"GET /api/v1/data/telemetry/D1?limit=100000&{window(1)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        before = gateway.status()["pipeline"]["committed"]
        assert largest_while(SLEEP) < budget
        assert gateway.status()["pipeline"]["committed"] > before + 100 * SLEEP, "nobody waits for a slow reader"
    foreign = sqlite3.connect(gateway.directory / "data" / "wattd.db", isolation_level=None)
    foreign.execute("BEGIN")
    foreign.execute("SELECT count(*) FROM devices").fetchall()
    wait_until(lambda: "another program" in (gateway.status()["pipeline"]["commit_problem"] or ""), 120, what="the foreign reader is named")
    assert largest_while(SLEEP) < budget + (4 << 20), "at most one group beyond the budget"
    foreign.execute("COMMIT")
    foreign.close()
    wait_until(lambda: gateway.status()["pipeline"]["commit_problem"] is None, what="readings are committed again")
    before = gateway.status()["pipeline"]["committed"]
    gateway.wait_committed(before + 5000)
    wait_until(lambda: log.stat().st_size < budget, what="the log shrinks")
