"""Alerts reach people: once, soon, and also after a crash."""
import base64
import datetime
import hashlib
import hmac
import json
import os
import signal
import time
import urllib.parse

import paho.mqtt.client as mqtt
import pytest

import modbus_peer
from people import MailServer, Provider, telegram, twilio
from plant import BULB, Gateway, can_connect, free_port, mqtt_config, wait_until


@pytest.fixture
def mail(plant):
    server = MailServer(plant)
    yield server
    server.close()


@pytest.fixture
def provider():
    made = []

    def make(answer=None):
        made.append(Provider(answer))
        return made[-1]

    yield make
    for one in made:
        one.close()


class Meter:
    """Publishes what it is told to, and hears the alerts."""

    def __init__(self, broker):
        self.client = mqtt.Client(client_id="meter", protocol=mqtt.MQTTv311)
        self.alerts: list = []
        self.client.on_message = lambda _, __, message: self.alerts.append(json.loads(message.payload))
        self.client.connect("127.0.0.1", broker.port)
        self.client.subscribe("wattd/alerts/#", 1)
        self.client.loop_start()

    def say(self, device="D1", **fields):
        now = datetime.datetime.now(datetime.UTC).isoformat()
        message = self.client.publish(f"devices/{device}/telemetry", json.dumps({"device_id": device, "timestamp": now, **fields}), 1)
        message.wait_for_publish(10)

    def close(self):
        self.client.loop_stop()
        self.client.disconnect()


@pytest.fixture
def meter(broker):
    meter = Meter(broker)
    yield meter
    meter.close()


def whatsapp(provider, more: str = "") -> str:
    return (f'[[channels]]\nid = "whatsapp"\nkind = "whatsapp"\nurl = "{provider.url}"\naccount = "AC1"\ntoken = "secret"\n'
            f'from = "+14155238886"\nrecipients = ["+491711234567"]\n{more}')


def webhook(provider, more: str = "") -> str:
    return (f'[[channels]]\nid = "hook"\nkind = "webhook"\nsecret = "s3cret"\nrecipients = ["{provider.url}/alerts"]\n'
            f'first_pause = "1s"\nlongest_pause = "1s"\n{more}')


def rule(name="Hot", channels='["hook"]', more: str = "") -> str:
    return f'[[rules]]\nname = "{name}"\nproperty = "temperature"\nthreshold = 50\nchannels = {channels}\n{more}'


def notifications(gateway, **query) -> list:
    return gateway.get("/api/v1/notifications?" + urllib.parse.urlencode(query))["data"]


def test_bulb_overheat_as_in_the_design(plant, broker, meter, mail, provider):
    messenger = provider(twilio)
    gateway = Gateway(plant, BULB + mqtt_config(broker) + mail.channel() + whatsapp(messenger))
    gateway.wait_connected()
    status, created = gateway.ask("POST", "/api/v1/rules?by=anna", {
        "name": "Bulb Overheat", "device_id": "D1", "property": "temperature", "operator": ">", "threshold": 50,
        "notification_channels": ["email", "whatsapp"]})
    assert status == 201, created
    identity = created["data"]["rule_id"]

    meter.say(voltage=230.1, current=0.5, power=115, temperature=45.2)
    assert gateway.get("/api/v1/alerts")["total"] == 0
    meter.say(voltage=230.1, current=0.5, power=115, temperature=62.5)

    message = "Alert: Bulb Overheat - Device D1 temperature is 62.50 (threshold: > 50.00)"
    wait_until(lambda: messenger.requests, what="WhatsApp is told")
    request, form = messenger.requests[0], messenger.forms()[0]
    assert request["path"] == "/2010-04-01/Accounts/AC1/Messages.json"
    assert request["headers"]["Authorization"] == "Basic " + base64.b64encode(b"AC1:secret").decode()
    assert request["headers"]["Content-Type"] == "application/x-www-form-urlencoded"
    assert form["To"] == "whatsapp:+491711234567" and form["From"] == "whatsapp:+14155238886" and message in form["Body"]
    wait_until(mail.mails, what="the mail is there")
    letter = mail.mails()[0]
    assert letter["To"] == "operator@plant.test" and letter["Subject"] == "[medium] Bulb Overheat: D1 raised"
    assert message in letter.get_content()

    meter.say(voltage=230.1, current=0.5, power=115, temperature=44.0)
    wait_until(lambda: len(messenger.requests) == 2 and len(mail.mails()) == 2, what="both hear that it is over")
    alert = gateway.get("/api/v1/alerts")["data"][0]
    assert alert["rule_id"] == identity and alert["status"] == "resolved" and alert["actual_value"] == 62.5
    told = wait_until(lambda: (log := notifications(gateway, alert_id=alert["alert_id"], status="sent")) and len(log) == 4 and log,
                      what="all four are in the log")
    assert {(one["channel"], one["event"]) for one in told} == {(channel, event) for channel in ("email", "whatsapp")
                                                                for event in ("raised", "resolved")}
    assert all(one["attempts"] == 1 and one["provider_response"] for one in told)
    assert [entry["did"] for entry in gateway.get(f"/api/v1/audit?subject=rule/{identity}")["data"]] == ["created"]


