"""Sends transcripts to a server and reads what it took them for.

Behind each transcript comes one more request, a GET of /sentinel with Connection: close, and the end of the client's
direction. So no server waits for more than it has been sent, and nobody has to guess for how long: who has understood
the transcript answers it and the sentinel; who has refused it answers that and closes; who takes the sentinel for a part
of the transcript says nothing more and closes.
"""

import collections
import re
import socket
from typing import NamedTuple

SENTINEL = b"GET /sentinel HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n"
AT_ONCE = 64
PATIENCE_SECONDS = 120

STATUS_LINE = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n")


class Seen(NamedTuple):
    """A request that was answered with success."""

    method: str
    target: bytes
    authority: bytes
    body: str  # size and checksum
    fields: list


class Refused(NamedTuple):
    """A request that was answered with an error."""

    status: int


class Outcome(NamedTuple):
    """All answers on a connection, in order, and how it ended."""

    answers: list
    end: str  # "closed": the last answer said so; "silent": it did not; "broken": it was no answer


def field(head, name):
    found = re.search(rb"(?i)\r\n" + name + rb": *([^\r\n]*)", head)
    return found[1] if found else None


def read_answers(received):
    answers = []
    end = "silent"
    while received:
        head, separator, rest = received.partition(b"\r\n\r\n")
        line = STATUS_LINE.match(head + b"\r\n")
        if not line or not separator:
            return Outcome(answers, "broken")
        status = int(line[1])
        received = rest
        if status < 200:
            continue
        saw = field(head, b"X-Saw")
        if saw and status < 400:
            method, target, authority, body, fields = saw.decode("latin1").split(" ")
            answers.append(Seen(method, bytes.fromhex(target[1:]), bytes.fromhex(authority[1:]), body, [each for each in fields.split(",") if each != "-"]))
        else:
            answers.append(Refused(status))
        is_closing = (field(head, b"Connection") or b"").lower() == b"close"
        end = "closed" if is_closing else "silent"
        length = field(head, b"Content-Length")
        if length and not (saw and saw.startswith(b"HEAD ")) and status != 304:
            received = received[int(length):]
        elif field(head, b"Transfer-Encoding"):
            return Outcome(answers, "broken")
        if is_closing:
            break  # whatever is behind it, no client looks at it
    return Outcome(answers, end)


def begin(port, transcript):
    connection = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
    try:
        connection.sendall(transcript + SENTINEL)
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # refused before it was sent whole
    return connection


def finish(connection):
    received = b""
    with connection:
        try:
            while piece := connection.recv(1 << 16):
                received += piece
        except ConnectionResetError:
            pass  # a refusal may end so, behind its answer
    return read_answers(received)


def outcomes(port, transcripts):
    """The outcome of each, by name. Raises TimeoutError if a connection is neither answered nor closed."""
    results = {}
    pending = collections.deque()

    def take():
        name, connection = pending.popleft()
        try:
            results[name] = finish(connection)
        except TimeoutError as error:
            raise TimeoutError(f"{name} was neither answered nor closed") from error

    for name, transcript in transcripts.items():
        if len(pending) == AT_ONCE:
            take()
        pending.append((name, begin(port, transcript)))
    while pending:
        take()
    return results
