#include "examples/flags.h"

#include <getopt.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <thread>

namespace {

constexpr const char* kUsage =
    "usage: %s [--address ADDRESS] [--port PORT] [--threads N]\n"
    "  --address ADDRESS  to listen on: IPv4, IPv6, or unix:PATH (default 0.0.0.0: all of IPv4)\n"
    "  --port PORT        0: any free port (default 8080)\n"
    "  --threads N        event loops, one per thread (default: one per core)\n"
    "  --help             this text\n";

template <class Number>
bool parseNumber(const char* text, Number least, Number most, Number& into) {
    uint64_t value = 0;
    const char* const end = text + std::strlen(text);
    const auto [stop, error] = std::from_chars(text, end, value);
    if (error != std::errc() || stop != end || value < least || value > most) return false;
    into = static_cast<Number>(value);
    return true;
}

}  // namespace

std::optional<int> ServerFlags::parse(int argc, char** argv) {
    static constexpr option kOptions[] = {{"address", required_argument, nullptr, 'a'},
                                          {"port", required_argument, nullptr, 'p'},
                                          {"threads", required_argument, nullptr, 't'},
                                          {"help", no_argument, nullptr, 'h'},
                                          {nullptr, 0, nullptr, 0}};
    const auto refuse = [argv](const char* flag) {
        std::fprintf(stderr, "%s: bad value for %s: %s\n", argv[0], flag, optarg);
        return 2;
    };
    threads = std::max(1U, std::thread::hardware_concurrency());
    for (;;) {
        switch (getopt_long(argc, argv, "", kOptions, nullptr)) {
            case -1:
                if (optind == argc) return std::nullopt;
                std::fprintf(stderr, "%s: unknown argument: %s\n", argv[0], argv[optind]);
                return 2;
            case 'a': address = optarg; break;
            case 'p':
                if (!parseNumber<uint16_t>(optarg, 0, 65535, port)) return refuse("--port");
                break;
            case 't':
                if (!parseNumber<size_t>(optarg, 1, 1024, threads)) return refuse("--threads");
                break;
            case 'h': std::printf(kUsage, argv[0]); return 0;
            default:  // getopt has said which
                std::fprintf(stderr, kUsage, argv[0]);
                return 2;
        }
    }
}

std::string ServerFlags::addressAndPort() const {
    if (address.starts_with("unix:")) return address;
    const bool needsBrackets = address.find(':') != std::string::npos && !address.starts_with('[');
    return (needsBrackets ? "[" + address + "]" : address) + ":" + std::to_string(port);
}
