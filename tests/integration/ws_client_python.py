"""Python's websockets as a client of examples/ws_echo.

    ws_client_python.py ws[s]://HOST:PORT MODE LIMIT PID       # of a running ws_echo: its --deflate, --max-message
"""
import asyncio
import os
import random
import signal
import sys
import traceback

import websockets
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.version import version

URL, MODE, LIMIT, PID = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
DEADLINE_S = 30
SIZES = [0, 1, 125, 126, 127, 65535, 65536, 1 << 20]

# What is offered; None: no compression.
OFFERS = {
    "no compression": None,
    "compression": {"client_max_window_bits": True},
    "no context takeover": {"server_no_context_takeover": True, "client_no_context_takeover": True},
    "small windows": {"server_max_window_bits": 9, "client_max_window_bits": 10},
}


class CountingProtocol(websockets.WebSocketClientProtocol):
    """Counts what comes over the wire."""

    received = 0

    def data_received(self, data):
        self.received += len(data)
        super().data_received(data)


def connect(offer, path="/"):
    extensions = None if offer is None else [ClientPerMessageDeflateFactory(**offer)]
    return websockets.connect(
        URL + path, compression=None, extensions=extensions, max_size=None, close_timeout=3,
        create_protocol=CountingProtocol,
    )


def expect_equal(what, wanted, got):
    if wanted != got:
        shown = [str(value) if len(str(value)) < 100 else f"{len(value)} of {type(value)}" for value in (wanted, got)]
        raise AssertionError(f"{what}: wanted «{shown[0]}», got «{shown[1]}»")


def text_of(size):
    """That many bytes of UTF-8, with characters of 1 to 4 bytes."""
    return "aä€😀" * (size // 10) + "x" * (size % 10)


async def echo(ws, message):
    await ws.send(message)
    expect_equal("the echo", message, await ws.recv())


async def answer(offer):
    async with connect(offer) as ws:
        names = [extension.name for extension in ws.extensions]
        deflates = MODE != "off" and offer is not None
        expect_equal("the extensions", ["permessage-deflate"] if deflates else [], names)
        field = ws.response_headers.get("Sec-WebSocket-Extensions", "")
        for name, value in (offer or {}).items():
            wanted = name if value is True else f"{name}={value}"
            expect_equal(f"{wanted} in «{field}»", deflates, wanted in field)


async def text_of_every_size(offer):
    async with connect(offer) as ws:
        for size in SIZES:
            await echo(ws, text_of(size))


async def binary_of_every_size(offer):
    async with connect(offer) as ws:
        for size in SIZES:
            await echo(ws, random.Random(size).randbytes(size))


async def many_small_messages_in_order(offer):
    async with connect(offer) as ws:
        count = 5000

        async def send():
            for i in range(count):
                await ws.send(f"message {i}")

        sending = asyncio.create_task(send())
        try:
            for i in range(count):
                expect_equal("the message", f"message {i}", await ws.recv())
            await sending
        finally:
            sending.cancel()


async def fragments(offer):
    async with connect(offer) as ws:
        messages = (
            ["", "aä", "", "€😀", ""],
            ["x" * 70000, "€" * 70000, "y"],
            [b"\0", b"", b"\xff" * 200000],
        )
        for pieces in messages:
            await ws.send(pieces)
            expect_equal("the echo", pieces[0][:0].join(pieces), await ws.recv())


async def pings(offer):
    async with connect(offer) as ws:
        for payload in (b"", b"p" * 125):
            await asyncio.wait_for(await ws.ping(payload), DEADLINE_S)
        await ws.pong(b"nobody asked")
        await echo(ws, "still there")


async def two_connections_at_once(offer):
    async with connect(offer) as first, connect(offer, "/ws") as second:
        peers = (first, second)
        for i in range(200):
            for who, ws in enumerate(peers):
                await ws.send(f"{who}: {i}")
        for i in range(200):
            for who, ws in enumerate(peers):
                expect_equal("the message", f"{who}: {i}", await ws.recv())


async def a_compressible_megabyte(offer):
    async with connect(offer) as ws:
        text = ("All work and no play makes Jack a dull boy. " * 24000)[: 1 << 20]
        before = ws.received
        await echo(ws, text)
        few = ws.received - before < len(text) // 16
        expect_equal(f"few bytes ({ws.received - before})", MODE != "off" and offer is not None, few)


async def closes(offer):
    for code, reason in ((1000, "bye"), (3000, "€" * 41), (4999, "")):
        ws = await connect(offer)
        await ws.close(code, reason)
        expect_equal("the close code", code, ws.close_code)


async def limit(offer):
    async with connect(offer) as ws:
        await echo(ws, bytes(LIMIT))
    for message in (bytes(LIMIT + 1), random.Random(1).randbytes(LIMIT + 1), [bytes(LIMIT), b"x"]):
        async with connect(offer) as ws:
            try:
                await ws.send(message)
                await ws.recv()
                raise AssertionError("it was echoed")
            except websockets.ConnectionClosed:
                await ws.wait_closed()
            expect_equal("the close code", 1009, ws.close_code)


async def a_path_without_a_websocket(offer):
    try:
        async with connect(offer, "/nothing"):
            raise AssertionError("it was opened")
    except websockets.InvalidStatusCode as error:
        expect_equal("the status", 404, error.status_code)


async def drain(offer):
    async with connect(offer) as first, connect(offer, "/ws") as second:
        for ws in (first, second):
            await echo(ws, "before")
        os.kill(PID, signal.SIGTERM)
        for ws in (first, second):
            await ws.wait_closed()
            expect_equal("the close code", 1001, ws.close_code)
            expect_equal("the reason", "the server is shutting down", ws.close_reason)


CHECKS = [
    answer,
    text_of_every_size,
    binary_of_every_size,
    many_small_messages_in_order,
    fragments,
    pings,
    two_connections_at_once,
    a_compressible_megabyte,
    closes,
    limit,
    a_path_without_a_websocket,
]


async def passes(check, title):
    name = f"websockets {version} with {title}, --deflate {MODE}: {check.__name__.replace('_', ' ')}"
    try:
        await asyncio.wait_for(check(OFFERS[title]), DEADLINE_S)
    except Exception as error:  # whatever it is, it is what the check has found
        print(f"FAILED: {name}: {str(error) or type(error).__name__}", flush=True)
        if not isinstance(error, AssertionError):
            traceback.print_exc(file=sys.stdout)
        return False
    print(f"ok: {name}", flush=True)
    return True


async def main():
    results = [await passes(check, title) for title in OFFERS for check in CHECKS]
    results.append(await passes(drain, "compression"))
    return 0 if all(results) else 1


sys.exit(asyncio.run(main()))
