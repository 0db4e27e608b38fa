// ask: requests on a connection that is kept, and their answers.
//
// Threads: any, each with a client of its own.
#pragma once

#include <cstddef>
#include <string>

#include "tests/support/loop_fixture.h"

namespace tnet {

inline std::string get(const std::string& path) { return "GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n"; }

// Up to the end of the answer's body, of which `bytes` are expected; less if the stream ends.
inline std::string answerOf(BlockingClient& client, size_t bytes) {
    std::string answer;
    while (answer.find("\r\n\r\n") == std::string::npos) {
        const std::string byte = client.receive(1);
        if (byte.empty()) return answer;
        answer += byte;
    }
    return answer + client.receive(bytes);
}

// "HTTP/1.1 200"
inline std::string statusOf(const std::string& answer) { return answer.substr(0, 12); }

}  // namespace tnet
