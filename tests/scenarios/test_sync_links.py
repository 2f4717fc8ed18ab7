"""What stands between a gateway and a server over HTTP: certificates of both, a pinned key, a proxy, IPv6."""
import contextlib
import http.client
import http.server
import shutil
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse

import pytest

from certificates import make_certificates
from plant import Gateway, free_port, mqtt_config, wait_until
from test_sync import compare, speaker  # noqa: F401
from document_stores import HttpReceiver, SparkplugHost


@pytest.fixture
def certificates(plant):
    for name in ("first", "second"):
        (plant.directory / name).mkdir()
        make_certificates(plant.directory / name)
    return plant.directory


def server_side(folder, clients) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients / "ca.pem")
    return context


def sink(url: str, more: str) -> str:
    return f'[[sinks]]\nid = "up"\nkind = "http"\nsettle = "1s"\nmax_pause = "500ms"\nsecret = "geheim"\ntimeout = "2s"\nurl = "{url}"\n{more}'


def error(gateway) -> str:
    return gateway.status()["sinks"][0]["last_error"] or ""


def test_certificates_of_both_sides_and_their_renewal(plant, broker, speaker, certificates):
    inuse = plant.directory / "inuse"
    shutil.copytree(certificates / "first", inuse)
    receiver = HttpReceiver(plant, tls=server_side(certificates / "first", certificates / "first"))
    files = f'ca_file = "{inuse}/ca.pem"\ncert_file = "{inuse}/client.pem"\nkey_file = "{inuse}/client.key"\n'
    gateway = Gateway(plant, mqtt_config(broker, 1000) + sink(f"https://127.0.0.1:{receiver.port}", files))
    gateway.wait_connected()
    speaker.say(50)
    compare(gateway, receiver, speaker)
    # The plant renews all of its certificates: the server has the new ones first.
    receiver.kill()
    receiver.tls = server_side(certificates / "second", certificates / "second")
    receiver.start()
    speaker.say(50)
    wait_until(lambda: "certificate" in error(gateway).lower(), what="the old ones are refused")
    for name in ("ca.pem", "client.pem", "client.key"):
        shutil.copy(certificates / "second" / name, inuse / name)
    compare(gateway, receiver, speaker)  # neither reloaded nor started anew
    receiver.close()


def test_a_server_without_the_gateways_trust_gets_nothing(plant, broker, speaker, certificates):
    receiver = HttpReceiver(plant, tls=server_side(certificates / "first", None))
    url = f"https://127.0.0.1:{receiver.port}"
    gateway = Gateway(plant, mqtt_config(broker, 1000) + sink(url, f'ca_file = "{certificates}/second/ca.pem"\n'))
    gateway.wait_connected()
    speaker.say(20)
    wait_until(lambda: "certificate" in error(gateway).lower(), what="a certificate of others is refused")
    assert receiver.rows() == {}
    key = subprocess.run("openssl x509 -in server.pem -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | openssl base64", shell=True, check=True,
                         capture_output=True, text=True, cwd=certificates / "first").stdout.strip()
    def restart(more: str):
        gateway.stop()
        gateway.write_config(mqtt_config(broker, 1000) + sink(url, f'ca_file = "{certificates}/first/ca.pem"\n{more}'))
        gateway.start()
    restart(f'pin = "sha256//{key[::-1]}"\n')
    wait_until(lambda: "public key" in error(gateway).lower(), what="a key that is not the pinned one is refused")
    assert receiver.rows() == {}
    restart(f'pin = "sha256//{key}"\n')
    compare(gateway, receiver, speaker)
    receiver.close()


class Proxy(http.server.BaseHTTPRequestHandler):
    """Passes on what is asked of it with a whole URL."""
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.server.asked += 1
        target = urllib.parse.urlsplit(self.path)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        onward = http.client.HTTPConnection(target.hostname, target.port, timeout=5)
        onward.request("POST", target.path, body, {name: value for name, value in self.headers.items() if not name.lower().startswith(("proxy-", "host"))})
        answer = onward.getresponse()
        text = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


