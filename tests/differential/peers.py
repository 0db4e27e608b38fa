"""The servers whose understanding is compared: ours, nginx in front of a backend that takes anything, and Node's."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import threading
import time
import zlib
from pathlib import Path

PATIENCE_SECONDS = 120
# What a proxy takes, replaces or adds; no server tells of it, so that all can be compared.
OF_ONE_HOP = {b"connection", b"content-length", b"expect", b"host", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade",
              b"x-authority"}

# Its limits are not below ours; what it drops silently (names with '_') it drops as installed.
NGINX_CONFIG = """
{user}
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    keepalive_requests 100000;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{backend};
            proxy_buffer_size 64k;
            proxy_buffers 8 64k;
            proxy_busy_buffers_size 128k;
            proxy_ignore_client_abort on;
            proxy_set_header X-Authority $host;
        }}
    }}
}}
"""


def described(head, body):
    """What seen_server.cc tells of a request, from what nginx made of it."""
    request_line, *lines = head.split(b"\r\n")
    method, rest = request_line.split(b" ", 1)
    target = rest.rsplit(b" ", 1)[0]
    authority, fields = b"", []
    for line in lines:
        name, value = line.split(b":", 1)
        name, value = name.lower(), value.strip(b" \t")
        if name == b"x-authority":
            authority = value
        if name not in OF_ONE_HOP:
            fields.append(f"{zlib.crc32(name + b':' + value):x}")
    return " ".join([method.decode("latin1"), "x" + target.hex(), "x" + authority.hex(), f"{len(body)}:{zlib.crc32(body):x}",
                     ",".join(fields) or "-"])


def serve_backend():
    """Takes what nginx sends, which is a head and Content-Length, and says what it was; in a thread of its own. Returns
    its port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)

    def serve():
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                received = b""
                while b"\r\n\r\n" not in received:
                    piece = connection.recv(1 << 17)
                    if not piece:
                        break
                    received += piece
                head, _, body = received.partition(b"\r\n\r\n")
                if length := re.search(rb"\r\nContent-Length: (\d+)", head):
                    while len(body) < int(length[1]):
                        piece = connection.recv(1 << 17)
                        if not piece:
                            break
                        body += piece
                answer = "HTTP/1.0 200 OK\r\nContent-Length: 0\r\nX-Saw: " + described(head, body) + "\r\n\r\n"
                connection.sendall(answer.encode("latin1"))

    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Peers:
    """Started on entering; stopped, and looked at whether they had lived until then, on leaving."""

    def __init__(self, seen_server, node_server, directory):
        self._commands = {"tnet": [seen_server], "node": ["node", node_server]}
        self._directory = Path(directory)
        self._processes = {}
        self.ports = {}

    def __enter__(self):
        try:
            self._start_all()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start_all(self):
        for name, command in self._commands.items():
            self._start(name, command, stdout=subprocess.PIPE)
        self._start_nginx()
        for name in self._commands:
            line = self._processes[name].stdout.readline().decode()
            if not line.startswith("listening on "):
                raise RuntimeError(f"{name} did not say where it listens: {line!r}, {self.log(name)}")
            self.ports[name] = int(line.rsplit(":", 1)[1])

    def __exit__(self, *_):
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def log(self, name):
        return (self._directory / f"{name}.log").read_text(errors="replace")[-2000:]

    def dead(self):
        """Those that have ended, and what they said."""
        return [f"{name}: {self.log(name)}" for name, process in self._processes.items() if process.poll() is not None]

    def _start(self, name, command, **options):
        with open(self._directory / f"{name}.log", "wb") as log:
            self._processes[name] = subprocess.Popen(command, stderr=log, **options)

    def _start_nginx(self):
        backend = serve_backend()
        nginx = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
        # As root it gives its directories to somebody else, which a sandbox does not allow.
        user = "user root root;" if os.geteuid() == 0 else ""
        # It does not choose a free port itself; another may have taken the one that was.
        for _ in range(5):
            port = free_port()
            config = self._directory / "nginx.conf"
            config.write_text(NGINX_CONFIG.format(directory=self._directory, port=port, backend=backend, user=user))
            self._start("nginx", [nginx, "-e", str(self._directory / "error.log"), "-p", str(self._directory), "-c", str(config)])
            if self._listens("nginx", port):
                self.ports["nginx"] = port
                return
        raise RuntimeError(f"nginx does not start: {self.log('nginx')}")

    def _listens(self, name, port):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline and self._processes[name].poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return True
            threading.Event().wait(0.02)
        return False
