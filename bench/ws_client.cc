#include "bench/ws_client.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <string_view>

namespace tnet {
namespace {

// Sixteen bytes that differ from connection to connection, in base64 (RFC 6455 §4.1).
std::string nextKey() {
    static uint32_t s_count = 0;
    constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string key(21, 'k');
    for (size_t i = 0, rest = s_count++; i < 6; ++i, rest /= 64) {
        key[i] = kAlphabet[rest % 64];
    }
    return key + "A==";
}

std::string lowered(std::string_view text) {
    std::string result(text);
    std::transform(result.begin(), result.end(), result.begin(),
                   [](unsigned char byte) { return static_cast<char>(std::tolower(byte)); });
    return result;
}

// The value of a field that must be there at most once; empty if it is not.
std::string_view fieldOf(std::string_view answer, std::string_view name) {
    for (size_t line = answer.find("\r\n"); line != std::string_view::npos;
         line = answer.find("\r\n", line)) {
        line += 2;
        std::string_view rest = answer.substr(line);
        rest = rest.substr(0, rest.find("\r\n"));
        const size_t colon = rest.find(':');
        if (colon != std::string_view::npos && lowered(rest.substr(0, colon)) == lowered(name)) {
            rest.remove_prefix(colon + 1);
            rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
            return rest.substr(0, rest.find_last_not_of(" \t") + 1);
        }
    }
    return {};
}

void checkUpgrade(std::string_view answer, const std::string& key) {
    const bool isRight = answer.starts_with("HTTP/1.1 101 ") && answer.ends_with("\r\n\r\n") &&
                         lowered(fieldOf(answer, "Upgrade")) == "websocket" &&
                         lowered(fieldOf(answer, "Connection")) == "upgrade" &&
                         fieldOf(answer, "Sec-WebSocket-Accept") == acceptFor(key) &&
                         fieldOf(answer, "Sec-WebSocket-Extensions").empty() &&
                         fieldOf(answer, "Sec-WebSocket-Protocol").empty();
    if (!isRight) {
        fail("wrong answer to the upgrade with key " + key + ", which wants " + acceptFor(key) + ":\n" +
             std::string(answer));
    }
}

// Blocking, but not for ever.
size_t receive(int fd, char* data, size_t size) {
    const ssize_t got = recv(fd, data, size, 0);
    if (got > 0) {
        return static_cast<size_t>(got);
    }
    if (got == 0) {
        fail("the server closed a connection");
    }
    failWithErrno("cannot read");
}

}  // namespace

void openWebSocket(int fd, const LoadTarget& target, const std::string& path) {
    timeval patience{};
    patience.tv_sec = kLoadPatience.count();
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    const std::string key = nextKey();
    sendWhole(fd, "GET " + path + " HTTP/1.1\r\nHost: " + target.text() +
                      "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " + key +
                      "\r\nSec-WebSocket-Version: 13\r\n\r\n");
    std::array<char, 4096> input{};
    std::string answer;
    while (answer.find("\r\n\r\n") == std::string::npos) {
        answer.append(input.data(), receive(fd, input.data(), input.size()));
    }
    checkUpgrade(answer, key);
}

size_t WsProgress::take(const WsMessages& messages, uint64_t stride, const char* data, size_t size) {
    size_t completed = 0;
    while (size > 0) {
        const size_t part = std::min(size, messages.frameBytes() - offset);
        if (!messages.matches(number, offset, data, part)) {
            fail(messages.describeMismatch(number, offset, data, part));
        }
        data += part;
        size -= part;
        offset += part;
        if (offset == messages.frameBytes()) {
            offset = 0;
            number += stride;
            ++completed;
        }
    }
    return completed;
}

void exchangeMessage(int fd, const WsMessages& messages, uint64_t number) {
    std::string frame;
    messages.append(frame, number);
    sendWhole(fd, frame);
    WsProgress progress{number};
    std::array<char, 4096> input{};
    size_t completed = 0;
    while (completed == 0) {
        completed = progress.take(messages, 1, input.data(), receive(fd, input.data(), input.size()));
    }
    if (completed != 1 || progress.offset != 0) {
        fail("more came back than one message");
    }
}

void sendWhole(int fd, const std::string& bytes) {
    if (send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size())) {
        failWithErrno("cannot send");
    }
}

}  // namespace tnet
