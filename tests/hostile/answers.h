// Answers: what a server said to one hostile connection: the status of each answer, the code of a Close frame.
//
// Threads: one.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>

#include "websocket/frame.h"

namespace tnet {

class Answers {
public:
    using Counts = std::map<int, size_t>;  // by status or close code

    // What came, in pieces of any size. What is found is counted in `counts`.
    void take(std::string_view bytes, Counts& counts);

    bool hasAnything() const { return m_hasAnything; }

private:
    void takeHttp(std::string_view bytes, Counts& counts);
    void takeFrames(std::string_view bytes, Counts& counts);

    bool m_hasAnything = false;
    bool m_isUpgraded = false;
    std::string m_kept{};  // of a status line or a head that was cut; of a Close frame
    WsFrameDecoder m_decoder{{WsRole::Client, true}};
    size_t m_payloadLeft = 0;
    bool m_isClose = false;
};

}  // namespace tnet
