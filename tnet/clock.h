// Clock: where the library gets its time from, so that tests can own it.
//
// Deadlines are TimePoints of the steady clock: they do not jump when somebody sets the time of
// day. wallNow() is for what people and protocols read (a Date field, a log line), never for
// deadlines.
//
// Threads: a Clock may be asked from any thread.
// Lifetime: whoever is given a Clock borrows it; it must outlive them. system() lives forever.
#pragma once

#include <chrono>

#include "tnet/cpp20.h"

namespace tnet {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;

class Clock {
public:
    virtual ~Clock();

    // Never goes back.
    virtual TimePoint now() const = 0;

    // The time of day; may jump in both directions.
    virtual std::chrono::system_clock::time_point wallNow() const = 0;

    // The real clock: CLOCK_MONOTONIC and CLOCK_REALTIME.
    static const Clock& system();
};

}  // namespace tnet
