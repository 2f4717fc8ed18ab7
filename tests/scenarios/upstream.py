"""Stores that readings go to, as they come from apt: how each is started, killed, and asked what it holds.

rows() is {(device, field): {microseconds: value}}; where a store keeps what came twice, `copies` counts it.
"""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request

import parquet
from document_stores import Files, HttpReceiver, Mqtt, SparkplugHost
from object_store import ACCESS, SECRET, ObjectStore
from plant import Gateway, VictoriaMetrics, can_connect, free_port, wait_until
from stores import Store, microseconds


class Victoria(Store):
    precision = 1000
    takes_corrections = False
    settles = 10  # it keeps what it has answered for in memory for seconds
    can_be_asked = True

    def __init__(self, plant):
        self.server = VictoriaMetrics(plant)
        self.port = self.server.port

    def kill(self):
        self.server.process.stop(signal.SIGKILL)

    def start(self):
        self.server.start()

    def sink(self, port: int) -> str:
        return f'kind = "influx"\nurl = "http://127.0.0.1:{port}"\ntimeout = "2s"\n'

    def rows(self) -> dict:
        return {key: {at * 1000: value for at, value in samples} for key, samples in self.server.export().items()}

    def forget(self, device: str):
        match = urllib.parse.urlencode({"match[]": f'{{device_id="{device}"}}'})
        urllib.request.urlopen(f"{self.server.url}/api/v1/admin/tsdb/delete_series?{match}", timeout=10).read()

    def close(self):
        self.server.stop()


class RemoteWrite(Victoria):
    """The same server, by the protocol of Prometheus."""

    def sink(self, port: int) -> str:
        return f'kind = "remote_write"\nurl = "http://127.0.0.1:{port}"\ntimeout = "2s"\n'


