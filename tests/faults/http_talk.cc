#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/faults/pattern.h"
#include "tests/faults/talk.h"

namespace tnet {
namespace {

constexpr size_t kMostBytes = 120 << 10;

struct Expected {
    std::string id;
    std::string body;
    bool isChunked = false;
};

std::string hex(size_t value) {
    std::array<char, 17> text;
    std::snprintf(text.data(), text.size(), "%zx", value);
    return text.data();
}

class HttpTalk {
public:
    HttpTalk(const TalkRules& rules, uint32_t connection, std::minstd_rand& random)
        : m_rules(rules), m_connection(connection), m_random(random), m_wire(rules.address, rules.tls) {}

    TalkResult run(size_t bursts) {
        if (!m_wire.valid()) {
            over("the connect");
            return m_result;
        }
        for (size_t i = 0; i < bursts && m_result.broken == 0 && m_result.problem.empty(); ++i) burst();
        if (chance(4)) m_wire.reset();
        return m_result;
    }

private:
    bool chance(unsigned oneIn) { return m_random() % oneIn == 0; }

    size_t someSize() { return m_random() % (chance(4) ? kMostBytes : 3000); }

    void burst() {
        std::string requests;
        std::vector<Expected> expected;
        const size_t count = chance(2) ? 1 : 1 + m_random() % 5;
        for (size_t i = 0; i < count; ++i) add(requests, expected);
        // What is sent to a connection that is over may still have had answers.
        const bool isSent = m_wire.send(requests);
        for (const Expected& each : expected) {
            if (!receive(each)) return;
            ++m_result.units;
        }
        if (!isSent) over("the requests");
    }

    void add(std::string& requests, std::vector<Expected>& expected) {
        const uint32_t message = m_message++;
        const std::string id = std::to_string(m_connection) + "/" + std::to_string(message);
        const size_t size = someSize();
        const std::string path = id + "/" + std::to_string(size);
        const std::string head = " HTTP/1.1\r\nHost: example.com\r\n";
        std::string body = patternOf(m_connection, message, size);
        switch (m_random() % 6) {
            case 0: requests += "GET /owned/" + path + head + "\r\n"; break;
            case 1: requests += "GET /shared/" + path + head + "\r\n"; break;
            case 2:
                requests += "GET /stream/" + path + head + "\r\n";
                return expected.push_back({id, std::move(body), true});
            case 3: {
                // The file is one pattern, of which a part is asked for.
                const size_t offset = m_random() % 5000;
                body = patternOf(0, 0, offset + size).substr(offset);
                requests += "GET /file/" + path + "/" + std::to_string(offset) + head + "\r\n";
                break;
            }
            case 4:
                body.resize(std::min<size_t>(size, 20000));
                requests += "POST /echo/" + id + head + "Content-Length: " + std::to_string(body.size()) +
                            "\r\n\r\n" + body;
                break;
            default: {
                body.resize(std::min<size_t>(size, 20000));
                requests += "POST /echo/" + id + head + "Transfer-Encoding: chunked\r\n\r\n";
                const std::string_view view = body;
                for (size_t at = 0; at < view.size();) {
                    const std::string_view piece = view.substr(at, 1 + m_random() % 4000);
                    requests += hex(piece.size()) + "\r\n" + std::string(piece) + "\r\n";
                    at += piece.size();
                }
                requests += "0\r\n\r\n";
            }
        }
        expected.push_back({id, std::move(body), false});
    }

    // False: over, or a problem.
    bool receive(const Expected& expected) {
        size_t end = 0;
        while ((end = m_input.find("\r\n\r\n")) == std::string::npos) {
            if (!more(expected.id + ": inside its head")) return false;
        }
        const std::string head = m_input.substr(0, end + 2);
        m_input.erase(0, end + 4);
        if (head.rfind("HTTP/1.1 200 ", 0) != 0) {
            const bool isRefusal = head.rfind("HTTP/1.1 500 ", 0) == 0 || head.rfind("HTTP/1.1 503 ", 0) == 0;
            if (!m_rules.mayRefuse || !isRefusal) return problem(expected.id + " got " + head);
            return skipRefusal(head);
        }
        if (head.find("X-Id: " + expected.id + "\r\n") == std::string::npos)
            return problem(expected.id + " got the answer of another: " + head);
        return expected.isChunked ? receiveChunks(expected) : receiveBody(expected, expected.body.size(), 0);
    }

    bool skipRefusal(const std::string& head) {
        constexpr std::string_view kLength = "\r\nContent-Length: ";
        const size_t at = head.find(kLength);
        size_t length = 0;
        if (at == std::string::npos) return problem("a refusal without length");
        std::from_chars(head.data() + at + kLength.size(), head.data() + head.size(), length);
        while (m_input.size() < length) {
            if (!more("inside a refusal")) return false;
        }
        m_input.erase(0, length);
        return true;
    }

    // `size` bytes of the body from `offset` on.
    bool receiveBody(const Expected& expected, size_t size, size_t offset) {
        for (size_t got = 0; got < size;) {
            const size_t step = std::min(m_input.size(), size - got);
            if (m_input.compare(0, step, expected.body, offset + got, step) != 0)
                return problem(expected.id + ": other bytes than its own from " +
                               std::to_string(offset + got));
            got += step;
            m_input.erase(0, step);
            if (got < size && !more(expected.id + ": inside its body")) return false;
        }
        return true;
    }

    bool receiveChunks(const Expected& expected) {
        for (size_t got = 0;;) {
            size_t end = 0;
            while ((end = m_input.find("\r\n")) == std::string::npos) {
                if (!more(expected.id + ": inside its chunks")) return false;
            }
            size_t size = 0;
            const auto parsed = std::from_chars(m_input.data(), m_input.data() + end, size, 16);
            if (parsed.ptr != m_input.data() + end) return problem(expected.id + ": no chunk size");
            m_input.erase(0, end + 2);
            if (got + size > expected.body.size()) return problem(expected.id + ": more than its body");
            if (!receiveBody(expected, size, got)) return false;
            got += size;
            while (m_input.size() < 2) {
                if (!more(expected.id + ": behind a chunk")) return false;
            }
            if (m_input.compare(0, 2, "\r\n") != 0) return problem(expected.id + ": no chunk end");
            m_input.erase(0, 2);
            if (size > 0) continue;
            return got == expected.body.size() || problem(expected.id + ": a body that is cut looks whole");
        }
    }

    bool more(const std::string& where) {
        if (chance(50)) std::this_thread::sleep_for(std::chrono::milliseconds(1));  // a slow reader
        if (m_wire.receiveSome(m_input, chance(10) ? 1 + m_random() % 100 : 16384)) return true;
        over(where);
        return false;
    }

    void over(const std::string& where) {
        m_result.broken = 1;
        if (m_wire.timedOut()) problem(where + ": nothing came any more");
        if (!m_rules.mayBreak) problem(where + ": the connection ended");
    }

    bool problem(const std::string& what) {
        if (m_result.problem.empty()) m_result.problem = what;
        return false;
    }

    const TalkRules& m_rules;
    const uint32_t m_connection;
    std::minstd_rand& m_random;
    Wire m_wire;
    std::string m_input{};
    uint32_t m_message = 0;
    TalkResult m_result{};
};

}  // namespace

TalkResult talkHttp(const TalkRules& rules, uint32_t connection, std::minstd_rand& random, size_t bursts) {
    return HttpTalk(rules, connection, random).run(bursts);
}

}  // namespace tnet
