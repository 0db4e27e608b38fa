"""Writes C++ from the snippets of documentation.

    snippets.py program FILE.md     the first one, a program, as it stands
    snippets.py all FILE.md...      all of them in one file

A snippet that defines something at its left margin stands in a namespace of its own. Any other is a function's body, and
the function's parameters are what the text around it speaks of.
"""

import re
import sys

SCOPE = re.compile(r"^(class |struct |[\w:]+ \w+\(.*\) \{$)", re.M)
PRELUDE = """#include <chrono>
#include <cstdio>
#include <csignal>
#include <memory>
#include <string>
#include <thread>
#include "tnet/connection.h"
#include "tnet/connector.h"
#include "tnet/log.h"
#include "tnet/proxy_transport.h"
#include "tnet/signaler.h"
#include "tnet/stack_buffer.h"
#include "tnet/successor.h"
#include "tnet/tcp_server.h"
"""
PARAMETERS = ("IOLoop* loop, HttpServer& server, HttpRouter& router, const ConnectionPtr_t& connection, "
              "const Address& address, SslServerSettings& settings, const SslContextPtr_t& context")


def snippets(path):
    return re.findall(r"^```cpp\n(.*?)^```", open(path, encoding="utf-8").read(), re.M | re.S)


def everything(paths):
    includes, bodies = [], []
    for path in paths:
        for number, text in enumerate(snippets(path), 1):
            name = re.sub(r"\W", "_", path.rsplit("/", 1)[-1]) + str(number)
            includes += re.findall(r"^#include .*\n", text, re.M)
            text = re.sub(r"^(#include .*|using namespace tnet;|\.\.\.)\n", "", text, flags=re.M)
            text = text.replace("int main()", "int program()")
            if SCOPE.search(text):
                bodies.append(f"namespace {name} {{\n{text}}}\n")
            else:
                bodies.append(f"void {name}({PARAMETERS}) {{ {{\n{text}}} }}\n")
    return (PRELUDE + "".join(includes) + "using namespace tnet;\nvoid fail(const std::string&);\n" + "\n".join(bodies))


mode, *files = sys.argv[1:]
sys.stdout.write(snippets(files[0])[0] if mode == "program" else everything(files))
