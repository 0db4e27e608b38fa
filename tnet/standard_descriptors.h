// standard_descriptors: what a program does first that may be started without standard input, output or error.
//
// Where they are closed, the next descriptors that are made get their numbers: a line that is printed goes to
// a client, to the listening socket, or into the event counter of a loop.
//
// Threads: before there are others.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include "tnet/cpp20.h"

namespace tnet {

// Opens /dev/null in place of each of the descriptors 0 to 2 that is closed. False: it cannot be opened.
inline bool openStandardDescriptors() {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
        if (::fcntl(fd, F_GETFD) >= 0) continue;
        // The lowest number that is free.
        if (::open("/dev/null", O_RDWR) != fd) return false;
    }
    return true;
}

}  // namespace tnet
