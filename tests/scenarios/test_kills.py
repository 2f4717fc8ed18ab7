"""kill -9 under load, in every way the gateway may be connected: nothing is lost, nothing is counted twice."""
import collections
import contextlib
import datetime
import os
import pathlib
import random
import signal
import time

from certificates import make_certificates
from plant import Broker, Gateway, mqtt_config, sink_config, wait_until
from stream import Stream, numbers_stored, readings_stored

KILLS = int(os.environ.get("WATTD_KILLS", "10"))
KILLS_EACH = max(3, KILLS // 3) if KILLS < 100 else KILLS  # of each further way


def milliseconds(stamp: str) -> int:
    at = datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00"))
    return (at - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) // datetime.timedelta(milliseconds=1)


def kill_and_count(gateway, stream, kills: int = KILLS_EACH, seed: int = 1, between=lambda number: None, enough=lambda: True):
    """Kills the gateway under the stream again and again, until that was enough; afterwards every number is stored, once."""
    dice = random.Random(seed)
    stream.start()
    for number in range(10 * kills):
        if number >= kills and enough():
            break
        time.sleep(dice.uniform(0.05, 0.7))
        gateway.kill()
        between(number)
        gateway.start()
    stream.finish()
    wait_until(lambda: len(set(numbers_stored(gateway))) >= stream.sent, 60, what="everything is stored")
    counted = collections.Counter(numbers_stored(gateway))
    assert sorted(counted) == list(range(stream.sent))
    assert [number for number, times in counted.items() if times > 1] == []


def test_kills_under_load_lose_nothing_and_double_nothing_upstream_either(plant, broker, upstream):
    gateway = Gateway(plant, mqtt_config(broker) + sink_config(upstream.url))
    gateway.wait_connected()
    kill_and_count(gateway, Stream(broker.port, 500), KILLS, 20260207)
    gateway.wait_shipped()
    # VictoriaMetrics keeps one sample a millisecond.
    expected = collections.defaultdict(set)
    for item in readings_stored(gateway):
        expected[milliseconds(item["timestamp"])].add(item["n"])
    shipped = upstream.export()["N", "n"]
    assert [at for at, _ in shipped] == sorted(expected)
    assert all(n in expected[at] for at, n in shipped)


def test_kills_with_mqtt_5_lose_nothing_and_double_nothing(plant, broker):
    gateway = Gateway(plant, mqtt_config(broker).rstrip() + '\nversion = "5"\n')
    gateway.wait_connected()
    kill_and_count(gateway, Stream(broker.port, 500), seed=2)


def test_kills_with_tls_lose_nothing_and_double_nothing(plant):
    folder = plant.directory
    make_certificates(folder)
    broker = Broker(plant, extra=f"cafile {folder}/ca.pem\ncertfile {folder}/server.pem\nkeyfile {folder}/server.key\n")
    gateway = Gateway(plant, mqtt_config(broker) + f'tls = {{ ca_file = "{folder}/ca.pem" }}\n')
    gateway.wait_connected()
    kill_and_count(gateway, Stream(broker.port, 500, tls={"ca_certs": str(folder / "ca.pem")}), seed=3)


def test_kills_while_the_broker_restarts_lose_nothing_and_double_nothing(plant, broker):
    gateway = Gateway(plant, mqtt_config(broker))
    gateway.wait_connected()
    stream = Stream(broker.port, 500)

    def restart_broker(number: int):
        if number % 2 == 0:
            with stream.paused():
                broker.stop()
                broker.start()

    kill_and_count(gateway, stream, seed=4, between=restart_broker)


class SlowToReturn(Gateway):
    """A gateway whose fdatasync returns long after it is done: most of its time passes between commit and acknowledgement."""

    def __init__(self, plant, config: str):
        self.redelivered = 0
        super().__init__(plant, config, strace=["strace", "-f", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_exit=60000"])

    def kill(self):
        self.note()
        child = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0]
        os.kill(int(child), signal.SIGKILL)
        self.process.child.wait(20)

    def note(self):
        with contextlib.suppress(OSError, ValueError):
            self.redelivered += self.status()["pipeline"]["redelivered"]


def test_kills_between_commit_and_acknowledgement_double_nothing(plant, broker):
    gateway = SlowToReturn(plant, mqtt_config(broker))
    try:
        gateway.wait_connected()
        kill_and_count(gateway, Stream(broker.port, 100), seed=5, enough=lambda: gateway.redelivered > 0)
        gateway.note()
    finally:
        gateway.stop()  # strace would leave it behind
    assert gateway.redelivered > 0, "no kill fell between a commit and its acknowledgement"
