// SlowPeerWatch: whether a peer takes what is queued for it, or too little of it.
//
//     begin(now); took(bytes, now) ...; at nextLook(): isTooSlow(now)? end it : look again at nextLook()
//
// To take something now and then is not enough: the queue would be held for as long as the peer likes. A peer is too
// slow if it takes nothing for `timeout`, or less than `bytesPerSecond` over a `timeout`.
//
// Pure: knows no clock and no connection. Threads: one.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tnet/clock.h"

namespace tnet {

class SlowPeerWatch {
public:
    struct Limits {
        Duration timeout;
        uint32_t bytesPerSecond;
    };

    // Counts from `now` on. Until then, and after stop(), nothing is counted.
    void begin(TimePoint now) { *this = SlowPeerWatch(now); }
    void stop() { *this = SlowPeerWatch(); }
    bool isOn() const { return m_since != TimePoint(); }

    void took(size_t bytes, TimePoint now) {
        if (!isOn() || bytes == 0) return;
        m_bytes += bytes;
        m_last = now;
    }

    // If it was fast enough over a whole timeout, the next one is counted from `now` on.
    bool isTooSlow(TimePoint now, Limits limits);

    // Not before then it can be too slow.
    TimePoint nextLook(Limits limits) const;

    SlowPeerWatch() = default;

private:
    explicit SlowPeerWatch(TimePoint now) : m_since(now), m_last(now) {}

    TimePoint m_since{};  // bytes count from then on; the epoch: it is off
    TimePoint m_last{};   // when the peer took some
    size_t m_bytes = 0;
};

}  // namespace tnet
