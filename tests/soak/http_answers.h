// HttpAnswers: compares the answers that come on one connection with those that have to, as they come.
//
// Threads: one at a time. Lifetime: the bodies expected are views that outlive it (tests/soak/pattern.h).
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <string_view>

namespace tnet {

class HttpAnswers {
public:
    // One more has to come, with this status and this body; without a body, any will do.
    void expect(int status, std::optional<std::string_view> body = std::nullopt) {
        m_expected.push_back({status, body});
    }

    bool isComplete() const { return m_expected.empty(); }

    // False: `bytes` are not what has to come; error() says why.
    bool take(std::string_view bytes);
    const std::string& error() const { return m_error; }

private:
    struct Expected {
        int status;
        std::optional<std::string_view> body;
    };

    bool takeHead(std::string_view& bytes);
    bool readHead();
    bool takeBody(std::string_view& bytes);
    void finish();
    bool fail(std::string error);

    std::deque<Expected> m_expected;
    std::string m_head;
    std::string m_error;
    size_t m_bodyBytes = 0;  // of the answer that is coming
    size_t m_taken = 0;      // of those
    bool m_isInBody = false;
};

}  // namespace tnet
