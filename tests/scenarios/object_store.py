"""An object store that speaks S3: OpenStack Swift as it comes from apt, one of each server, and a client to look into it."""
import datetime
import getpass
import hashlib
import hmac
import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ElementTree

import pytest

from plant import can_connect, free_port, wait_until

ACCESS, SECRET = "plant:meters", "geheim"
KINDS = ("account", "container", "object")


class ObjectStore:
    def __init__(self, plant):
        self.plant, self.directory = plant, plant.directory / "swift"
        (self.directory / "srv" / "d1").mkdir(parents=True)
        try:
            os.setxattr(self.directory / "srv", "user.swift", b"x")
        except OSError as problem:
            pytest.skip(f"Swift keeps what it knows of objects in extended attributes: {problem}")
        self.ports = {kind: free_port() for kind in (*KINDS, "proxy")}
        self.port, self.processes = self.ports["proxy"], {}
        self.bucket = "plant"
        (self.directory / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = a\nswift_hash_path_prefix = b\n[storage-policy:0]\nname = one\ndefault = yes\n")
        common = f"bind_ip = 127.0.0.1\nuser = {getpass.getuser()}\nswift_dir = {self.directory}\nworkers = 0\nlog_address = {self.directory}/nolog\nlog_level = ERROR\n"
        for kind in KINDS:
            (self.directory / f"{kind}.conf").write_text(
                f"[DEFAULT]\n{common}bind_port = {self.ports[kind]}\ndevices = {self.directory}/srv\nmount_check = false\n"
                f"[pipeline:main]\npipeline = {kind}-server\n[app:{kind}-server]\nuse = egg:swift#{kind}\n")
            builder = self.directory / f"{kind}.builder"
            for arguments in (["create", "4", "1", "1"], ["add", f"r1z1-127.0.0.1:{self.ports[kind]}/d1", "1"], ["rebalance"]):
                subprocess.run(["swift-ring-builder", builder, *arguments], check=True, capture_output=True, cwd=self.directory)
        (self.directory / "proxy.conf").write_text(
            f"[DEFAULT]\n{common}bind_port = {self.port}\n[pipeline:main]\npipeline = catch_errors cache s3api tempauth slo dlo proxy-server\n"
            "[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\nallow_account_management = true\n[filter:tempauth]\nuse = egg:swift#tempauth\n"
            f"user_{ACCESS.replace(':', '_')} = {SECRET} .admin\n[filter:s3api]\nuse = egg:swift#s3api\nmin_segment_size = 5242880\n[filter:cache]\nuse = egg:swift#memcache\nmemcache_servers = 127.0.0.1:1\n"
            "[filter:slo]\nuse = egg:swift#slo\n[filter:dlo]\nuse = egg:swift#dlo\n[filter:catch_errors]\nuse = egg:swift#catch_errors\n")
        self.start()
        self.ask("PUT", "")

    def start(self):
        for kind in (*KINDS, "proxy"):
            self.processes[kind] = self.plant.run(f"swift-{kind}", [f"swift-{kind}-server", self.directory / f"{kind}.conf", "-v"], {**os.environ, "PYTHONWARNINGS": "ignore"})
        for kind, port in self.ports.items():
            wait_until(lambda: can_connect(port), 30, what=f"the {kind} server listens")

    def kill(self):
        for process in self.processes.values():
            if process.alive():
                process.stop(signal.SIGKILL)

    def close(self):
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def ask(self, method: str, key: str, query: str = "") -> bytes:
        """One request, signed by hand: this client shares no code with the gateway."""
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        path = urllib.parse.quote(f"/{self.bucket}" + (f"/{key}" if key else ""))
        empty, host = hashlib.sha256(b"").hexdigest(), f"127.0.0.1:{self.port}"
        canonical = f"{method}\n{path}\n{query}\nhost:{host}\nx-amz-content-sha256:{empty}\nx-amz-date:{now}\n\nhost;x-amz-content-sha256;x-amz-date\n{empty}"
        scope = f"{now[:8]}/us-east-1/s3/aws4_request"
        key_of_day = b"AWS4" + SECRET.encode()
        for part in scope.split("/"):
            key_of_day = hmac.new(key_of_day, part.encode(), hashlib.sha256).digest()
        to_sign = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.new(key_of_day, to_sign.encode(), hashlib.sha256).hexdigest()
        request = urllib.request.Request(f"http://{host}{path}{'?' if query else ''}{query}", method=method, headers={
            "x-amz-date": now, "x-amz-content-sha256": empty,
            "Authorization": f"AWS4-HMAC-SHA256 Credential={ACCESS}/{scope}, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={signature}"})
        return urllib.request.urlopen(request, timeout=20).read()

    def keys(self) -> list:
        listing = ElementTree.fromstring(self.ask("GET", "", "list-type=2&max-keys=1000"))
        return [element.text for element in listing.iter() if element.tag.endswith("}Key")]

    def get(self, key: str) -> bytes:
        return self.ask("GET", key)
