// flags: the command line that the example servers share: --address, --port, --threads, --help, and what a
// server adds of its own.
//
//     ServerFlags flags;
//     size_t most = 64 << 20;
//     flags.add("max-message", "BYTES", "largest message taken (default 67108864)", numberInto(most));
//     if (const auto exitCode = flags.parse(argc, argv)) return *exitCode;
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <vector>

class ServerFlags {
public:
    // Takes the text behind a flag; false if it cannot be that.
    using Take = std::function<bool(const char* text)>;

    std::string address = "0.0.0.0";
    std::optional<uint16_t> port{};  // 0: any free port
    uint16_t defaultPort = 8080;     // without --port; other flags may change it
    size_t threads;                  // the number of cores if it is not given

    ServerFlags();

    // A flag of the server's own, "--name VALUE". An empty `value` takes none: `take` gets "". Texts are kept,
    // not copied.
    void add(const char* name, const char* value, const char* help, Take take);

    // Reads the command line. Returns an exit code if the program should end: 0 after --help, 2 after
    // telling what is wrong with which flag.
    std::optional<int> parse(int argc, char** argv);

    // "ADDRESS:PORT", an IPv6 address in brackets; a "unix:PATH" address as it is.
    std::string addressAndPort() const;

private:
    struct Flag {
        const char* name;
        const char* value;
        const char* help;
        Take take;
    };
    void printUsage(FILE* to, const char* program) const;

    std::vector<Flag> m_flags;
};

// For ServerFlags::add: a decimal number, from `least` to `most`; and any text.
ServerFlags::Take numberInto(size_t& into, size_t least = 0, size_t most = SIZE_MAX);
ServerFlags::Take textInto(std::string& into);