def test_a_proxy_is_asked_when_the_configuration_names_one(plant, broker, speaker):
    receiver = HttpReceiver(plant)
    proxy = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), Proxy)
    proxy.asked = 0
    threading.Thread(target=proxy.serve_forever, args=(.05,), daemon=True).start()
    url = f"http://127.0.0.1:{receiver.port}"
    gateway = Gateway(plant, mqtt_config(broker, 1000) + sink(url, f'proxy = "http://127.0.0.1:{proxy.server_port}"\n'))
    gateway.wait_connected()
    speaker.say(20)
    compare(gateway, receiver, speaker)
    assert proxy.asked > 0
    gateway.stop()
    asked = proxy.asked
    gateway.write_config(mqtt_config(broker, 1000) + sink(url, ""))
    gateway.start({"http_proxy": f"http://127.0.0.1:{proxy.server_port}"})
    gateway.wait_connected()
    speaker.say(20)
    compare(gateway, receiver, speaker)
    assert proxy.asked == asked, "the environment does not choose the way"
    proxy.shutdown()
    receiver.close()


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as one:
        one.bind(("::1", 0))
        return True
    return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_a_server_is_reached_over_ipv6(plant, broker, speaker):
    receiver = HttpReceiver(plant, host="::1")
    gateway = Gateway(plant, mqtt_config(broker, 1000) + sink(f"http://[::1]:{receiver.port}", ""))
    gateway.wait_connected()
    speaker.say(20)
    compare(gateway, receiver, speaker)
    receiver.close()


def test_bodies_are_packed_as_the_server_takes_them(plant, broker, speaker):
    for compression, said in (("zstd", "zstd"), ("none", None), ("gzip", "gzip")):
        speaker.said.clear()
        receiver = HttpReceiver(plant)
        gateway = Gateway(plant, mqtt_config(broker, 1000) + sink(f"http://127.0.0.1:{receiver.port}", f'compression = "{compression}"\n'))
        gateway.wait_connected()
        speaker.say(50)
        compare(gateway, receiver, speaker)
        assert receiver.encodings == {said}
        wait_until(lambda: gateway.status()["sinks"][0]["settled_seq"] == gateway.status()["sinks"][0]["last_seq"], what="it has settled")
        gateway.stop()
        receiver.close()


def test_a_metered_link_keeps_its_budget_and_sends_hours_instead(plant, broker, speaker):
    receiver = HttpReceiver(plant)
    more = 'batch = 100\nbudget = "50kB"\nover_budget = "hours"\ncompression = "none"\n'
    gateway = Gateway(plant, mqtt_config(broker, 1000) + sink(f"http://127.0.0.1:{receiver.port}", more))
    gateway.wait_connected()
    speaker.say(600)
    gateway.wait_committed(600)
    def stands_in() -> bool:
        return len(receiver.records("hours")) > 10 and all(row["budget"]["waits"] for row in gateway.status()["sinks"][:1])
    wait_until(stands_in, 30, every=.3, what="hours stand in")
    sent = len({(device, at) for (device, _), values in receiver.rows().items() for at in values})
    assert 100 <= sent < 400, "readings wait"
    spent = gateway.status()["sinks"][0]["budget"]["spent_bytes"]
    assert 30_000 <= spent < 60_000
    assert f'wattd_sink_bytes_total{{sink="up"}}' in gateway.metrics()
    assert "waits for its budget" in gateway.ctl("sync", "status").stdout
    gateway.process.stop(9)
    gateway.start()
    speaker.say(100)
    gateway.wait_committed(100)
    time.sleep(2)
    assert spent <= gateway.status()["sinks"][0]["budget"]["spent_bytes"] < 60_000, "a restart gives no new budget"
    assert len({(device, at) for (device, _), values in receiver.rows().items() for at in values}) < 400


def test_a_host_of_sparkplug_gets_all_births_again_and_no_second_node(plant, broker, speaker):
    host = SparkplugHost(plant)
    gateway = Gateway(plant, mqtt_config(broker, 1000) + f'[[sinks]]\nid = "up"\nsettle = "1s"\n{host.sink(host.port)}')
    gateway.wait_connected()
    speaker.say(70)
    compare(gateway, host, speaker)
    devices = {device for device, _, _ in host.aliases.values()}
    assert len(devices) == 7
    host.aliases = {}
    host.ask_for_births()
    # Nobody says anything meanwhile.
    wait_until(lambda: {device for device, _, _ in host.aliases.values()} == devices, 10, what="all are born again")
    refused = gateway.ctl("sync", "backfill", "up", "--from", "30h", check=False)
    assert refused.returncode != 0 and "second edge node" in refused.stderr
    aliases, deaths = dict(host.aliases), host.deaths
    assert gateway.ctl("sync", "test", "up").returncode == 0
    speaker.say(70)
    compare(gateway, host, speaker)
    assert host.aliases == aliases and host.deaths == deaths
    host.close()
