"""The same bytes to our server, to nginx and to Node: where ours accepts what another refuses, or takes it for something
else, docs/strictness.md has to say why.

    differential.py --seen-server PROGRAM --hostile PROGRAM --node-server FILE --strictness FILE --directory DIR
                    [--show NAME...]

Of what ours refuses nothing is asked. The rows of the page's table "Where others differ" name the transcripts that they
are about; a name that no transcript needs any more is a failure, too.

A word for each difference, as in the table, about the first request that ours accepts and they do not:

    refuses     it is answered with an error
    ends        the connection was ended before it, as agreed
    waits       it is taken for a part of another, or lost
    splits      what ours takes for one request, and waits for the rest of, they take for several
    method, target, authority, body, fields     they see another one
"""

import argparse
import collections
import concurrent.futures
import fnmatch
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

sys.dont_write_bytecode = True  # the modules lie in the source tree

import corpus
from outcome import Refused, outcomes
from peers import Peers

OTHERS = ("nginx", "node")
HEADING = "## Where others differ"
MOST_SHOWN = 40

RULE = re.compile(r"RFC \d{4} §")


class Allowed(NamedTuple):
    """One of the names of a row: `who` does `how` with transcripts of this name, and `rule` allows what ours does."""

    who: str
    how: str
    rule: str
    pattern: str

    def explains(self, who, how, name):
        return self.who == who and self.how == how and fnmatch.fnmatchcase(name, as_glob(self.pattern))


def as_glob(pattern):
    """'*' stands for anything, '\\*' for itself; brackets are no classes, names have some of their own."""
    return pattern.replace("[", "[[]").replace("?", "[?]").replace("\\*", "[*]")


def read_allowed(page):
    text = Path(page).read_text(encoding="utf-8")
    section = text.partition(HEADING + "\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in section.splitlines() if line.startswith("| ")]
    # The first is the table's head.
    return [Allowed(who, how, rule, name.replace("\\|", "|"))
            for _, who, how, rule, names in rows[1:] for name in re.findall(r"`([^`]+)`", names)]


def bare_target(target):
    """Without what absolute-form has before the path: nginx does not pass it on."""
    absolute = re.match(rb"(?i)https?://[^/?]*", target)
    if not absolute:
        return target
    rest = target[absolute.end():]
    return rest if rest.startswith(b"/") else b"/" + rest


def bare_authority(authority):
    """Without a port and in lower case, as nginx has it."""
    return re.sub(rb":\d*$", b"", authority.lower())


def difference(ours, theirs, who):
    """What the two make of one request: nothing, or the first thing that is not the same."""
    if ours.method != theirs.method:
        return "method"
    if bare_target(ours.target) != bare_target(theirs.target):
        return "target"
    if ours.body != theirs.body:
        return "body"
    if who == "node":
        return "fields" if ours.fields != theirs.fields else None
    # nginx drops some, and looks at absolute-form's authority as we do.
    if not set(theirs.fields) <= set(ours.fields):
        return "fields"
    return "authority" if bare_authority(ours.authority) != bare_authority(theirs.authority) else None


def compare(ours, theirs, who):
    """What ours does that theirs does not, as the table calls it; None if there is nothing."""
    for i, answer in enumerate(ours.answers):
        if isinstance(answer, Refused):
            continue
        if i >= len(theirs.answers):
            return "waits" if theirs.end == "silent" else "ends"
        other = theirs.answers[i]
        if isinstance(other, Refused):
            return "refuses"
        if what := difference(answer, other, who):
            return what
    if ours.end != "silent" or len(theirs.answers) <= len(ours.answers):
        return None
    # Ours waits for the rest of what it has begun to accept.
    return "refuses" if isinstance(theirs.answers[len(ours.answers)], Refused) else "splits"


def printable(transcript):
    text = transcript if len(transcript) < 600 else transcript[:500] + b"<...>"
    return repr(text)[1:]


def parse_options():
    parser = argparse.ArgumentParser()
    for name in ("seen-server", "hostile", "node-server", "strictness", "directory"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--show", nargs="*", default=[], help="names of transcripts, or patterns of them: what all made of them")
    return parser.parse_args()


def read_transcripts(hostile):
    transcripts = corpus.systematic()
    lines = subprocess.run([hostile], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    for name, text in (line.split(" ") for line in lines):
        transcripts[name] = bytes.fromhex(text)
    return transcripts


def ask_all(peers, transcripts):
    with concurrent.futures.ThreadPoolExecutor() as threads:
        running = {name: threads.submit(outcomes, port, transcripts) for name, port in peers.ports.items()}
        return {name: each.result() for name, each in running.items()}


def check_basics(results):
    """That the three are compared at all."""
    for name, each in results["nginx"].items():
        if bad := [answer for answer in each.answers if isinstance(answer, Refused) and answer.status in (500, 502, 504)]:
            yield f"nginx could not pass {name} on: {bad}"
    plain = "pipelined:5"
    for name, each in results.items():
        if len(each[plain].answers) != 16 or each[plain].end != "closed":
            yield f"{name} does not understand {plain}: {each[plain]}"
    for name in OTHERS:
        refused = sum(any(isinstance(answer, Refused) for answer in each.answers) for each in results[name].values())
        if refused < len(results[name]) // 10:
            yield f"{name} refuses nearly nothing"
    if broken := [name for name, each in results["tnet"].items() if each.end == "broken"]:
        yield f"ours gave malformed answers to {broken[:MOST_SHOWN]}"


def main():
    options = parse_options()
    allowed = read_allowed(options.strictness)
    transcripts = read_transcripts(options.hostile)
    began = time.monotonic()
    with Peers(options.seen_server, options.node_server, options.directory) as peers:
        results = ask_all(peers, transcripts)
        failures = [f"ended early: {each}" for each in peers.dead()]
    failures += check_basics(results)
    print(f"{len(transcripts)} transcripts, {time.monotonic() - began:.1f} s")

    used = set()
    counts = collections.Counter()
    for name, transcript in transcripts.items():
        for who in OTHERS:
            ours, theirs = results["tnet"][name], results[who][name]
            how = compare(ours, theirs, who)
            report = f"{who} {how}: {name}\n    {printable(transcript)}\n    ours: {ours}\n    {who}: {theirs}"
            if any(fnmatch.fnmatchcase(name, as_glob(each)) for each in options.show):
                print(report)
            if how is None:
                continue
            explaining = {each for each in allowed if each.explains(who, how, name)}
            used |= explaining
            counts[who, how, bool(explaining)] += 1
            if not explaining:
                failures.append(report)
    failures += [f"no transcript needs {each.pattern} any more: {each}" for each in allowed if each not in used]
    failures += [f"{each.pattern}: the rule is no section of an RFC: {each.rule}" for each in allowed if not RULE.match(each.rule)]

    for (who, how, is_explained), count in sorted(counts.items()):
        print(f"{count:5} times {who} {how}, {'explained' if is_explained else 'NOT EXPLAINED'}")
    for each in failures[:MOST_SHOWN]:
        print(f"FAILED: {each}")
    print(f"{len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
