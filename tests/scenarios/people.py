"""Those who are told of alerts: a mail server with TLS and logins, and the web servers of messengers, which write down what
they are asked and answer as they are told to."""
import contextlib
import email
import email.policy
import http.server
import json
import os
import pathlib
import pwd
import shutil
import tempfile
import threading
import urllib.parse

from certificates import make_certificates
from plant import can_connect, free_port, wait_until


class MailServer:
    """exim on loopback: STARTTLS, then a login, then any mailbox but `nobody@`."""

    USER, PASSWORD = "wattd", "correct horse"

    def __init__(self, plant):
        self.plant, self.port, self.process = plant, free_port(), None
        # Where its own user gets to, which is not into folders of tests.
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="wattd-mail-"))
        self.box = self.directory / "box"
        for folder in ("box", "spool", "log"):
            (self.directory / folder).mkdir(parents=True, exist_ok=True)
        make_certificates(self.directory)
        self.url = f"smtp://127.0.0.1:{self.port}"
        (self.directory / "exim.conf").write_text(f"""
primary_hostname = mail.test
spool_directory = {self.directory}/spool
log_file_path = {self.directory}/log/%slog
pid_file_path = {self.directory}/exim.pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = {self.port}
tls_advertise_hosts = *
tls_certificate = {self.directory}/server.pem
tls_privatekey = {self.directory}/server.key
auth_advertise_hosts = ${{if eq{{$tls_in_cipher}}{{}}{{}}{{*}}}}
acl_smtp_rcpt = check_rcpt
domainlist local_domains = *
host_lookup =
rfc1413_query_timeout = 0s
keep_environment =
deliver_drop_privilege = true
begin acl
check_rcpt:
  deny  ! authenticated = *
        message = log in first
  deny  local_parts = nobody
        message = there is no such mailbox
  accept
begin routers
box:
  driver = accept
  transport = box
begin transports
box:
  driver = appendfile
  directory = {self.box}
  create_directory
  maildir_format
  user = Debian-exim
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if and{{{{eq{{$auth2}}{{{self.USER}}}}}{{eq{{$auth3}}{{{self.PASSWORD}}}}}}}}}
  server_set_id = $auth2
""")
        owner = pwd.getpwnam("Debian-exim")
        for path in [self.directory, *self.directory.rglob("*")]:
            os.chmod(path, 0o755 if path.is_dir() else 0o644)
        for path in [self.directory, *self.directory.rglob("*")]:
            os.chown(path, owner.pw_uid, owner.pw_gid)
        os.chown(self.directory / "exim.conf", 0, 0)
        self.start()

    def start(self):
        self.process = self.plant.run("exim", ["exim4", "-bdf", "-q1m", "-C", self.directory / "exim.conf"])
        wait_until(lambda: can_connect(self.port), what="exim listens")

    def stop(self):
        self.process.stop()

    def close(self):
        shutil.rmtree(self.directory, ignore_errors=True)

    def mails(self) -> list:
        """All that were delivered, oldest first."""
        files = sorted((self.box / "new").glob("*"), key=lambda path: path.stat().st_mtime_ns) if (self.box / "new").exists() else []
        return [email.message_from_bytes(path.read_bytes(), policy=email.policy.default) for path in files]

    def channel(self, name: str = "email", more: str = "") -> str:
        return f"""
[[channels]]
id = "{name}"
kind = "email"
url = "{self.url}"
username = "{self.USER}"
password = "{self.PASSWORD}"
from = "wattd@plant.test"
ca_file = "{self.directory}/ca.pem"
recipients = ["operator@plant.test"]
{more}
"""


class Provider:
    """An HTTP server that keeps every request. `answer` gives the next answer: (status, headers, body), or None for none
    at all until the caller gives up."""

    def __init__(self, answer=None):
        self.requests: list = []
        self.answer = answer or (lambda request: (200, {}, "{}"))
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                request = {"path": self.path, "headers": dict(self.headers), "body": body}
                provider.requests.append(request)
                answer = provider.answer(request)
                if answer is None:
                    provider.hanging.wait(60)
                    self.close_connection = True
                    return
                status, headers, text = answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                with contextlib.suppress(BrokenPipeError):
                    self.wfile.write(text.encode())

            def log_message(self, *arguments):
                pass

        self.hanging = threading.Event()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.hanging.set()
        self.server.shutdown()
        self.server.server_close()

    def forms(self) -> list:
        return [{key: values[0] for key, values in urllib.parse.parse_qs(one["body"]).items()} for one in self.requests]

    def documents(self) -> list:
        return [json.loads(one["body"]) for one in self.requests]


def twilio(request) -> tuple:
    """As Twilio answers a message that it takes. Source: its API reference, Message resource."""
    return 201, {"Content-Type": "application/json"}, json.dumps({"sid": "SM" + "0" * 32, "status": "queued", "error_code": None})


def telegram(request) -> tuple:
    return 200, {"Content-Type": "application/json"}, json.dumps({"ok": True, "result": {"message_id": 7}})
