"""What goes upstream beside readings: rollups, summaries, devices, alerts and counts of dead letters, as they are here."""
import contextlib
import datetime
import json
import sqlite3
import subprocess
import time

import pytest

from plant import BUILD, Gateway, mqtt_config, wait_until
from test_storage import METERS, SITE
from test_way_of_a_reading import publish
from stores import microseconds
from upstream import sink

STREAMS = 'streams = ["readings", "hours", "days", "summaries", "devices", "alerts", "analytics", "dead_letters"]\n'
RULE = '[[rules]]\nname = "Much"\nproperty = "power_total"\nthreshold = 9000\n'
HOURS = 60
END = datetime.datetime.now(datetime.timezone.utc).replace(minute=0, second=0, microsecond=0) - datetime.timedelta(hours=2)


def message(device: str, at: datetime.datetime, **fields) -> tuple:
    return f"devices/{device}/telemetry", json.dumps({"device_id": device, "timestamp": at.isoformat(), **fields})


def history() -> list:
    """Both meters every five minutes, all of it over: 6 kW, of which 3 kW below."""
    messages = []
    for five in range(HOURS * 12 + 1):
        at = END - datetime.timedelta(minutes=5 * (HOURS * 12 - five))
        for device, share in (("MAIN", 1.0), ("HVAC", .5)):
            messages.append(message(device, at, power_total=6000 * share, energy_import_total=round(1000 + five * share / 2, 3), state="on"))
    return messages


