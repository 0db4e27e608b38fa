"""bench/run's cases for the WebSocket server."""

from measure import CONNECTIONS, Case, allocations_case, idle_case, measured, timed_case
from servers import IDLE_CONNECTIONS

SMALL_BYTES = 20
LARGE_BYTES = 16 * 1024
IN_FLIGHT = 16
WARMING_MESSAGES = 20000
COUNTED_MESSAGES = 20000  # the allocation counter
SUBSCRIBERS = 10000
PUBLISHED_BYTES = 128
PUBLISHED_MESSAGES = 50  # per round and server
WINDOW = 4  # messages under way, small enough for every subscriber's socket buffer

ECHO_SERVERS = {"raw": "raw_ws", "tnet": "ws_hello", "beast": "beast_ws"}
FANOUT_SERVERS = {"raw": "raw_fanout", "tnet": "ws_push"}


def echo(bench, size, in_flight):
    flags = {"connections": CONNECTIONS, "bytes": size, "in_flight": in_flight}

    def warm(running):
        bench.load.run("echo", running, messages=WARMING_MESSAGES, **flags)

    def measure(running):
        seconds = bench.options.seconds
        return measured(running, "messages", lambda: bench.load.run("echo", running, seconds=seconds, **flags))

    timed_case(
        bench,
        f"WebSocket echo, {size} bytes, {in_flight} in flight: {CONNECTIONS} connections, {bench.options.seconds} s",
        "messages",
        warm,
        measure,
    )


def fanout(bench):
    flags = {
        "subscribers": SUBSCRIBERS,
        "bytes": PUBLISHED_BYTES,
        "messages": PUBLISHED_MESSAGES,
        "window": WINDOW,
        "publish_path": "/publish",
        "subscribe_path": "/subscribe",
    }

    def measure(running):
        # Only what lies between go() and its result: neither the handshakes nor the ends of the connections.
        with bench.load.held("fanout", running, **flags) as process:
            return measured(running, "deliveries", lambda: bench.load.go("fanout", process))

    timed_case(
        bench,
        f"WebSocket fan-out: {PUBLISHED_MESSAGES} messages of {PUBLISHED_BYTES} bytes to {SUBSCRIBERS} subscribers,"
        f" {WINDOW} in flight",
        "deliveries",
        lambda running: None,  # the load sends one message before it says that it is ready
        measure,
    )


def idle(bench):
    idle_case(bench, f"memory per idle WebSocket connection: {IDLE_CONNECTIONS} of them, one message each")


def allocations(bench):
    for in_flight in (1, IN_FLIGHT):
        allocations_case(
            bench,
            f"heap allocations per echoed message of {SMALL_BYTES} bytes, {in_flight} in flight",
            "messages",
            COUNTED_MESSAGES,
            lambda running, count: bench.load.run(
                "echo", running, connections=CONNECTIONS, bytes=SMALL_BYTES, in_flight=in_flight, messages=count
            ),
        )


def case(run, servers=None, **settings):
    return Case(run, servers or ECHO_SERVERS, "ws_load", **settings)


CASES = {
    "ws-small": case(lambda bench: echo(bench, SMALL_BYTES, 1)),
    "ws-pipelined": case(lambda bench: echo(bench, SMALL_BYTES, IN_FLIGHT)),
    "ws-large": case(lambda bench: echo(bench, LARGE_BYTES, IN_FLIGHT)),
    "ws-idle": case(idle, has_many_connections=True),
    "ws-fanout": case(fanout, FANOUT_SERVERS, has_many_connections=True),
    "ws-allocations": case(allocations),
}
