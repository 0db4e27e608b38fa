#include "tnet/slow_peer_watch.h"

#include <algorithm>
#include <chrono>

#include "tnet/durations.h"

namespace tnet {

bool SlowPeerWatch::isTooSlow(TimePoint now, Limits limits) {
    if (!isOn()) return false;
    if (now - m_last >= limits.timeout) return true;
    const Duration passed = now - m_since;
    if (passed < limits.timeout) return false;
    const std::chrono::duration<double> seconds = passed;
    if (static_cast<double>(m_bytes) < seconds.count() * limits.bytesPerSecond) return true;
    m_since = now;
    m_bytes = 0;
    return false;
}

TimePoint SlowPeerWatch::nextLook(Limits limits) const {
    return timeAfter(std::min(m_since, m_last), limits.timeout);
}

}  // namespace tnet