def test_a_signed_webhook_and_mqtt_tell_machines(plant, broker, meter, provider):
    receiver = provider()
    gateway = Gateway(plant, mqtt_config(broker) + webhook(receiver) + rule(channels='["hook", "bus"]') +
                      f'[[channels]]\nid = "bus"\nkind = "mqtt"\nport = {broker.port}\n')
    gateway.wait_connected()
    meter.say(temperature=60)
    wait_until(lambda: meter.alerts and receiver.requests, what="both are told")
    assert meter.alerts[0]["event"] == "raised" and meter.alerts[0]["device_id"] == "D1" and meter.alerts[0]["actual_value"] == 60
    request = receiver.requests[0]
    signature = dict(part.split("=") for part in request["headers"]["X-Wattd-Signature"].split(","))
    expected = hmac.new(b"s3cret", f'{signature["t"]}.{request["body"]}'.encode(), hashlib.sha256).hexdigest()
    assert signature["v1"] == expected and abs(int(signature["t"]) - time.time()) < 60
    document = json.loads(request["body"])
    assert document["message_id"] == request["headers"]["X-Wattd-Message"]
    assert [(one["rule_name"], one["event"]) for one in document["alerts"]] == [("Hot", "raised")]
    # Nobody is told again by a restart.
    wait_until(lambda: len(notifications(gateway, status="sent")) == 2, what="it is written down")
    gateway.stop()
    gateway.start()
    time.sleep(1.5)
    assert len(receiver.requests) == 1 and len(meter.alerts) == 1


def test_telegram_and_a_rules_own_recipients(plant, broker, meter, provider):
    bot = provider(telegram)
    gateway = Gateway(plant, mqtt_config(broker) + rule(channels='["chat"]', more='recipients = { chat = ["42", "43"] }\n') +
                      f'[[channels]]\nid = "chat"\nkind = "telegram"\nurl = "{bot.url}"\ntoken = "123:abc"\nrecipients = ["1"]\nlanguage = "de"\n')
    gateway.wait_connected()
    meter.say(temperature=60)
    wait_until(lambda: len(bot.requests) == 2, what="both chats are told")
    assert {one["path"] for one in bot.requests} == {"/bot123:abc/sendMessage"}
    assert sorted(one["chat_id"] for one in bot.documents()) == ["42", "43"]
    assert "Schwere mittel" in bot.documents()[0]["text"]


def test_an_answer_nobody_understands_stops_nothing(plant, broker, meter, provider):
    bot = provider(lambda request: (429, {}, '{"ok": false, "parameters": [1], "description": 7}'))
    gateway = Gateway(plant, mqtt_config(broker) + rule(channels='["chat"]') +
                      f'[[channels]]\nid = "chat"\nkind = "telegram"\nurl = "{bot.url}"\ntoken = "1:a"\nrecipients = ["1"]\nfirst_pause = "1s"\n')
    gateway.wait_connected()
    meter.say(temperature=60)
    wait_until(lambda: bot.requests, what="it is told")
    bot.answer = lambda request: (200, {}, '{"ok": true, "result": true}')
    wait_until(lambda: notifications(gateway, status="sent"), what="it is taken")
    assert gateway.process.alive()


def test_what_waited_for_the_start_is_told_once(plant, broker, meter, provider):
    receiver = provider()
    gateway = Gateway(plant, mqtt_config(broker) + webhook(receiver) + rule())
    gateway.wait_connected()
    gateway.stop()
    meter.say(temperature=60)
    gateway.start()
    wait_until(lambda: notifications(gateway, status="sent"), what="it is told")
    time.sleep(1.5)
    assert len(receiver.requests) == 1 and len(notifications(gateway)) == 1


