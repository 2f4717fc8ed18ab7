"""Receivers of documents: a server of the tests' own, brokers with somebody who listens, a directory."""
import contextlib
import gzip
import hashlib
import hmac
import http.server
import json
import socket
import ssl
import subprocess
import threading

import paho.mqtt.client as mqtt

import sparkplug
from plant import Broker, free_port, wait_until
from stores import Store, microseconds


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
