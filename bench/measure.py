"""What every case of bench/run is made of: loads, counters, and the tables. bench/README.md explains the numbers."""

import contextlib
import dataclasses
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

from servers import IDLE_CONNECTIONS, SERVER_CORE, BenchError, BuiltServer, Nginx, pinned, started

LOAD_CORE = "1"
CONNECTIONS = 64
DISTURBED = 0.05  # of the time spent waiting for the core, from which on a table says so


def say(text=""):
    print(text, flush=True)


def progress(text):
    """On the terminal only: the table stays clean when it goes to a file."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K" + text)
        sys.stderr.flush()


# --- loads -------------------------------------------------------------------------------------------------


def key_values(text):
    return {key: float(value) for key, value in re.findall(r"^(\w+)=([\d.]+)$", text, re.MULTILINE)}


class Load:
    """One of bench/'s loads, on its core; it checks what it gets and prints key=value lines."""

    def __init__(self, binary):
        self.binary = binary

    def run(self, mode, running, **flags):
        """To its end; its lines as a dict of floats."""
        result = subprocess.run(self.command(mode, running, flags), stdout=subprocess.PIPE, text=True, check=False)
        if result.returncode != 0:
            raise BenchError(f"{self.binary.name} {mode} ended with status {result.returncode}")
        return key_values(result.stdout)

    @contextlib.contextmanager
    def held(self, mode, running, **flags):
        """Its connections, of which each has had one answer, open while the block runs."""
        command = self.command(mode, running, flags)
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            self.read_to(process, "ready=1", mode)
            yield process
        finally:
            process.stdin.close()
            process.stdout.read()
            status = process.wait()
        if status != 0:
            raise BenchError(f"{self.binary.name} {mode} ended with status {status}")

    def go(self, mode, process):
        """What a held load does when it is told to; its lines until done=1 as a dict of floats."""
        process.stdin.write("\n")
        process.stdin.flush()
        return key_values(self.read_to(process, "done=1", mode))

    def read_to(self, process, last, mode):
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line == last + "\n":
                return "".join(lines)
        raise BenchError(f"{self.binary.name} {mode} ended before {last}")

    def command(self, mode, running, flags):
        texts = [text for key, value in flags.items() for text in ("--" + key.replace("_", "-"), value) if text != ""]
        return pinned(LOAD_CORE, self.binary, mode, "--port", running.port, *texts)


def wrk(url, seconds, script=None, argument=None):
    """wrk's number of answers and its rate. `script` is given `argument`."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s"]
    command += [url] if script is None else ["-s", script, url, "--", argument]
    result = subprocess.run(pinned(LOAD_CORE, *command), stdout=subprocess.PIPE, text=True, check=False)
    done = re.search(r"(\d+) requests in", result.stdout)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", result.stdout)
    if result.returncode != 0 or not done or not rate:
        raise BenchError("wrk failed:\n" + result.stdout)
    if re.search(r"Non-2xx|Socket errors", result.stdout):
        raise BenchError("wrk got wrong answers:\n" + result.stdout)
    return {"requests": int(done[1]), "rate": float(rate[1])}


# --- counters ----------------------------------------------------------------------------------------------


class Cpu:
    """What a process has used so far, all its threads together."""

    def __init__(self, pid):
        self.used_ns = self.waited_ns = 0
        for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            used, waited, _ = map(int, path.read_text().split())
            self.used_ns += used
            self.waited_ns += waited
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        self.user_ticks, self.kernel_ticks = int(fields[11]), int(fields[12])


class Sample:
    """One server in one round."""

    def __init__(self, count, result, before, after, seconds):
        self.rate = result["rate"]
        self.latency = (result["p50_us"], result["p99_us"]) if "p99_us" in result else None
        self.cpu_ns = (after.used_ns - before.used_ns) / count
        user = after.user_ticks - before.user_ticks
        kernel = after.kernel_ticks - before.kernel_ticks
        self.user_share = user / max(user + kernel, 1)
        self.waited_share = (after.waited_ns - before.waited_ns) / 1e9 / seconds


def measured(running, counted, load):
    """What the server used for each of what `load` counts: result[`counted`], at result["rate"] a second."""
    before, begin = Cpu(running.pid), time.monotonic()
    result = load()
    return Sample(result[counted], result, before, Cpu(running.pid), time.monotonic() - begin)


def memory_bytes(pid):
    """The anonymous part of the proportional set size: heap, stacks and data, without the libraries' pages,
    whose share falls when any other process maps them too."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss_Anon:"):
            return int(line.split()[1]) * 1024
    raise BenchError(f"no Pss_Anon in /proc/{pid}/smaps_rollup")


# --- cases -------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Case:
    """One entry of --cases."""

    run: object  # called with a Bench
    servers: dict  # who takes part: the name in --servers, and the program with its flags; nginx is not ours
    load: str
    needs: dict = dataclasses.field(default_factory=dict)  # commands and their Debian packages
    has_many_connections: bool = False
    has_tls: bool = False