def test_a_crash_between_commit_and_send_loses_no_notification(plant, broker, meter, provider):
    receiver = provider(lambda request: None)  # takes it, and never answers
    gateway = Gateway(plant, mqtt_config(broker) + webhook(receiver) + rule())
    gateway.wait_connected()
    meter.say(temperature=60)
    wait_until(lambda: receiver.requests, what="it is being told")
    gateway.kill()
    receiver.answer = lambda request: (200, {}, "{}")
    receiver.hanging.set()
    gateway.start()
    wait_until(lambda: len(receiver.requests) == 2, what="it is told again")
    assert receiver.documents()[0]["message_id"] == receiver.documents()[1]["message_id"]
    sent = wait_until(lambda: notifications(gateway, status="sent"), what="it is written down")
    assert sent[0]["attempts"] == 2
    assert "not known; telling once more" in gateway.process.text(), "the case is logged"


@pytest.mark.parametrize("broken", [(429, {"Retry-After": "2"}, "slow down"), (500, {}, "oops"), (401, {}, "who are you"), None],
                         ids=["429", "500", "401", "nobody"])
def test_a_provider_that_fails_is_tried_again_and_hears_everything_as_one(plant, broker, meter, provider, broken):
    receiver = provider(lambda request: broken)
    config = mqtt_config(broker) + webhook(receiver, 'burst = 1\nevery = "1s"\n') + rule(more='cooldown = "0s"\n')
    if broken is None:
        receiver.close()  # the connection is refused
    gateway = Gateway(plant, config)
    gateway.wait_connected()
    meter.say(temperature=60)
    wait_until(lambda: any(one["provider_response"] for one in notifications(gateway, status="pending")), what="the first try has failed")
    for device in ("D2", "D3"):
        meter.say(device, temperature=60)
    wait_until(lambda: len(notifications(gateway, status="pending")) == 3, what="all wait")
    if broken is None:
        receiver = provider()
        gateway.write_config(config.replace(config.split('recipients = ["')[1].split("/alerts")[0], receiver.url))
        gateway.process.child.send_signal(1)
        meter.say("D4", temperature=60)  # a rule or channel may change at any time; recipients are those of the moment
        wait_until(lambda: notifications(gateway, status="sent"), what="the new receiver hears of the new alert")
        return
    receiver.answer = lambda request: (200, {}, "{}")
    sent = wait_until(lambda: (log := notifications(gateway, status="sent")) and len(log) == 3 and log, 30, what="all are told")
    assert len({one["message_id"] for one in sent}) == 1, "in one message"
    assert not notifications(gateway, status="failed")
    channel = gateway.get("/api/v1/channels")["data"][0]
    assert channel["waiting"] == 0 and channel["sent"] == 3 and channel["last_error"] is None


def test_what_is_refused_or_bounces_is_not_tried_again(plant, broker, meter, mail, provider):
    messenger = provider(lambda request: (400, {}, json.dumps({"code": 21211, "message": "Invalid 'To' Phone Number"})))
    gateway = Gateway(plant, mqtt_config(broker) + mail.channel().replace("operator@", "nobody@") + whatsapp(messenger) +
                      rule(channels='["email", "whatsapp", "pager"]'))
    assert any("pager" in part for part in gateway.status()["missing"])
    gateway.wait_connected()
    meter.say(temperature=60)
    wait_until(lambda: len(notifications(gateway)) == 3 and not notifications(gateway, status="pending"), what="all three are settled")
    log = {one["channel"]: one for one in notifications(gateway)}
    assert log["email"]["status"] == "bounced" and "no such mailbox" in log["email"]["provider_response"]
    assert log["whatsapp"]["status"] == "bounced" and "21211" in log["whatsapp"]["provider_response"]
    assert log["pager"]["status"] == "failed" and "no channel is called" in log["pager"]["provider_response"]
    assert len(messenger.requests) == 1


def test_ten_thousand_alerts_reach_a_person_as_a_handful_of_messages(plant, broker, meter, provider):
    receiver = provider()
    gateway = Gateway(plant, mqtt_config(broker, window=500) + webhook(receiver) + rule() + rule("Hot too") +
                      "[pipeline]\ncommit_interval = '200ms'\n")
    gateway.wait_connected()
    count = 5000
    for number in range(count):
        meter.client.publish(f"devices/S{number}/telemetry", json.dumps({"device_id": f"S{number}", "temperature": 60}), 1)
    gateway.wait_committed(count, 120)
    wait_until(lambda: gateway.status()["pipeline"]["alerts"] == 2 * count, 60, what="every device has its two alerts")
    time.sleep(2)
    told = sum(len(one["alerts"]) for one in receiver.documents())
    assert 1 <= len(receiver.requests) <= 5 and told >= 1
    waiting = gateway.get("/api/v1/channels")["data"][0]["waiting"]
    assert told + waiting == 2 * count, "nothing is forgotten"


