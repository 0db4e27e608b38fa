// log: the one logger that the whole library writes to; a program may put its own in its place.
//
//     tnet::logger().warn("accept: {}", error.message());
//     tnet::setLogger(std::make_shared<spdlog::logger>("app", mySink));
//
// The default is named "tnet" and writes to stderr, in colour, from level info up, through an AsyncSink: a
// terminal or pipe that takes nothing costs lines, which are counted, and never makes a loop wait. A logger
// of the program's own that may be slow (a file on a full disk, a pipe) should have its sinks wrapped so,
// too. The default is not in spdlog's registry: spdlog::set_level() and the like do not reach it,
// logger().set_level() does.
//
// Threads: both functions from any thread; the logger's sinks must be the thread-safe kind (_mt).
// Lifetime: a logger that was ever set is kept until the process ends, so a reference that some
// thread got just before setLogger() stays good. Set it a few times, not once per request.
#pragma once

#include <spdlog/logger.h>

#include <chrono>
#include <memory>

#include "tnet/cpp20.h"

namespace tnet {

spdlog::logger& logger();

// From now on logger() is `replacement`; null brings the default back.
void setLogger(std::shared_ptr<spdlog::logger> replacement);

// Waits until the default logger has written what was logged before, as exit() does. False: nothing was taken for
// `patience`.
bool writeLog(std::chrono::milliseconds patience = std::chrono::milliseconds(1000));

}  // namespace tnet
