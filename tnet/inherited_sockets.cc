#include "tnet/inherited_sockets.h"

#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>

namespace tnet {
namespace {

constexpr int kFirst = 3;  // sd_listen_fds(3): SD_LISTEN_FDS_START

std::optional<std::string> takeVariable(const char* name) {
    const char* const value = std::getenv(name);
    if (value == nullptr) return std::nullopt;
    std::string text(value);
    ::unsetenv(name);
    return text;
}

std::optional<int> parseNumber(const std::string& text) {
    int number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return number;
}

}  // namespace

Result<std::vector<FileDescriptor>> inheritedSockets() {
    const auto pid = takeVariable("LISTEN_PID");
    const auto count = takeVariable("LISTEN_FDS");
    takeVariable("LISTEN_FDNAMES");
    std::vector<FileDescriptor> sockets;
    if (!pid || !count || parseNumber(*pid) != static_cast<int>(::getpid())) return sockets;

    const auto number = parseNumber(*count);
    const long limit = ::sysconf(_SC_OPEN_MAX);
    if (!number || *number < 0 || (limit >= 0 && *number > limit - kFirst))
        return makeError(std::errc::invalid_argument, "LISTEN_FDS=" + *count);
    std::optional<Error> problem;
    for (int fd = kFirst; fd < kFirst + *number; ++fd) {
        if (const std::error_code error = prepareListener(fd); error && !problem)
            problem = makeError(error, "inherited descriptor " + std::to_string(fd));
        // One that is not open must not be closed: its number may be somebody's by then.
        if (::fcntl(fd, F_GETFD) >= 0) sockets.emplace_back(fd);
    }
    if (problem) return *problem;
    return sockets;
}

}  // namespace tnet
