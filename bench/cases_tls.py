"""The cases of bench/run over TLS: how long HTTPS takes, beside nginx with the same certificate and cipher."""

import cases_http
from measure import CONNECTIONS, Case, idle_case, measured, progress, say, table, timed_case, wrk
from servers import IDLE_CONNECTIONS

SERVERS = {"tnet": "tls_hello", "tnet-compact": "tls_hello --compact", "nginx": cases_http.SERVERS["nginx"]}
WARMING_REQUESTS = 2000
HANDSHAKES = 4000
COUNTED_REQUESTS = 2000


def timed(bench, title, units, load):
    timed_case(
        bench,
        title,
        units,
        lambda running: bench.load.run("keepalive", running, requests=WARMING_REQUESTS),
        lambda running: measured(running, "requests", lambda: load(running)),
        base="nginx",
    )


def kept(bench):
    seconds = bench.options.seconds
    timed(bench, f"HTTPS, keep-alive, 13 bytes: wrk, {CONNECTIONS} connections, {seconds} s", "requests",
          lambda running: wrk(f"https://127.0.0.1:{running.port}/", seconds))


def kept_16k(bench):
    seconds = bench.options.seconds
    timed(bench, f"HTTPS, keep-alive, 16 KiB: wrk, {CONNECTIONS} connections, {seconds} s", "requests",
          lambda running: wrk(f"https://127.0.0.1:{running.port}/16k", seconds))


def handshake(bench):
    timed(bench, f"TLS 1.3: {HANDSHAKES} times connect, full handshake, one request, close", "handshakes",
          lambda running: bench.load.run("handshakes", running, requests=HANDSHAKES))


def resumed(bench):
    timed(bench, f"TLS 1.3: {HANDSHAKES} times connect, resumed handshake, one request, close", "handshakes",
          lambda running: bench.load.run("handshakes", running, requests=HANDSHAKES, resume=""))


def idle(bench):
    idle_case(bench, f"memory per idle TLS 1.3 connection: {IDLE_CONNECTIONS} of them, one request each")


def instructions(bench):
    say(f"user-space instructions per HTTPS request: callgrind, {2 * COUNTED_REQUESTS} requests minus"
        f" {COUNTED_REQUESTS}, 1 connection")
    rows = [["server", "instructions"]]
    for name in bench.names:
        progress(f"instructions: {name}")
        few, many = (
            cases_http.callgrind_total(
                bench.server(name), lambda running, count=count: bench.load.run("keepalive", running, requests=count)
            )
            for count in (COUNTED_REQUESTS, 2 * COUNTED_REQUESTS)
        )
        rows.append([name, f"{(many - few) / COUNTED_REQUESTS:.0f}"])
    progress("")
    table(rows)
    say()


def case(run, needs=(), **settings):
    needs = {"openssl": "openssl"} | {command: command for command in needs}
    return Case(run, SERVERS, "tls_load", needs, has_tls=True, **settings)


CASES = {
    "tls": case(kept, needs=["wrk"]),
    "tls-16k": case(kept_16k, needs=["wrk"]),
    "tls-handshake": case(handshake),
    "tls-resumed": case(resumed),
    "tls-instructions": case(instructions, needs=["valgrind"]),
    "tls-idle": case(idle, has_many_connections=True),
}
