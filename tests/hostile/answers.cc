#include "tests/hostile/answers.h"

#include <algorithm>

namespace tnet {
namespace {

constexpr std::string_view kStatusLine = "HTTP/1.1 ";
constexpr size_t kWithStatus = kStatusLine.size() + 3;

}  // namespace

void Answers::take(std::string_view bytes, Counts& counts) {
    m_hasAnything = m_hasAnything || !bytes.empty();
    m_isUpgraded ? takeFrames(bytes, counts) : takeHttp(bytes, counts);
}

// Bodies are not looked at, so a body must not contain what a status line begins with.
void Answers::takeHttp(std::string_view bytes, Counts& counts) {
    m_kept.append(bytes);
    size_t done = 0;
    for (size_t at = 0; (at = m_kept.find(kStatusLine, done)) != std::string::npos;) {
        if (m_kept.size() - at < kWithStatus) break;
        const int status = std::atoi(m_kept.c_str() + at + kStatusLine.size());
        done = at + kWithStatus;
        if (status != 101) {
            ++counts[status];
            continue;
        }
        const size_t end = m_kept.find("\r\n\r\n", at);
        if (end == std::string::npos) {
            m_kept.erase(0, at);
            return;
        }
        ++counts[status];
        m_isUpgraded = true;
        const std::string frames = m_kept.substr(end + 4);
        m_kept.clear();
        return takeFrames(frames, counts);
    }
    m_kept.erase(0, std::max(done, m_kept.size() - std::min(m_kept.size(), kWithStatus)));
}

void Answers::takeFrames(std::string_view bytes, Counts& counts) {
    while (!bytes.empty()) {
        if (m_payloadLeft == 0) {
            WsFrameHeader header;
            if (m_decoder.decode(bytes, header).step != WsFrameDecoder::Step::Header) return;
            m_payloadLeft = header.payloadBytes;
            m_isClose = header.opcode == WsOpcode::Close;
            m_kept.clear();
            if (m_isClose && m_payloadLeft == 0) ++counts[static_cast<int>(WsCloseCode::NoStatus)];
            continue;
        }
        const std::string_view payload = bytes.substr(0, m_payloadLeft);
        bytes.remove_prefix(payload.size());
        m_payloadLeft -= payload.size();
        if (!m_isClose) continue;
        m_kept.append(payload);
        if (m_payloadLeft > 0) continue;
        ++counts[parseClosePayload(m_kept).payload.code];
    }
}

}  // namespace tnet
