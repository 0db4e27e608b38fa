// flags: the command line that the example servers share: --port, --address, --threads, --help.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

struct ServerFlags {
    std::string address = "0.0.0.0";
    uint16_t port = 8080;  // 0: any free port
    size_t threads = 0;    // parse() makes it the number of cores if it is not given

    // Reads the command line. Returns an exit code if the program should end: 0 after --help, 2 after
    // telling what is wrong with which flag.
    std::optional<int> parse(int argc, char** argv);

    // "ADDRESS:PORT", an IPv6 address in brackets; a "unix:PATH" address as it is.
    std::string addressAndPort() const;
};
