"""Stores that readings go to, as they come from apt: how each is started, killed, and asked what it holds.

rows() is {(device, field): {microseconds: value}}; where a store keeps what came twice, `copies` counts it.
"""
import calendar
import contextlib
import gzip
import hashlib
import hmac
import http.server
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request

import paho.mqtt.client as mqtt

import parquet
import sparkplug
from object_store import ACCESS, SECRET, ObjectStore
from plant import Broker, Gateway, VictoriaMetrics, can_connect, free_port, wait_until


def microseconds(stamp: str) -> int:
    whole, _, rest = stamp.rstrip("Z").partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) * 1_000_000 + int((rest + "000000")[:6])


class Store:
    holds_text = False
    takes_corrections = True
    precision = 1  # microseconds
    settles = 1  # s, after which what was taken survives a kill
    can_be_asked = False  # what it holds, by wattctl sync verify

    def kill(self):
        self.process.stop(signal.SIGKILL)

    def close(self):
        if self.process.alive():
            self.process.stop()


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


class Documents(Store):
    """Takes what is sent as documents, and keeps the last of each key."""
    holds_text = True

    def take_record(self, stream: str, device: str, stamp: str, fields: dict):
        """What comes beside readings: the last of a key holds."""
        key = fields.get("alert_id") or fields.get("job_id") or (fields.get("source"), fields.get("reason")) if stream in ("alerts", "analytics", "dead_letters") else ""
        at = "" if stream == "devices" else microseconds(stamp)
        self.beside.setdefault(stream, {})[device, at, key] = {"device_id": device, "at": microseconds(stamp), **fields}

    def records(self, stream: str) -> list:
        return list(self.beside.get(stream, {}).values())

    def take(self, device: str, stamp: str, fields: dict):
        for field, value in fields.items():
            if value is not None:
                self.kept.setdefault((device, field), {})[microseconds(stamp)] = value

    def rows(self) -> dict:
        return {key: dict(values) for key, values in self.kept.items()}