class Bench:
    """A case under way: who takes part, with what load, how often."""

    def __init__(self, case, options, bin_dir):
        self.case = case
        self.options = options
        self.bin_dir = bin_dir
        self.load = Load(bin_dir / case.load)
        self.names = [name for name in options.servers if name in case.servers]

    def server(self, name):
        if name == "nginx":
            return Nginx(self.case.servers[name], self.case.has_tls)
        program, *flags = self.case.servers[name].split()
        return BuiltServer(name, self.bin_dir / program, self.case.has_tls, flags)

    def absent(self):
        """The programs of ours that are not there."""
        ours = [self.case.servers[name].split()[0] for name in self.names if name != "nginx"]
        binaries = [self.load.binary] + [self.bin_dir / program for program in ours]
        return [str(binary) for binary in binaries if not binary.exists()]

    def rounds(self, title):
        """Every server once per round, in an order that moves on by one."""
        for number in range(self.options.rounds):
            turn = number % len(self.names)
            for name in self.names[turn:] + self.names[:turn]:
                progress(f"{title}: round {number + 1} of {self.options.rounds}, {name}")
                yield name
        progress("")


def table(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        say("  " + "   ".join(cells).rstrip())


def median(values):
    return statistics.median(list(values))


def timed_case(bench, title, units, warm, measure, base="raw"):
    """`warm` and `measure` take a running server; `measure` returns a Sample of `units`, as "requests". The ratios
    are to the server called `base`."""
    samples = {name: [] for name in bench.names}
    for name in bench.rounds(title):
        with started(bench.server(name)) as running:
            warm(running)  # and its answers are right
            samples[name].append(measure(running))
    say(f"{title}, {bench.options.rounds} rounds")
    unit = {"deliveries": "delivery"}.get(units, units.removesuffix("s"))
    beside = {"raw": "RAW"}.get(base, base)
    has_latency = all(one.latency for own in samples.values() for one in own)
    rows = [["server", f"{units}/s", f"CPU ns/{unit}", "in user", "waited"]]
    rows[0] += [f"CPU / {beside}", "(min to max)", f"rate / {beside}"]
    rows[0] += ["p50 µs", "p99 µs"] if has_latency else []
    for name, own in samples.items():
        ratios, rates = ["-", "-"], "-"
        if others := samples.get(base):
            each = [mine.cpu_ns / theirs.cpu_ns for mine, theirs in zip(own, others)]
            ratios = [f"{median(each):.2f}", f"({min(each):.2f} to {max(each):.2f})"]
            rates = f"{median(mine.rate / theirs.rate for mine, theirs in zip(own, others)):.2f}"
        rows.append(
            [
                name,
                f"{median(one.rate for one in own):.0f}",
                f"{median(one.cpu_ns for one in own):.0f}",
                f"{median(one.user_share for one in own):.0%}",
                f"{median(one.waited_share for one in own):.0%}",
                *ratios,
                rates,
            ]
        )
        if has_latency:
            rows[-1] += [f"{median(one.latency[i] for one in own):.0f}" for i in (0, 1)]
    table(rows)
    waited = max(median(one.waited_share for one in own) for own in samples.values())
    if waited > DISTURBED:
        say(f"  disturbed: something else kept core {SERVER_CORE} for up to {waited:.0%} of the time")
    say()


def idle_case(bench, title):
    # The base is the same server with 64 such connections open, which stay open: by then it has touched its
    # code, loaded what it loads lazily and grown its per-loop buffers. What comes on top is the connections.
    results = {name: [] for name in bench.names}
    for name in bench.rounds(title):
        with started(bench.server(name)) as running, bench.load.held("idle", running, connections=CONNECTIONS):
            before = memory_bytes(running.pid)
            with bench.load.held("idle", running, connections=IDLE_CONNECTIONS):
                results[name].append((memory_bytes(running.pid) - before) / IDLE_CONNECTIONS)
    say(f"{title}, {bench.options.rounds} rounds")
    rows = [["server", "bytes/connection", "(min to max)"]]
    for name, own in results.items():
        rows.append([name, f"{median(own):.0f}", f"({min(own):.0f} to {max(own):.0f})"])
    table(rows)
    say()


def allocations_case(bench, title, units, count, load):
    """tnet alone: it counts its own and prints `allocations=N UNITS=M` when it ends. `load` takes a running
    server and how many of `units` to send."""
    if "tnet" not in bench.names:
        say(f"{title}: only tnet counts its own, and it is not among --servers")
        return
    counts = []
    for number in (count, 2 * count):
        progress(f"{title}: {number} {units}")
        with started(bench.server("tnet")) as running:
            load(running, number)
        match = re.search(rf"allocations=(\d+) {units}=(\d+)", running.output)
        if not match:
            raise BenchError(f"tnet printed no `allocations=N {units}=M`")
        if int(match[2]) != number:
            raise BenchError(f"tnet counted {match[2]} {units}, it was sent {number}")
        counts.append(int(match[1]))
    progress("")
    more = counts[1] - counts[0]
    say(f"{title}: the server's own counter")
    say(f"  tnet   {more / count:g}   ({more} for the second {count} {units},"
        f" {counts[0]} for the start, {CONNECTIONS} connections and the first {count})")
    say()
