#include "bench/ws_wire.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>

namespace tnet {

static_assert(std::endian::native == std::endian::little, "applyMask turns the key for little-endian");

std::string acceptFor(std::string_view key) {
    const std::string text = std::string(key) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    std::array<unsigned char, SHA_DIGEST_LENGTH> digest{};
    SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
    std::array<unsigned char, 4 * ((SHA_DIGEST_LENGTH + 2) / 3) + 1> base64{};
    const int size = EVP_EncodeBlock(base64.data(), digest.data(), SHA_DIGEST_LENGTH);
    return {reinterpret_cast<const char*>(base64.data()), static_cast<size_t>(size)};
}

std::string upgradeAnswer(std::string_view request) {
    constexpr std::string_view kField = "\r\nsec-websocket-key: ";
    const auto* const field = std::search(
        request.begin(), request.end(), kField.begin(), kField.end(),
        [](char theirs, char mine) { return std::tolower(static_cast<unsigned char>(theirs)) == mine; });
    if (field == request.end()) {
        return {};
    }
    const std::string_view rest(field + kField.size(), request.end());
    return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           "Sec-WebSocket-Accept: " +
           acceptFor(rest.substr(0, rest.find('\r'))) + "\r\n\r\n";
}

}  // namespace tnet