def local(gateway, device: str, aggregate: str, interval: str) -> dict:
    start, end = ((END + datetime.timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ") for hours in (-HOURS - 48, 2))
    answer = gateway.get(f"/api/v1/data/telemetry/{device}?start_time={start}&end_time={end}&fields=power_total,energy_import_total&aggregate={aggregate}&interval={interval}&limit=1000")
    found = {}
    for item in answer["data"]["items"]:
        for field in ("power_total", "energy_import_total"):
            if item.get(field) is not None:
                found[device, microseconds(item["timestamp"]), f"{field}_{aggregate}"] = item[field]
    return found


def upstream(store, stream: str, aggregates: tuple) -> dict:
    found = {}
    for row in store.records(stream):
        for field in ("power_total", "energy_import_total"):
            for aggregate in aggregates:
                if row.get(f"{field}_{aggregate}") is not None:
                    found[row["device_id"], row["at"], f"{field}_{aggregate}"] = row[f"{field}_{aggregate}"]
    return found


@pytest.mark.parametrize("store", ["influxdb", "postgresql", "http", "mqtt", "file"], indirect=True)
def test_all_that_is_kept_beside_readings_arrives_as_it_is_here(plant, broker, store):
    gateway = Gateway(plant, SITE + METERS + RULE + mqtt_config(broker, 1000) + sink(store, store.port, STREAMS))
    gateway.wait_connected()
    publish(broker.port, history())
    store.kill()
    publish(broker.port, [("devices/MAIN/telemetry", "no JSON")] * 3 + [message("MAIN", END + datetime.timedelta(minutes=1), power_total=9500)])
    gateway.wait_committed(2 * (HOURS * 12 + 1) + 1)
    gateway.process.stop(9)
    # The jobs of models write here.
    with contextlib.closing(sqlite3.connect(gateway.directory / "data" / "wattd.db")) as database, database:
        database.execute("INSERT INTO analytics_jobs (id, job_id, device_id, analysis_type, model_name, date_range_start, date_range_end, status, results, created_at, updated_at) "
                         "VALUES ('u1', 'job-1', 'MAIN', 'forecast', 'ets', 1, 2, 'completed', '{\"kw\": [1.5, 2]}', 1770465600000000, 1770465600000000)")
    store.start()
    gateway.start()
    for stream, interval in (("hours", "1h"), ("days", "1d")):
        aggregates = ("min", "max", "mean", "count", "energy")
        def difference() -> list:
            here: dict = {}
            for device in ("MAIN", "HVAC"):
                for aggregate in aggregates:
                    here |= local(gateway, device, aggregate, interval)
            there = upstream(store, stream, aggregates)
            # The local day that is running is not over.
            here = {key: value for key, value in here.items() if stream == "hours" or key[1] in {at for _, at, _ in there}}
            return sorted(key for key in here.keys() | there.keys() if key not in here or key not in there or abs(here[key] - there[key]) > 1e-6) or [] if there else ["nothing"]
        try:
            wait_until(lambda: not difference(), 60, every=.5, what=f"{stream} equal")
        except AssertionError as problem:
            raise AssertionError(difference()[:10]) from problem

    days = gateway.get(f"/api/v1/buildings/B1/demand?start_time={(END - datetime.timedelta(hours=HOURS)).strftime('%Y-%m-%dT%H:%M:%SZ')}")["data"]
    summaries = {row["date"]: row for row in store.records("summaries")}
    assert len(summaries) >= 2 and all(row["device_id"] == "B1" for row in summaries.values())
    whole = sorted(summaries)[1]
    assert abs(summaries[whole]["total_consumption_kwh"] - 144) < .01 and abs(summaries[whole]["peak_demand_kw"] - 6) < .01
    assert any(abs(day["block"]["demand_kw"] - summaries[whole]["peak_demand_kw"]) < .001 for day in days["days"])

    devices = {row["device_id"]: row for row in store.records("devices")}
    assert devices["HVAC"]["parent_device_id"] == "MAIN" and devices["MAIN"]["building_id"] == "B1" and devices["MAIN"]["status"] == "active"
    alerts = gateway.get("/api/v1/alerts")["data"]
    wait_until(lambda: sorted(row["alert_id"] for row in store.records("alerts")) == sorted(alert["alert_id"] for alert in alerts), what=f"{alerts} are upstream")
    assert [alert["actual_value"] for alert in alerts] == [row["actual_value"] for row in store.records("alerts")] == [9500]
    alert = alerts[0]
    status, _ = gateway.ask("PATCH", f"/api/v1/alerts/{alert['alert_id']}/acknowledge", {"acknowledged_by": "anna"})
    assert status == 200
    wait_until(lambda: [row["status"] for row in store.records("alerts")] == ["acknowledged"], what="its change is upstream")
    [job] = store.records("analytics")
    assert (job["job_id"], job["status"], job["at"]) == ("job-1", "completed", 1_770_465_600_000_000)
    assert (json.loads(job["results"]) if isinstance(job["results"], str) else job["results"]) == {"kw": [1.5, 2]}
    assert [(row["reason"], row["letters"]) for row in store.records("dead_letters")] == [("parse_error", 3)]

    # What comes late is told anew.
    hour = END - datetime.timedelta(hours=30)
    publish(broker.port, [message("MAIN", hour + datetime.timedelta(minutes=7), power_total=8000)])
    key = ("MAIN", int(hour.timestamp() * 1_000_000) - 1_800_000_000, "power_total_max")  # India's hours begin at half past
    wait_until(lambda: upstream(store, "hours", ("max",)).get(key) == 8000, 30, every=.5, what="the hour is told anew")
    sinks = {row["id"]: row for row in gateway.status()["sinks"]}
    assert list(sinks) == ["up"] + [f"up/{stream}" for stream in ("hours", "days", "summaries", "devices", "alerts", "analytics", "dead_letters")]
    assert 'wattd_sink_lag_seconds{sink="up/alerts"}' in gateway.metrics()
    gateway.ctl("sync", "pause", "up")
    assert all(row["paused"] for row in gateway.status()["sinks"])


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
def test_the_tables_of_the_plants_platform_are_filled(plant, broker, store):
    gateway = Gateway(plant, SITE + METERS + mqtt_config(broker, 1000) + sink(store, store.port, 'streams = ["hours", "devices"]\n'))
    gateway.wait_connected()
    publish(broker.port, history())
    hourly = ("SELECT d.device_id, count(*) AS hours, sum(value_kwh)::float AS kwh FROM wattd.energy_readings JOIN wattd.devices d USING (sensor_id) "
              "WHERE quality_flag = 0 GROUP BY 1 ORDER BY 1")
    def filled() -> bool:
        return bool(store.ask("SELECT 1 WHERE to_regclass('wattd.energy_readings') IS NOT NULL")) and len(store.ask(hourly)) == 2
    wait_until(filled, 40, every=.5, what="energy_readings are filled")
    time.sleep(1)
    hvac, main = store.ask(hourly)
    assert abs(main["kwh"] - 6 * HOURS) < .6 and abs(hvac["kwh"] - 3 * HOURS) < .3, (main, hvac)
    refused = gateway.ctl("sync", "backfill", "up", "--from", "1d", check=False)
    assert refused.returncode != 0 and "gets no readings" in refused.stderr


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
def test_a_gateway_that_did_not_make_the_tables_writes_to_them(plant, broker, store):
    first = Gateway(plant, mqtt_config(broker, 1000) + sink(store, store.port, STREAMS))
    first.wait_connected()
    publish(broker.port, [message("MAIN", END, power_total=1.5)])
    wait_until(lambda: len(store.rows()) == 1, 20, every=.3, what="the first has made the tables")
    first.stop()
    store.run("CREATE ROLE guest LOGIN; GRANT USAGE ON SCHEMA wattd TO guest; GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA wattd TO guest")
    second = Gateway(plant, mqtt_config(broker, 1000) + sink(store, store.port, STREAMS).replace("//wattd@", "//guest@"), name="second")
    second.wait_connected()
    publish(broker.port, [message("OTHER", END, power_total=2.5)])
    wait_until(lambda: ("OTHER", "power_total") in store.rows(), 20, every=.3, what="the second writes, too")
    assert not second.status()["sinks"][0]["last_error"]


def test_a_stream_that_the_store_cannot_hold_is_refused(tmp_path):
    for store, stream, words in (('kind = "wattd"\nurl = "http://127.0.0.1:1"\ntoken = "0123456789abcdef0123456789abcdef"', "hours", "made anew"),
                                 ('kind = "remote_write"\nurl = "http://127.0.0.1:1"', "alerts", "no form in remote write"),
                                 ('kind = "influx"\nurl = "http://127.0.0.1:1"', "devices", "non_numeric = true"),
                                 ('kind = "mqtt"\nform = "sparkplug"', "days", "no form in Sparkplug"),
                                 ('kind = "postgres"\nurl = "postgresql://a@127.0.0.1:1/b"', "hour", 'there is no stream "hour"')):
        path = tmp_path / "wattd.toml"
        path.write_text(f'[[sinks]]\nid = "up"\n{store}\nstreams = ["readings", "{stream}"]\n')
        done = subprocess.run([BUILD / "wattd", "--check-config", "--config", path], capture_output=True, text=True)
        assert done.returncode == 6 and words in done.stderr and "sinks[0].streams" in done.stderr, done.stderr
