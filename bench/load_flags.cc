#include "bench/load_flags.h"

#include <charconv>
#include <cstdio>
#include <cstdlib>

namespace tnet {

LoadFlags::LoadFlags(const char* program, const char* usage, int argc, char** argv)
    : m_program(program), m_usage(usage) {
    if (argc < 2) {
        reject("no mode");
    }
    m_mode = argv[1];
    for (int i = 2; i < argc; ++i) {
        const std::string flag = argv[i];
        if (!flag.starts_with("--")) {
            reject("not a flag: " + flag);
        }
        const bool hasValue = i + 1 < argc && !std::string_view(argv[i + 1]).starts_with("--");
        m_values[flag] = hasValue ? argv[++i] : "";
    }
}

uint64_t LoadFlags::number(const std::string& flag, uint64_t missing) {
    const std::string value = text(flag, std::to_string(missing));
    uint64_t number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    const bool isNumber = error == std::errc() && end == value.data() + value.size();
    if (!isNumber || (number == 0 && missing != 0)) {
        reject(flag + " wants a number above 0, not " + value);
    }
    return number;
}

std::string LoadFlags::text(const std::string& flag, const std::string& missing) {
    const auto node = m_values.extract(flag);
    if (node.empty()) {
        return missing;
    }
    if (node.mapped().empty()) {
        reject("no value for " + flag);
    }
    return node.mapped();
}

bool LoadFlags::has(const std::string& flag) {
    const auto node = m_values.extract(flag);
    if (!node.empty() && !node.mapped().empty()) {
        reject(flag + " takes no value");
    }
    return !node.empty();
}

uint16_t LoadFlags::port() {
    const uint64_t port = number("--port", 0);
    if (port == 0 || port > 65535) {
        reject("no --port between 1 and 65535");
    }
    return static_cast<uint16_t>(port);
}

void LoadFlags::rejectOthers() const {
    if (!m_values.empty()) {
        reject("unknown flag for " + m_mode + ": " + m_values.begin()->first);
    }
}

void LoadFlags::reject(const std::string& what) const {
    std::fprintf(stderr, "%s: %s\n%s", m_program, what.c_str(), m_usage);
    std::exit(2);
}

}  // namespace tnet
