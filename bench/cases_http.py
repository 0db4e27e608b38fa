"""bench/run's cases for the HTTP server."""

import re
import shutil
import tempfile
import time
from pathlib import Path

from measure import (
    CONNECTIONS,
    Case,
    allocations_case,
    idle_case,
    measured,
    progress,
    say,
    table,
    timed_case,
    wrk,
)
from servers import IDLE_CONNECTIONS, BenchError, started

PIPELINE_DEPTH = 16
CLOSE_CONNECTIONS = 10000  # per round and server: few enough that TIME_WAIT sockets do not pile up
COUNTED_REQUESTS = 20000  # callgrind and the allocation counter
WARMING_REQUESTS = 20000
TIME_WAIT_SECONDS = 180  # the kernel keeps each for 60

SERVERS = {
    "raw": "raw_http",
    "tnet": "http_hello",
    "nginx": shutil.which("nginx") or "/usr/sbin/nginx",
    "beast": "beast_http",
}


def let_time_waits_end():
    """Past tcp_max_tw_buckets the kernel drops TIME_WAIT sockets instead of making them; stay well below."""
    limit = int(Path("/proc/sys/net/ipv4/tcp_max_tw_buckets").read_text()) // 2
    deadline = time.monotonic() + TIME_WAIT_SECONDS
    while int(re.search(r"\btw (\d+)", Path("/proc/net/sockstat").read_text())[1]) > limit:
        if time.monotonic() > deadline:
            raise BenchError(f"more than {limit} TIME_WAIT sockets, and they do not end")
        progress("waiting for TIME_WAIT sockets of earlier rounds to end")
        time.sleep(1)


def timed_requests(bench, title, load, prepare=lambda: None):
    def measure(running):
        prepare()
        return measured(running, "requests", lambda: load(running))

    def warm(running):
        bench.load.run("keepalive", running, requests=WARMING_REQUESTS)

    timed_case(bench, title, "requests", warm, measure)


def unpipelined(bench):
    seconds = bench.options.seconds
    timed_requests(
        bench,
        f"keep-alive, one request at a time: wrk, {CONNECTIONS} connections, {seconds} s",
        lambda running: wrk(f"http://127.0.0.1:{running.port}/", seconds),
    )


def pipelined(bench):
    seconds = bench.options.seconds
    timed_requests(
        bench,
        f"keep-alive, pipelined {PIPELINE_DEPTH} deep: wrk, {CONNECTIONS} connections, {seconds} s",
        lambda running: wrk(
            f"http://127.0.0.1:{running.port}/",
            seconds,
            script=Path(__file__).parent / "pipeline.lua",
            argument=PIPELINE_DEPTH,
        ),
    )


def close(bench):
    timed_requests(
        bench,
        f"connect, one request, close: {CLOSE_CONNECTIONS} connections, {CONNECTIONS} at a time",
        lambda running: bench.load.run("close", running, connections=CONNECTIONS, requests=CLOSE_CONNECTIONS),
        prepare=let_time_waits_end,
    )


def idle(bench):
    idle_case(bench, f"memory per idle keep-alive connection: {IDLE_CONNECTIONS} of them, one request each")


def callgrind_total(server, load):
    """User-space instructions of the whole life of a server that has met `load`."""
    with tempfile.TemporaryDirectory(prefix="tnet-bench-") as directory:
        out = Path(directory) / "callgrind.out"
        wrapper = ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={out}"]
        with started(server, wrapper) as running:
            load(running)
        return int(re.search(r"^totals: (\d+)", out.read_text(), re.MULTILINE)[1])


def instructions(bench):
    say(f"user-space instructions per request: callgrind, {COUNTED_REQUESTS} requests minus the empty run")
    rows = [["server", f"{CONNECTIONS} connections", "1 connection"]]
    for name in bench.names:
        server = bench.server(name)
        progress(f"instructions: {name}")
        empty = callgrind_total(server, lambda running: None)
        cells = []
        for connections in (CONNECTIONS, 1):
            full = callgrind_total(
                server,
                lambda running: bench.load.run(
                    "keepalive", running, connections=connections, requests=COUNTED_REQUESTS
                ),
            )
            cells.append(f"{(full - empty) / COUNTED_REQUESTS:.0f}")
        rows.append([name, *cells])
    progress("")
    table(rows)
    say()


def allocations(bench):
    allocations_case(
        bench,
        "heap allocations per keep-alive GET",
        "requests",
        COUNTED_REQUESTS,
        lambda running, count: bench.load.run("keepalive", running, connections=CONNECTIONS, requests=count),
    )


def case(run, needs=(), **settings):
    return Case(run, SERVERS, "http_load", {command: command for command in needs}, **settings)


CASES = {
    "unpipelined": case(unpipelined, needs=["wrk"]),
    "pipelined": case(pipelined, needs=["wrk"]),
    "close": case(close),
    "idle": case(idle, has_many_connections=True),
    "instructions": case(instructions, needs=["valgrind"]),
    "allocations": case(allocations),
}
