// SoakTimes: how long things last, in the soak's server and for its load, which has to know when the server
// ought to act.
#pragma once

#include <chrono>
#include <cstdint>

namespace tnet {

struct SoakTimes {
    using Milliseconds = std::chrono::milliseconds;

    Milliseconds pause{
        30'000};  // the load's, between two uses of a connection: half of this to one and a half

    Milliseconds headerTimeout{10'000};  // }
    Milliseconds bodyGrace{5'000};       // } HttpLimits
    Milliseconds httpIdle{120'000};      // }
    Milliseconds sendTimeout{30'000};    // }

    Milliseconds pingInterval{25'000};  // } WsRoute
    Milliseconds pongTimeout{20'000};   // }

    Milliseconds tcpIdle{120'000};        // } ConnChecker
    Milliseconds checkerInterval{1'000};  // }
    uint64_t checkerBatch = 1024;         // }

    // All of them at `percent` of that: for a quick run.
    static SoakTimes scaled(uint64_t percent) {
        SoakTimes times;
        for (Milliseconds SoakTimes::*const time :
             {&SoakTimes::pause, &SoakTimes::headerTimeout, &SoakTimes::bodyGrace, &SoakTimes::httpIdle,
              &SoakTimes::sendTimeout, &SoakTimes::pingInterval, &SoakTimes::pongTimeout, &SoakTimes::tcpIdle,
              &SoakTimes::checkerInterval}) {
            times.*time = times.*time * percent / 100;
        }
        return times;
    }
};

}  // namespace tnet
