// durations: sums of times that saturate instead of overflowing.
//
// The clock counts nanoseconds, settings count milliseconds: milliseconds::max() is a million times more than the
// clock can hold, and means "never". Whatever turns a setting into the clock's unit, or adds a delay to a time, does
// it here. Zero and negative values are what they are; what they mean (off, at once, refused) is said where a
// setting is declared.
//
// Pure. Threads: any.
#pragma once

#include <chrono>

#include "tnet/clock.h"

namespace tnet {

// `time` in the clock's unit, or the nearest there is: Duration::max() and Duration::min() are as far as it goes.
template <class Rep, class Period>
constexpr Duration saturated(std::chrono::duration<Rep, Period> time) {
    using From = std::chrono::duration<Rep, Period>;
    if (time > std::chrono::floor<From>(Duration::max())) return Duration::max();
    if (time < std::chrono::ceil<From>(Duration::min())) return Duration::min();
    return std::chrono::duration_cast<Duration>(time);
}

// The time `delay` after `begin`: TimePoint::max() if that is beyond the end of time, TimePoint::min() likewise.
template <class Rep, class Period>
constexpr TimePoint timeAfter(TimePoint begin, std::chrono::duration<Rep, Period> delay) {
    const Duration time = saturated(delay);
    const Duration since = begin.time_since_epoch();
    if (time > Duration::zero() && since > Duration::max() - time) return TimePoint::max();
    if (time < Duration::zero() && since < Duration::min() - time) return TimePoint::min();
    return begin + time;
}

// How long until `end`; negative if that is over. Saturates, too.
constexpr Duration timeUntil(TimePoint now, TimePoint end) {
    const Duration from = now.time_since_epoch();
    const Duration to = end.time_since_epoch();
    if (from < Duration::zero() && to > Duration::max() + from) return Duration::max();
    if (from > Duration::zero() && to < Duration::min() + from) return Duration::min();
    return to - from;
}

}  // namespace tnet
