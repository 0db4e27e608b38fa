#include "examples/flags.h"

#include <getopt.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <thread>
#include <utility>

ServerFlags::Take numberInto(size_t& into, size_t least, size_t most) {
    return [&into, least, most](const char* text) {
        size_t value = 0;
        const char* const end = text + std::strlen(text);
        const auto [stop, error] = std::from_chars(text, end, value);
        if (error != std::errc() || stop != end || value < least || value > most) return false;
        into = value;
        return true;
    };
}

ServerFlags::Take textInto(std::string& into) {
    return [&into](const char* text) {
        into = text;
        return true;
    };
}

ServerFlags::ServerFlags() : threads(std::max(1U, std::thread::hardware_concurrency())) {
    add("address", "ADDRESS", "to listen on: IPv4, IPv6, or unix:PATH (default 0.0.0.0: all of IPv4)",
        textInto(address));
    add("port", "PORT", "0: any free port (default 8080)", [this](const char* text) {
        size_t number = 0;
        if (!numberInto(number, 0, UINT16_MAX)(text)) return false;
        port = static_cast<uint16_t>(number);
        return true;
    });
    add("threads", "N", "event loops, one per thread (default: one per core)", numberInto(threads, 1, 1024));
}

void ServerFlags::add(const char* name, const char* value, const char* help, Take take) {
    m_flags.push_back({name, value, help, std::move(take)});
}

void ServerFlags::printUsage(FILE* to, const char* program) const {
    std::fprintf(to, "usage: %s [FLAGS]\n", program);
    for (const Flag& flag : m_flags) {
        const std::string left = std::string(flag.name) + " " + flag.value;
        std::fprintf(to, "  --%-22s %s\n", left.c_str(), flag.help);
    }
    std::fprintf(to, "  --%-22s %s\n", "help", "this text");
}

std::optional<int> ServerFlags::parse(int argc, char** argv) {
    constexpr int kHelp = 'h';
    constexpr int kFirst = 256;  // beyond the letters that getopt answers itself
    std::vector<option> options;
    for (size_t i = 0; i < m_flags.size(); ++i) {
        const int argument = m_flags[i].value[0] != '\0' ? required_argument : no_argument;
        options.push_back({m_flags[i].name, argument, nullptr, kFirst + static_cast<int>(i)});
    }
    options.push_back({"help", no_argument, nullptr, kHelp});
    options.push_back({nullptr, 0, nullptr, 0});
    for (;;) {
        const int found = getopt_long(argc, argv, "", options.data(), nullptr);
        if (found == -1 && optind == argc) return std::nullopt;
        if (found == -1) {
            std::fprintf(stderr, "%s: unknown argument: %s\n", argv[0], argv[optind]);
            return 2;
        }
        if (found == kHelp) {
            printUsage(stdout, argv[0]);
            return 0;
        }
        if (found < kFirst) {  // getopt has said which
            printUsage(stderr, argv[0]);
            return 2;
        }
        const Flag& flag = m_flags[static_cast<size_t>(found - kFirst)];
        const char* const text = optarg != nullptr ? optarg : "";
        if (flag.take(text)) continue;
        std::fprintf(stderr, "%s: bad value for --%s: %s\n", argv[0], flag.name, text);
        return 2;
    }
}

std::string ServerFlags::addressAndPort() const {
    if (address.starts_with("unix:")) return address;
    const bool needsBrackets = address.find(':') != std::string::npos && !address.starts_with('[');
    return (needsBrackets ? "[" + address + "]" : address) + ":" + std::to_string(port.value_or(defaultPort));
}