class HttpReceiver(Documents):
    """A server of the test's own, as a plant's back end may be: it checks the signature and answers 202."""

    def __init__(self, plant, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None):
        self.encodings = set()
        self.kept, self.beside, self.port, self.keys, self.host, self.tls, self.open = {}, {}, free_port(), [], host, tls, set()
        self.start()

    def start(self):
        store = self

        class Server(http.server.ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in store.host else socket.AF_INET
            daemon_threads = True

            def finish_request(self, request, client):
                # Within the connection's own thread: a client that stalls in its handshake holds nobody up.
                with contextlib.suppress(OSError):
                    connection = store.tls.wrap_socket(request, server_side=True) if store.tls else request
                    store.open.add(connection)
                    super().finish_request(connection, client)

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                elif self.headers.get("Content-Encoding") == "zstd":
                    body = subprocess.run(["zstd", "-dc"], input=body, stdout=subprocess.PIPE, check=True).stdout
                store.encodings.add(self.headers.get("Content-Encoding"))
                at, code = (part.split("=")[1] for part in self.headers["X-Wattd-Signature"].split(","))
                assert hmac.compare_digest(code, hmac.new(b"geheim", at.encode() + b"." + body, hashlib.sha256).hexdigest())
                assert self.headers["Idempotency-Key"] == hashlib.sha256(body).hexdigest()
                store.keys.append(self.headers["Idempotency-Key"])
                for line in body.splitlines():
                    document = json.loads(line)
                    if "stream" in document:
                        store.take_record(document["stream"], document["device_id"], document["timestamp"], document["fields"])
                    else:
                        store.take(document["device_id"], document["timestamp"], document["fields"])
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = Server((self.host, self.port), Handler)
        threading.Thread(target=self.server.serve_forever, args=(.05,), daemon=True).start()

    def kill(self):
        self.server.shutdown()
        self.server.server_close()
        for connection in self.open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def sink(self, port: int) -> str:
        return f'kind = "http"\nurl = "http://127.0.0.1:{port}"\ntimeout = "2s"\nsecret = "geheim"\n'

    def close(self):
        self.kill()


class Mqtt(Documents):
    """A broker with somebody who listens; what is lost between the two is no matter of the gateway's."""
    filter = "wattd/#"

    def __init__(self, plant):
        self.kept, self.beside = {}, {}
        self.broker = Broker(plant, window=1000)
        self.port = self.broker.port
        self.client = mqtt.Client("listener", clean_session=False)
        self.client.on_message = self.on_message
        self.client.on_connect = lambda client, *_: client.subscribe(self.filter, 1)
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", self.port, keepalive=5)
        self.client.loop_start()
        wait_until(self.client.is_connected, what="the listener is connected")

    def on_message(self, client, _, message):
        document = json.loads(message.payload)
        device = document.pop("device_id")
        levels = message.topic.split("/")
        if levels[3] == "telemetry":
            assert levels[2] == device
            self.take(device, document.pop("timestamp"), document)
        else:
            assert levels[3] == device
            self.take_record(levels[2], device, document.pop("timestamp"), document)

    def kill(self):
        self.broker.process.stop()  # SIGTERM: it writes its sessions down; killed it may forget what it has answered for

    def start(self):
        self.broker.start()

    def sink(self, port: int) -> str:
        return f'kind = "mqtt"\nport = {port}\ntimeout = "2s"\nkeepalive = "5s"\n'

    def close(self):
        self.client.loop_stop()
        self.broker.stop()


class SparkplugHost(Mqtt):
    """A host application: it knows a value by its birth alone, and asks for births when it has missed a message."""
    precision = 1000

    def __init__(self, plant):
        self.seq, self.aliases, self.session, self.deaths, self.historical = None, {}, None, 0, set()
        super().__init__(plant)

    filter = "spBv1.0/plant/#"

    def ask_for_births(self):
        self.client.publish("spBv1.0/plant/NCMD/line1", sparkplug.payload([sparkplug.metric("Node Control/Rebirth", sparkplug.BOOLEAN, True)], None, 0), 1)

    def on_message(self, client, _, message):
        _, group, kind, node, *device = message.topic.split("/")
        if kind == "NCMD":
            return
        assert group == "plant" and node == "line1"
        payload = sparkplug.decoded(message.payload)
        if kind == "NDEATH":
            assert [m["name"] for m in payload["metrics"]] == ["bdSeq"] and payload["seq"] is None
            self.deaths += 1
            return
        if kind == "NBIRTH":
            names = {m["name"]: m["value"] for m in payload["metrics"]}
            assert payload["seq"] == 0 and names["Node Control/Rebirth"] is False
            self.session, self.seq, self.aliases = names["bdSeq"], 0, {}
            return
        if self.seq is None or payload["seq"] != (self.seq + 1) % 256:
            self.seq = None
            self.ask_for_births()
            return
        self.seq = payload["seq"]
        if kind == "DBIRTH":
            for metric in payload["metrics"]:
                self.aliases[metric["alias"]] = (device[0], metric["name"], metric["type"])
            return
        assert kind == "DDATA"
        for metric in payload["metrics"]:
            owner, name, datatype = self.aliases[metric["alias"]]
            assert owner == device[0] and datatype == metric["type"]
            self.historical.add(metric["historical"])
            self.kept.setdefault((owner, name), {})[metric["ms"] * 1000] = metric["value"]

    def sink(self, port: int) -> str:
        return f'kind = "mqtt"\nform = "sparkplug"\ngroup = "plant"\nnode = "line1"\nport = {port}\ntimeout = "2s"\nkeepalive = "5s"\n'


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


class Files(Documents):
    """A directory: whoever reads it takes the last line of each key."""

    def __init__(self, plant):
        self.directory, self.port = plant.directory / "out", 0

    def kill(self):
        self.directory.rename(self.directory.with_suffix(".away"))
        self.directory.write_text("in its place")

    def start(self):
        self.directory.unlink()
        self.directory.with_suffix(".away").rename(self.directory)

    def sink(self, port: int) -> str:
        return f'kind = "file"\ndirectory = "{self.directory}"\n'

    def rows(self) -> dict:
        self.kept = {}
        for path in sorted(self.directory.glob("*.ndjson")):
            for line in path.read_text().splitlines():
                document = json.loads(line)
                self.take(document["device_id"], document["timestamp"], document["fields"])
        return super().rows()

    def records(self, stream: str) -> list:
        self.beside = {}
        for path in sorted((self.directory / stream).glob("*.ndjson")):
            for document in map(json.loads, path.read_text().splitlines()):
                assert document["stream"] == stream
                self.take_record(stream, document["device_id"], document["timestamp"], document["fields"])
        return super().records(stream)

    def close(self):
        pass


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
