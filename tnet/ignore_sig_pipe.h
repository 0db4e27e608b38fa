// IgnoreSigPipe: makes writing to a closed connection an error (EPIPE) instead of the process's end.
//
//     int main() {
//         tnet::IgnoreSigPipe ignoreSigPipe;
//
// Threads: the disposition is the whole process's; construct one before starting threads.
// Lifetime: the signal stays ignored when the object is gone.
#pragma once

#include <csignal>

#include "tnet/cpp20.h"

namespace tnet {

class IgnoreSigPipe {
public:
    IgnoreSigPipe() { std::signal(SIGPIPE, SIG_IGN); }
};

}  // namespace tnet
