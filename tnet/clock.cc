#include "tnet/clock.h"

namespace tnet {

namespace {

class SystemClock : public Clock {
public:
    TimePoint now() const override { return std::chrono::steady_clock::now(); }
    std::chrono::system_clock::time_point wallNow() const override {
        return std::chrono::system_clock::now();
    }
};

}  // namespace

Clock::~Clock() = default;

const Clock& Clock::system() {
    // Never destroyed: threads may still ask while the process exits.
    static const SystemClock* const clock = new SystemClock;
    return *clock;
}

}  // namespace tnet