class Prometheus(Store):
    """Prometheus itself, which takes what is late within a window alone."""
    precision = 1000
    takes_corrections = False

    def __init__(self, plant):
        self.plant, self.port, self.directory = plant, free_port(), plant.directory / "prometheus"
        (plant.directory / "prometheus.yml").write_text("storage:\n  tsdb:\n    out_of_order_time_window: 7d\n")
        self.start()

    def start(self):
        self.process = self.plant.run("prometheus", ["prometheus", f"--config.file={self.plant.directory}/prometheus.yml", f"--storage.tsdb.path={self.directory}",
                                                     f"--web.listen-address=127.0.0.1:{self.port}", "--web.enable-remote-write-receiver", "--log.level=warn"])
        def is_ready() -> bool:
            with contextlib.suppress(OSError):
                return urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=2).status == 200
            return False
        wait_until(is_ready, 30, what="Prometheus is ready")

    def sink(self, port: int) -> str:
        return f'kind = "remote_write"\nurl = "http://127.0.0.1:{port}"\ntimeout = "2s"\n'

    def rows(self) -> dict:
        query = urllib.parse.urlencode({"query": '{__name__=~"device_telemetry_.+"}[3d]'})
        found = json.load(urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/query?{query}", timeout=30))["data"]["result"]
        return {(one["metric"]["device_id"], one["metric"]["__name__"].removeprefix("device_telemetry_")):
                {round(at * 1000) * 1000: float(value) for at, value in one["values"]} for one in found}


class Influx(Store):
    holds_text = can_be_asked = True

    def __init__(self, plant):
        self.plant, self.port, self.directory = plant, free_port(), plant.directory / "influx"
        self.directory.mkdir()
        (plant.directory / "influxdb.conf").write_text(
            f'reporting-disabled = true\nbind-address = "127.0.0.1:{free_port()}"\n[meta]\ndir = "{self.directory}/meta"\n[data]\ndir = "{self.directory}/data"\n'
            f'wal-dir = "{self.directory}/wal"\nquery-log-enabled = false\n[http]\nbind-address = "127.0.0.1:{self.port}"\nlog-enabled = false\n'
            '[monitor]\nstore-enabled = false\n[subscriber]\nenabled = false\n[continuous_queries]\nenabled = false\n')
        self.start()
        self.ask("CREATE DATABASE telemetry", method="POST")

    def start(self):
        self.process = self.plant.run("influxd", ["influxd", "-config", self.plant.directory / "influxdb.conf"])
        wait_until(lambda: can_connect(self.port), 30, what="InfluxDB listens")

    def ask(self, query: str, method: str = "GET"):
        text = urllib.parse.urlencode({"q": query, "db": "telemetry", "epoch": "u"})
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/query?{text}", method=method)
        return json.load(urllib.request.urlopen(request, timeout=30))["results"][0].get("series", [])

    def sink(self, port: int) -> str:
        return f'kind = "influx"\nurl = "http://127.0.0.1:{port}"\ntimeout = "2s"\nnon_numeric = true\n'

    def rows(self) -> dict:
        tags = {"time", "device_id", "device_type", "enrichment_status", "gateway", "location", "schema_version"}
        found: dict = {}
        for series in self.ask('SELECT * FROM "device_telemetry"'):
            columns = series["columns"]
            for row in series["values"]:
                row = dict(zip(columns, row))
                for field in row.keys() - tags:
                    if row[field] is not None:
                        found.setdefault((row["device_id"], field), {})[row["time"]] = row[field]
        return found


    def records(self, stream: str) -> list:
        name = {"hours": "device_telemetry_hours", "days": "device_telemetry_days", "summaries": "wattd_daily_summaries"}.get(stream, f"wattd_{stream}")
        rows = [dict(zip(series["columns"], row)) for series in self.ask(f'SELECT * FROM "{name}"') for row in series["values"]]
        return [{"at": row.pop("time"), **{key: value for key, value in row.items() if value is not None}} for row in rows]

    def forget(self, device: str):
        self.ask(f"DELETE FROM device_telemetry WHERE device_id = '{device}'", method="POST")


class Postgres(Store):
    holds_text = can_be_asked = True

    def __init__(self, plant):
        self.plant, self.port = plant, free_port()
        self.programs = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))[-1]
        # It refuses to run as root, and another user does not get into the plant's directory.
        self.as_owner = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.getuid() == 0 else []
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="wattd-postgres-"))
        if self.as_owner:
            shutil.chown(self.directory, "postgres")
        subprocess.run([*self.as_owner, self.programs / "initdb", "-D", self.directory / "data", "-A", "trust", "-U", "wattd", "-E", "UTF8", "--locale=C.UTF-8", "-N"],
                       check=True, capture_output=True, cwd="/")
        self.start()

    def start(self):
        pid = self.directory / "data" / "postmaster.pid"
        pid.unlink(missing_ok=True)
        self.process = self.plant.run("postgres", [*self.as_owner, self.programs / "postgres", "-D", self.directory / "data", "-p", self.port,
                                                   "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "shared_buffers=16MB"])
        wait_until(lambda: self.answers(), 30, what="PostgreSQL answers")

    def close(self):
        if self.process.alive():
            self.process.stop(signal.SIGINT)
        shutil.rmtree(self.directory, ignore_errors=True)

    def answers(self) -> bool:
        return subprocess.run(["pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]).returncode == 0

    def kill(self):
        self.process.stop(signal.SIGKILL)
        wait_until(lambda: not can_connect(self.port), 20, what="its children are gone")
        time.sleep(.5)

    def run(self, sql: str):
        subprocess.run(["psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "wattd", "-d", "postgres", "-c", sql], check=True, capture_output=True)

    def ask(self, query: str) -> list:
        done = subprocess.run(["psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "wattd", "-d", "postgres", "-Atc", f"SELECT to_json(t) FROM ({query}) t"],
                              check=True, capture_output=True, text=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def forget(self, device: str):
        self.run(f"DELETE FROM wattd.telemetry WHERE device_id = '{device}'")

    def sink(self, port: int) -> str:
        return f'kind = "postgres"\nurl = "postgresql://wattd@127.0.0.1:{port}/postgres"\ntimeout = "2s"\n'

    def rows(self) -> dict:
        found: dict = {}
        if not self.ask("SELECT 1 WHERE to_regclass('wattd.telemetry') IS NOT NULL"):
            return found
        for row in self.ask("SELECT device_id, field, (extract(epoch FROM ts) * 1000000)::bigint AS us, value, text_value, flag FROM wattd.telemetry"):
            value = next(row[name] for name in ("value", "text_value", "flag") if row[name] is not None)
            found.setdefault((row["device_id"], row["field"]), {})[row["us"]] = value
        return found

    def records(self, stream: str) -> list:
        if not self.ask("SELECT 1 WHERE to_regclass('wattd.alerts') IS NOT NULL"):
            return []
        if stream in ("hours", "days"):
            found: dict = {}
            for row in self.ask(f"SELECT device_id, field, (extract(epoch FROM ts) * 1000000)::bigint AS at, value FROM wattd.telemetry_{stream}"):
                found.setdefault((row["device_id"], row["at"]), {"device_id": row["device_id"], "at": row["at"]})[row["field"]] = row["value"]
            return list(found.values())
        if stream == "summaries":
            return self.ask("SELECT name AS device_id, date, total_consumption_kwh, peak_demand_kw FROM wattd.daily_summaries JOIN wattd.buildings ON id = building_id")
        if stream == "devices":
            return self.ask("SELECT * FROM wattd.devices WHERE device_name IS NOT NULL")
        if stream == "analytics":
            return self.ask("SELECT *, (extract(epoch FROM created_at) * 1000000)::bigint AS at FROM wattd.analytics_jobs")
        return self.ask(f"SELECT *, (extract(epoch FROM {'day' if stream == 'dead_letters' else 'created_at'}) * 1000000)::bigint AS at FROM wattd.{stream}")


class Wattd(Store):
    """Another gateway, which collects."""
    holds_text = True
    token = "0123456789abcdef0123456789abcdef"

    def __init__(self, plant):
        self.gateway = Gateway(plant, f'[[collect]]\nid = "line1"\ntoken = "{self.token}"\n', name="collector")
        self.port = self.gateway.port

    def kill(self):
        self.gateway.process.stop(signal.SIGKILL)

    def start(self):
        self.gateway.start()

    def sink(self, port: int) -> str:
        return f'kind = "wattd"\nurl = "http://127.0.0.1:{port}"\ntimeout = "2s"\ntoken = "{self.token}"\n'

    def rows(self) -> dict:
        found: dict = {}
        for device in self.gateway.ctl_json("devices"):
            assert device["device_id"].startswith("line1.")
            for row in self.gateway.ctl_json("query", device["device_id"], "--from", "40h", "--limit", 10_000)["items"]:
                at = microseconds(row.pop("timestamp"))
                for field, value in row.items():
                    if value is not None and field not in ("device_id", "quality", "enrichment_status", "schema_version"):
                        found.setdefault((device["device_id"].removeprefix("line1."), field), {})[at] = value
        return found

    def close(self):
        self.gateway.stop()


class Bucket(Store):
    """Parquet files in an object store; a file is all of an hour of a device."""
    holds_text = True

    def __init__(self, plant):
        self.store = ObjectStore(plant)
        self.port = self.store.port

    def kill(self):
        self.store.kill()

    def start(self):
        self.store.start()

    def sink(self, port: int) -> str:
        return f'kind = "s3"\nurl = "http://127.0.0.1:{port}/{self.store.bucket}"\naccess_key = "{ACCESS}"\nsecret_key = "{SECRET}"\nexport_every = "1s"\ntimeout = "2s"\n'

    def rows(self) -> dict:
        found: dict = {}
        for key in self.store.keys():
            _, _, device, day, hour = key.split("/")
            for row in parquet.read(self.store.get(key))[0]:
                at = row.pop("timestamp")
                assert row["device_id"] == device and time.strftime("%Y%m%d/%H.parquet", time.gmtime(at // 1_000_000)) == f"{day}/{hour}"
                for field, value in row.items():
                    if field not in ("device_id", "device_type", "location", "quality"):
                        series = found.setdefault((device, field), {})
                        assert at not in series, "no row comes twice"
                        series[at] = value
        return found

    def close(self):
        self.store.close()


KINDS = {"victoriametrics": Victoria, "remote_write": RemoteWrite, "prometheus": Prometheus, "influxdb": Influx, "postgresql": Postgres, "http": HttpReceiver, "mqtt": Mqtt, "sparkplug": SparkplugHost, "wattd": Wattd, "file": Files, "s3": Bucket}


def sink(store, port: int, more: str = "") -> str:
    return f'[[sinks]]\nid = "up"\nsettle = "{store.settles}s"\nmax_pause = "500ms"\nbatch = 100\n{store.sink(port)}{more}'