def test_silence_of_the_meter_the_broker_and_after_a_restart(plant, broker, meter):
    gateway = Gateway(plant, mqtt_config(broker) + '[alerts]\nno_data = "3s"\n')
    gateway.wait_connected()

    def silent() -> list:
        return [one for one in gateway.get("/api/v1/alerts?status=open")["data"] if "has said nothing" in one["message"]]

    meter.say(temperature=20)
    gateway.wait_committed(1)
    wait_until(silent, 15, what="the meter is missed")
    meter.say(temperature=20)
    wait_until(lambda: not silent(), 15, what="it is back")
    broker.stop()
    wait_until(silent, 15, what="it is missed when the broker dies")
    first = silent()[0]["alert_id"]
    gateway.kill()
    gateway.start()
    assert silent()[0]["alert_id"] == first, "the episode goes on"
    broker.start()
    gateway.wait_connected()
    wait_until(lambda: meter.client.is_connected(), 15, what="the meter is connected")
    meter.say(temperature=20)
    wait_until(lambda: not silent(), 15, what="it is back")
    gateway.kill()
    time.sleep(3)
    gateway.start()
    wait_until(silent, 15, what="it is missed after a restart, though it was there before")


def test_silence_of_a_bus_and_of_links_that_stall_rather_than_close(plant, broker, meter):
    """What is stopped keeps its connections open, and its machine acknowledges what it is sent."""
    port, file = free_port(), plant.directory / "images.json"
    registers = {str(register): 0x4366 if register % 2 == 0 else 0 for register in range(0, 400)}
    file.write_text(json.dumps({unit: {"3": {}, "4": registers} for unit in (1, 2)}))
    server = plant.run("pymodbus", ["/usr/bin/python3", modbus_peer.__file__, port, file])
    wait_until(lambda: can_connect(port), 60, what="pymodbus answers")
    polled = "".join(f'[[buses.meters]]\ndevice = "M{unit}"\nunit = {unit}\nfast = "500ms"\nprofile = "eastron-sdm630"\n' for unit in (1, 2))
    gateway = Gateway(plant, mqtt_config(broker) + f'[[buses]]\nid = "hall"\nhost = "127.0.0.1"\nport = {port}\n' + polled +
                      '[alerts]\nno_data = "4s"\n')
    gateway.wait_connected()
    meter.say(temperature=20)

    def silent() -> set:
        return {one["device_id"] for one in gateway.get("/api/v1/alerts?status=open")["data"] if "has said nothing" in one["message"]}

    wait_until(lambda: gateway.status()["pipeline"]["committed"] > 6, 20, what="the meters are read")
    assert not silent() & {"M1", "M2"}
    os.kill(server.pid, signal.SIGSTOP)
    wait_until(lambda: silent() >= {"M1", "M2"}, 20, what="both meters of the bus are missed")
    os.kill(server.pid, signal.SIGCONT)
    wait_until(lambda: not silent() & {"M1", "M2"}, 30, what="they are back")
    os.kill(broker.process.pid, signal.SIGSTOP)
    os.kill(server.pid, signal.SIGSTOP)
    wait_until(lambda: silent() == {"D1", "M1", "M2"}, 20, what="all are missed when no link brings anything")
    os.kill(broker.process.pid, signal.SIGCONT)
    os.kill(server.pid, signal.SIGCONT)
    wait_until(lambda: meter.client.is_connected(), 15, what="the meter is connected")
    meter.say(temperature=20)
    wait_until(lambda: not silent() & {"M1", "M2"}, 30, what="the bus is back")


