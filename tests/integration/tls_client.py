"""Python's ssl and http.client as a client of examples/http_server, which asks for client certificates.

    tls_client.py https://HOST:PORT DIRECTORY       # of the certificates that tls.sh makes
"""
import hashlib
import http.client
import json
import os
import socket
import ssl
import sys
from urllib.parse import urlsplit

URL, PKI = urlsplit(sys.argv[1]), sys.argv[2]
DEADLINE_S = 30


def context(version=None, ca="ca.pem"):
    made = ssl.create_default_context(cafile=f"{PKI}/{ca}")
    made.set_alpn_protocols(["http/1.1"])
    if version is not None:
        made.minimum_version = made.maximum_version = version
    return made


def connect(tls):
    return http.client.HTTPSConnection(URL.hostname, URL.port, timeout=DEADLINE_S, context=tls)


def ask(connection, path, method="GET", body=None):
    connection.request(method, path, body)
    response = connection.getresponse()
    content = response.read()
    assert response.status == 200, response.status
    return content


def refused(error, act):
    try:
        act()
    except error as caught:
        return caught
    raise AssertionError("it was not refused")


def keep_alive(version):
    connection = connect(context(version))
    for i in range(200):
        assert ask(connection, "/text") == b"Hello, World!"
    shown = json.loads(ask(connection, "/tls"))
    assert shown["version"] == version.name.replace("_", "."), shown
    assert shown["protocol"] == "http/1.1", shown
    assert connection.sock.cipher()[0] == shown["cipher"], shown
    connection.close()


def bodies_of_every_size(version):
    connection = connect(context(version))
    for size in (1, 16383, 16384, 16385, 65536, 300_000, 5_000_000):
        body = os.urandom(size)
        echo = ask(connection, "/echo", "POST", body)
        assert hashlib.sha256(echo).digest() == hashlib.sha256(body).digest(), size
    connection.close()


def resumption(version):
    tls = context(version)
    session = None
    for i in range(5):
        connection = connect(tls)
        connection.sock = tls.wrap_socket(
            socket.create_connection((URL.hostname, URL.port), DEADLINE_S),
            server_hostname=URL.hostname, session=session,
        )
        shown = json.loads(ask(connection, "/tls"))
        assert shown["isResumed"] == connection.sock.session_reused == (i > 0), (i, shown)
        session = connection.sock.session
        connection.close()


def a_clean_end(version):
    connection = connect(context(version))
    connection.connect()
    connection.sock.suppress_ragged_eofs = False  # an end without close_notify is an error
    connection.sock.sendall(b"GET /text HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    got = b""
    while piece := connection.sock.recv(4096):
        got += piece
    assert got.endswith(b"Hello, World!"), got
    connection.sock.unwrap()  # ours is answered, or was not needed
    connection.close()


def client_certificate(version):
    tls = context(version)
    tls.load_cert_chain(f"{PKI}/client.pem", f"{PKI}/client.key")
    shown = json.loads(ask(connect(tls), "/tls"))
    assert shown["peer"]["subject"] == "O=Example,CN=alice", shown
    assert "peer" not in json.loads(ask(connect(context(version)), "/tls"))
    wrong = context(version)
    wrong.load_cert_chain(f"{PKI}/wrong.pem", f"{PKI}/wrong.key")
    refused((ssl.SSLError, ConnectionError), lambda: ask(connect(wrong), "/tls"))


def an_authority_that_is_not_trusted(version):
    error = refused(ssl.SSLCertVerificationError, lambda: ask(connect(context(version, "stranger.pem")), "/text"))
    assert "unable to get local issuer certificate" in str(error) or "self-signed" in str(error), error


failures = 0
for check in (keep_alive, bodies_of_every_size, resumption, a_clean_end, client_certificate,
              an_authority_that_is_not_trusted):
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        name = f"Python's ssl, {version.name}: {check.__name__.replace('_', ' ')}"
        try:
            check(version)
            print(f"ok: {name}")
        except Exception as error:
            failures += 1
            print(f"FAILED: {name}: {type(error).__name__}: {error}")
sys.exit(1 if failures else 0)
