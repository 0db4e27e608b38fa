"""The servers bench/run measures: how each is started on the server's core, and how it is stopped."""

import atexit
import contextlib
import functools
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from pathlib import Path

SERVER_CORE = "0"
IDLE_CONNECTIONS = 10000  # what a server must be able to hold
PATIENCE_SECONDS = 60

NGINX_CONFIG = """
worker_processes 1;
daemon off;
{master}
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections {worker_connections}; }}
http {{
    access_log off;
    default_type text/plain;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port}{tls};
        set $text "{text}";
        location / {{ return 200 "Hello, World!"; }}
        location /16k {{ return 200 "$text$text$text$text$text$text$text$text$text$text$text$text$text$text$text$text"; }}
    }}
}}
"""


NGINX_TLS = """ ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.2 TLSv1.3"""


class BenchError(Exception):
    """Something that makes the measurement impossible; the text says what."""


def pinned(core, *command):
    return ["taskset", "-c", core, *map(str, command)]


@functools.cache
def certificate():
    """A self-signed one with a P-256 key; the paths of both, in a directory that goes when the program ends."""
    directory = tempfile.mkdtemp(prefix="tnet-bench-tls-")
    atexit.register(shutil.rmtree, directory)
    chain, key = f"{directory}/cert.pem", f"{directory}/key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
               "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", chain]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return chain, key


class Running:
    """A started server: the process that serves, its port, and what it said."""

    def __init__(self, process, pid, port):
        self.process = process
        self.pid = pid
        self.port = port
        self.output = ""

    def stop(self):
        """SIGTERM, and waits; what it printed meanwhile is in output."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            self.process.send_signal(signal.SIGTERM)
            # Again after a while: nginx without its master can miss the one that comes right before epoll_wait.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.output, _ = self.process.communicate(timeout=3)
                break
        else:
            self.process.kill()
            self.process.communicate()
            raise BenchError(f"process {self.pid} did not stop on SIGTERM")
        if self.process.returncode != 0:
            raise BenchError(f"{' '.join(self.process.args)} ended with status {self.process.returncode}")


class BuiltServer:
    """One of bench/'s own servers: takes --port 0 and prints `listening on http://ADDRESS:PORT`, or https."""

    def __init__(self, name, binary, has_tls=False, flags=()):
        self.name = name
        self.binary = binary
        self.has_tls = has_tls
        self.flags = flags

    def start(self, _directory, wrapper=()):
        chain, key = certificate() if self.has_tls else (None, None)
        tls = ["--cert", chain, "--key", key] if self.has_tls else []
        command = pinned(SERVER_CORE, *wrapper, self.binary, "--port", "0", *tls, *self.flags)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for line in process.stdout:
            if match := re.match(r"listening on https?://.*:(\d+)$", line):
                return Running(process, process.pid, int(match[1]))
        raise BenchError(f"{self.name} ended before it was listening, status {process.wait()}")


class Nginx:
    """Debian's nginx with a configuration of its own in a temporary directory; a system nginx stays alone."""

    name = "nginx"

    def __init__(self, binary, has_tls=False):
        self.binary = binary
        self.has_tls = has_tls

    def start(self, directory, wrapper=()):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        # Under callgrind the one process is the worker.
        master = "master_process off;" if wrapper else ""
        config = Path(directory) / "nginx.conf"
        config.write_text(
            NGINX_CONFIG.format(
                directory=directory, port=port, master=master, worker_connections=IDLE_CONNECTIONS + 1000,
                tls=self.tls(), text="x" * 1024
            )
        )
        command = [*wrapper, self.binary, "-p", directory, "-c", config, "-e", f"{directory}/error.log"]
        process = subprocess.Popen(pinned(SERVER_CORE, *command), stdout=subprocess.PIPE, text=True)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(OSError), self.connected(port) as asking:
                asking.sendall(b"GET / HTTP/1.1\r\nHost: ready\r\nConnection: close\r\n\r\n")
                if asking.recv(1):
                    return Running(process, process.pid if wrapper else self.worker_of(process.pid), port)
            time.sleep(0.02)
        process.terminate()
        process.wait()
        raise BenchError("nginx does not answer: " + (Path(directory) / "error.log").read_text())

    def tls(self):
        if not self.has_tls:
            return ""
        chain, key = certificate()
        return NGINX_TLS.format(certificate=chain, key=key)

    def connected(self, port):
        plain = socket.create_connection(("127.0.0.1", port))
        if not self.has_tls:
            return plain
        context = ssl.create_default_context(cafile=certificate()[0])
        return context.wrap_socket(plain, server_hostname="localhost")

    @staticmethod
    def worker_of(master):
        children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        if len(children) != 1:
            raise BenchError(f"nginx has {len(children)} workers, not 1")
        return int(children[0])


@contextlib.contextmanager
def started(server, wrapper=()):
    with tempfile.TemporaryDirectory(prefix="tnet-bench-") as directory:
        os.chmod(directory, 0o755)  # nginx's worker is another user when its master is root
        running = server.start(directory, wrapper)
        try:
            yield running
        except BaseException:
            running.process.kill() if wrapper else running.process.terminate()
            running.process.wait()
            raise
        running.stop()