def test_people_acknowledge_resolve_and_silence_and_it_stays_so(plant, broker, meter, provider):
    receiver = provider()
    gateway = Gateway(plant, mqtt_config(broker) + webhook(receiver) + rule(more='cooldown = "0s"\n'))
    gateway.wait_connected()
    meter.say(temperature=60)
    alert = wait_until(lambda: gateway.get("/api/v1/alerts")["data"], what="the alert is there")[0]
    path = f'/api/v1/alerts/{alert["alert_id"]}'
    status, document = gateway.ask("PATCH", path + "/acknowledge", {"acknowledged_by": "anna@plant.test"})
    assert status == 200 and document["data"]["status"] == "acknowledged"
    gateway.kill()
    gateway.start()
    gateway.wait_connected()
    meter.say(temperature=61)
    assert gateway.get(path)["data"]["status"] == "acknowledged"
    status, document = gateway.ask("PATCH", path + "/resolve?by=anna")
    assert status == 200 and document["data"]["resolved_by"] == "anna"
    assert gateway.ask("PATCH", path + "/resolve")[0] == 409
    wait_until(lambda: [one["alerts"][0]["event"] for one in receiver.documents()] == ["raised", "resolved"], what="its end is told")
    meter.say(temperature=62)
    assert gateway.get("/api/v1/alerts")["total"] == 1, "it is still hot, and somebody knows"
    assert [entry["did"] for entry in gateway.get(path)["data"]["audit"]] == ["resolved", "acknowledged"]

    status, silence = gateway.ask("POST", "/api/v1/silences?by=anna", {"device_ids": ["D2"], "minutes": 60, "comment": "cleaning"})
    assert status == 201
    meter.say("D2", temperature=60)
    hushed = wait_until(lambda: gateway.get("/api/v1/alerts?device_id=D2")["data"], what="the alert is there")[0]
    assert hushed["status"] == "suppressed"
    told = len(receiver.requests)
    assert gateway.ask("DELETE", f'/api/v1/silences/{silence["data"]["silence_id"]}')[0] == 200
    wait_until(lambda: len(receiver.requests) == told + 1, what="it is told when the maintenance is over")
    assert gateway.get(f'/api/v1/alerts/{hushed["alert_id"]}')["data"]["status"] == "open"


def test_rules_over_the_api(plant, broker, meter, provider):
    gateway = Gateway(plant, mqtt_config(broker) + webhook(provider()) + rule())
    gateway.wait_connected()
    provisioned = next(one for one in gateway.get("/api/v1/rules")["data"] if one["rule_name"] == "Hot")
    status, refused = gateway.ask("DELETE", f'/api/v1/rules/{provisioned["rule_id"]}')
    assert status == 409 and "wattd.toml:" in refused["error"]["message"], refused
    for temperature in (40, 60, 61, 40, 70, 40):
        meter.say(temperature=temperature)
    gateway.wait_committed(6)
    wanted = {"rule_name": "Hotter", "property": "temperature", "condition": ">", "threshold": 65}
    status, tested = gateway.ask("POST", "/api/v1/rules/test", {"rule": wanted})
    assert status == 200 and tested["data"]["raised"] == 1 and tested["data"]["alerts"][0]["actual_value"] == 70
    status, tested = gateway.ask("POST", "/api/v1/rules/test", {"rule_id": provisioned["rule_id"]})
    assert tested["data"]["raised"] == 2 and tested["data"]["told"] == 1 and tested["data"]["complete"]
    status, created = gateway.ask("POST", "/api/v1/rules", wanted)
    assert status == 201
    path = f'/api/v1/rules/{created["data"]["rule_id"]}'
    assert gateway.ask("POST", "/api/v1/rules", wanted)[0] == 409, "the name is taken"
    status, document = gateway.ask("POST", "/api/v1/rules", {**wanted, "rule_name": "x", "condition": "=>"})
    assert status == 400 and "expected one of >, <, >=, <=, =, !=" in document["error"]["message"]
    reading = {"device_id": "D1", "timestamp": "2026-02-12T10:00:00Z", "temperature": 68.0}
    status, judged = gateway.ask("POST", "/api/v1/rules/evaluate", reading)
    assert judged["data"]["triggered"] == 2 and judged["data"]["evaluated"] >= 2, judged
    assert gateway.ask("PATCH", path + "/status", {"status": "paused"})[0] == 200
    assert gateway.ask("POST", "/api/v1/rules/evaluate", reading)[1]["data"]["triggered"] == 1
    status, changed = gateway.ask("PUT", path, {**wanted, "threshold": 66, "kind": "average", "window": "5min"})
    assert status == 200 and changed["data"]["window"] == "5min" and changed["data"]["status"] == "active"
    assert "nobody is told over the channel \"fax\"" in gateway.ask("PUT", path, {**wanted, "threshold": 66, "notification_channels": ["fax"]})[1]["data"]["warnings"][0]
    several = {**wanted, "notification_channels": ["hook"], "recipients": {"hook": ["http://x.test/", "nobody"]}}
    status, document = gateway.ask("PUT", path, several)
    assert status == 400 and 'has "nobody"; expected a URL' in document["error"]["message"]
    gateway.write_config(mqtt_config(broker) + webhook(provider()))
    gateway.kill()
    gateway.start()
    assert gateway.get(path)["data"]["threshold"] == 66
    left = gateway.get(f'/api/v1/rules/{provisioned["rule_id"]}')["data"]
    assert left["status"] == "archived" and left["origin"] is None, "a rule that left its file is there for people to decide"
    assert gateway.ask("DELETE", f'/api/v1/rules/{left["rule_id"]}')[0] == 200
    assert gateway.ask("DELETE", path)[0] == 200 and gateway.ask("GET", path)[0] == 404
    for number in range(120):
        status, document = gateway.ask("POST", "/api/v1/rules", {**wanted, "rule_name": f"r{number}", "device_ids": ["D1"]})
        if status != 201:
            break
    assert status == 409 and "at most 100 are allowed" in document["error"]["message"] and number == 100


