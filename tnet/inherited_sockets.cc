#include "tnet/inherited_sockets.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
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

// 0, or errno.
int askOption(int fd, int option, int& value) {
    socklen_t size = sizeof(value);
    return ::getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? 0 : errno;
}

std::error_code prepare(int fd) {
    int type = 0;
    int isListening = 0;
    if (const int error = askOption(fd, SO_TYPE, type); error != 0) return {error, std::generic_category()};
    if (const int error = askOption(fd, SO_ACCEPTCONN, isListening); error != 0)
        return {error, std::generic_category()};
    if (type != SOCK_STREAM || isListening == 0) return std::make_error_code(std::errc::invalid_argument);
    const int flags = ::fcntl(fd, F_GETFL);
    const bool isPrepared =
        flags >= 0 && ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 && ::fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
    return isPrepared ? std::error_code() : std::error_code(errno, std::generic_category());
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
        if (const std::error_code error = prepare(fd); error && !problem)
            problem = makeError(error, "inherited descriptor " + std::to_string(fd));
        // One that is not open must not be closed: its number may be somebody's by then.
        if (::fcntl(fd, F_GETFD) >= 0) sockets.emplace_back(fd);
    }
    if (problem) return *problem;
    return sockets;
}

}  // namespace tnet
