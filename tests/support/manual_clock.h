// ManualClock: a clock that stands still until a test moves it.
//
// Threads: one thread only.
#pragma once

#include <cassert>

#include "tnet/clock.h"

namespace tnet {

class ManualClock : public Clock {
public:
    TimePoint now() const override { return m_now; }
    std::chrono::system_clock::time_point wallNow() const override { return m_wallNow; }

    // Moves both clocks on. `step` is not negative: a steady clock never goes back.
    void advance(Duration step) {
        assert(step >= Duration::zero() && "a steady clock never goes back");
        m_now += step;
        m_wallNow += std::chrono::duration_cast<std::chrono::system_clock::duration>(step);
    }

    // Sets the time of day alone, in either direction, as an administrator would.
    void setWall(std::chrono::system_clock::time_point wall) { m_wallNow = wall; }

private:
    // Not zero: code that mistakes a default TimePoint for "now" should show.
    TimePoint m_now{std::chrono::hours{1000}};
    std::chrono::system_clock::time_point m_wallNow{std::chrono::seconds{1'600'000'000}};
};

}  // namespace tnet