def test_rules_alerts_and_channels_from_the_shell(plant, broker, meter, provider, monkeypatch):
    receiver = provider()
    gateway = Gateway(plant, mqtt_config(broker) + webhook(receiver) + rule("Filed"))
    gateway.wait_connected()
    file = plant.directory / "rules.toml"
    file.write_text(rule("Hot", more='cooldown = "0s"\n') + rule("Wet", more='for = "5min"\nhours = "Mon-Fri 07:00-18:00"\n').replace("temperature", "humidity"))
    assert gateway.ctl("rules", "add", file).stdout.count(" is active") == 2
    listed = gateway.ctl("rules", "list").stdout
    assert "temperature > 50" in listed and "wattd.toml:" in listed and "built in" in listed
    shown = gateway.ctl("rules", "show", "Wet").stdout
    assert 'for = "5min"' in shown and 'hours = "Mon,Tue,Wed,Thu,Fri 07:00-18:00"' in shown
    monkeypatch.setenv("EDITOR", "sed -i s/50/55/")
    monkeypatch.delenv("VISUAL", raising=False)
    assert "is changed" in gateway.ctl("rules", "edit", "Hot").stdout
    assert gateway.ctl_json("rules", "show", "Hot")["threshold"] == 55
    refused = gateway.ctl("rules", "edit", "Filed", check=False)
    assert refused.returncode == 1 and "wattd.toml:" in refused.stderr
    assert "is paused" in gateway.ctl("rules", "pause", "Wet").stdout
    for temperature in (40, 52, 60, 40):
        meter.say(temperature=temperature)
    gateway.wait_committed(4)
    tested = gateway.ctl("rules", "test", "Hot").stdout
    assert "temperature is 60.00" in tested and "4 readings" in tested and "1 alerts, 1 of them told" in tested
    assert "would not have fired" in gateway.ctl("rules", "test", "Hot", "--from", "2020-01-01T00:00:00Z", "--to", "2020-01-02T00:00:00Z").stdout
    meter.say(temperature=70)
    alert = wait_until(lambda: [one for one in gateway.ctl_json("alerts", "list", "--status", "open") if "Hot" in one["message"]], what="it is hot")[0]
    short = alert["alert_id"][:8]
    assert "is acknowledged" in gateway.ctl("alerts", "ack", short, "--by", "anna").stdout
    told = wait_until(lambda: (text := gateway.ctl("alerts", "show", short).stdout) and "sent" in text and text, what="it is told")
    assert "anna acknowledged" in told and "acknowledged_by anna" in " ".join(told.split())
    assert "nobody is told until" in gateway.ctl("alerts", "silence", short, "--minutes", 5, "--comment", "repair").stdout
    assert "repair" in gateway.ctl("alerts", "silences").stdout
    assert "is resolved" in gateway.ctl("alerts", "resolve", short).stdout
    assert "/alerts: 200" in gateway.ctl("notify", "test", "hook").stdout
    assert "This is a test of the channel hook" in receiver.documents()[-1]["text"]
    nobody = gateway.ctl("notify", "test", "fax", check=False)
    assert nobody.returncode == 1 and "[[channels]]" in nobody.stderr
    assert "hook" in gateway.ctl("notify", "channels").stdout and "raised" in gateway.ctl("notify", "log").stdout
