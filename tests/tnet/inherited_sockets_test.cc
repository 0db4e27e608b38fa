// Each case runs in a child process, whose descriptors and environment are its own.
#include "tnet/inherited_sockets.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

#include "tnet/address.h"
#include "tnet/socket.h"

namespace tnet {
namespace {

// Whether `check` succeeds in a process whose descriptors from 3 on are free.
bool holdsInChild(const std::function<bool()>& check) {
    std::fflush(nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
        for (int fd = 3; fd < 64; ++fd) ::close(fd);
        ::_exit(check() ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void announce(const std::string& pid, const std::string& count) {
    ::setenv("LISTEN_PID", pid.c_str(), 1);
    ::setenv("LISTEN_FDS", count.c_str(), 1);
    ::setenv("LISTEN_FDNAMES", "a:b", 1);
}
std::string ourPid() { return std::to_string(::getpid()); }

// A blocking one that exec keeps open, as systemd passes them.
int openListener() {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    const Address address = Address::loopback(0);
    const bool isOpen = ::bind(fd, address.data(), address.size()) == 0 && ::listen(fd, 10) == 0;
    return isOpen ? fd : -1;
}

bool isUnset() {
    return ::getenv("LISTEN_PID") == nullptr && ::getenv("LISTEN_FDS") == nullptr &&
           ::getenv("LISTEN_FDNAMES") == nullptr;
}

bool failsWith(std::errc code, const std::string& culprit) {
    const auto sockets = inheritedSockets();
    if (sockets) return false;
    std::fprintf(stderr, "%s\n", sockets.error().message.c_str());
    return sockets.error().code == code && sockets.error().message.find(culprit) != std::string::npos &&
           isUnset();
}

TEST(InheritedSocketsTest, TakesThemOverReadyForUse) {
    EXPECT_TRUE(holdsInChild([] {
        if (openListener() != 3 || openListener() != 4) return false;
        announce(ourPid(), "2");
        const auto sockets = inheritedSockets();
        if (!sockets || sockets->size() != 2 || !isUnset()) return false;
        for (int fd = 3; fd < 5; ++fd) {
            if ((*sockets)[static_cast<size_t>(fd - 3)].get() != fd) return false;
            if ((::fcntl(fd, F_GETFL) & O_NONBLOCK) == 0) return false;
            if ((::fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0) return false;
        }
        const auto again = inheritedSockets();
        return again && again->empty();
    }));
}

TEST(InheritedSocketsTest, ThereAreNoneUnlessTheyAreForThisProcess) {
    EXPECT_TRUE(holdsInChild([] {
        const auto sockets = inheritedSockets();
        return sockets && sockets->empty();
    }));
    EXPECT_TRUE(holdsInChild([] {
        if (openListener() != 3) return false;
        announce(std::to_string(::getppid()), "1");
        const auto sockets = inheritedSockets();
        return sockets && sockets->empty() && ::fcntl(3, F_GETFD) >= 0 && isUnset();
    }));
    EXPECT_TRUE(holdsInChild([] {
        announce(ourPid(), "0");
        const auto sockets = inheritedSockets();
        return sockets && sockets->empty();
    }));
}

TEST(InheritedSocketsTest, WhatIsWrongIsNamed) {
    for (const std::string count : {"x", "", "1x", "-1", "2000000000"}) {
        EXPECT_TRUE(holdsInChild([&count] {
            announce(ourPid(), count);
            return failsWith(std::errc::invalid_argument, "LISTEN_FDS=" + count);
        })) << count;
    }
    EXPECT_TRUE(holdsInChild([] {
        if (openListener() != 3) return false;
        announce(ourPid(), "2");
        return failsWith(std::errc::bad_file_descriptor, "descriptor 4");
    }));
    EXPECT_TRUE(holdsInChild([] {
        if (::open("/dev/null", O_RDONLY) != 3) return false;
        announce(ourPid(), "1");
        return failsWith(std::errc::not_a_socket, "descriptor 3");
    }));
    for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {  // neither listens
        EXPECT_TRUE(holdsInChild([type] {
            if (::socket(AF_INET, type, 0) != 3) return false;
            announce(ourPid(), "1");
            return failsWith(std::errc::invalid_argument, "descriptor 3");
        }));
    }
}

}  // namespace
}  // namespace tnet
