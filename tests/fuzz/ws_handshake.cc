// The fields of a WebSocket handshake: what is accepted is in order, and what is answered was asked for.
//
//     input: a byte of flags, then header lines, "Name: value" and LF
#include "websocket/handshake.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "http/field_list.h"
#include "http/headers.h"
#include "tests/fuzz/fuzz_input.h"

namespace tnet {
namespace {

const std::vector<std::string> kSupported = {"chat", "v2.chat", "b"};

HttpHeaders headersOf(FuzzInput& input) {
    HttpHeaders headers;
    while (!input.empty()) {
        const std::string_view line = input.line();
        const size_t colon = std::min(line.find(": "), line.size());
        try {
            headers.add(line.substr(0, colon), line.substr(std::min(colon + 2, line.size())));
        } catch (const std::invalid_argument&) {
            // No header: the parser lets none of these through.
        }
    }
    return headers;
}

void checkVerdict(const WsHandshakeVerdict& verdict) {
    EXPECT_TRUE(verdict.status == 0 || verdict.status == 400 || verdict.status == 426) << verdict.status;
    EXPECT_EQ(verdict.ok(), verdict.reason == nullptr);
}

void checkKey(const HttpHeaders& headers) {
    const WsHandshakeVerdict verdict = checkHandshake(headers);
    checkVerdict(verdict);
    const std::string_view key = headers.get("Sec-WebSocket-Key");
    EXPECT_EQ(acceptKey(key).size(), 28U);
    if (!verdict.ok()) return;
    EXPECT_TRUE(listContains(headers, "Sec-WebSocket-Version", kWsVersion));
    EXPECT_EQ(key.size(), 24U);
    EXPECT_TRUE(key.ends_with("==")) << key;
}

void checkSubprotocol(const HttpHeaders& headers) {
    std::string_view chosen;
    const WsHandshakeVerdict verdict = chooseSubprotocol(headers, kSupported, chosen);
    checkVerdict(verdict);
    if (chosen.empty()) return;
    EXPECT_TRUE(verdict.ok());
    EXPECT_NE(std::find(kSupported.begin(), kSupported.end(), chosen), kSupported.end());
    EXPECT_TRUE(listContains(headers, "Sec-WebSocket-Protocol", chosen)) << chosen;
}

const WsExtension::Parameter* find(const WsExtension& extension, std::string_view name) {
    for (const auto& parameter : extension.parameters) {
        if (parameter.name == name) return &parameter;
    }
    return nullptr;
}

// Zero if it is none: an offer that has to be declined.
int numberOf(const std::string& text) {
    int number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc() && end == text.data() + text.size() ? number : 0;
}

// RFC 7692 §7.1: the answer is in order by itself, says what was agreed on, and belongs to one of the offers.
void checkAgreement(const WsDeflateAgreement& agreement, const std::vector<WsExtension>& offers) {
    HttpHeaders headers;
    headers.add("Sec-WebSocket-Extensions", agreement.answer);
    std::vector<WsExtension> answers;
    EXPECT_TRUE(parseExtensions(headers, answers).ok()) << agreement.answer;
    ASSERT_EQ(answers.size(), 1U);
    const WsExtension& answer = answers[0];
    EXPECT_EQ(answer.name, "permessage-deflate");
    const WsDeflateParameters& agreed = agreement.parameters;
    EXPECT_EQ(find(answer, "server_no_context_takeover") != nullptr, agreed.serverNoContextTakeover);
    EXPECT_TRUE(agreed.clientNoContextTakeover || find(answer, "client_no_context_takeover") == nullptr);
    const auto* const server = find(answer, "server_max_window_bits");
    const auto* const client = find(answer, "client_max_window_bits");
    // A server may use a smaller window than it has announced, and need not announce one.
    EXPECT_TRUE(server == nullptr || server->value == std::to_string(agreed.serverWindowBits));
    EXPECT_EQ(client != nullptr ? client->value : "15", std::to_string(agreed.clientWindowBits));
    EXPECT_TRUE(agreed.serverWindowBits >= 9 && agreed.serverWindowBits <= 15);
    EXPECT_TRUE(agreed.clientWindowBits >= 8 && agreed.clientWindowBits <= 15);
    EXPECT_TRUE(std::any_of(offers.begin(), offers.end(), [&](const WsExtension& offer) {
        const auto* const limit = find(offer, "server_max_window_bits");
        return offer.name == "permessage-deflate" &&
               (client == nullptr || find(offer, "client_max_window_bits") != nullptr) &&
               (limit == nullptr || agreed.serverWindowBits <= numberOf(limit->value.value_or("")));
    })) << agreement.answer;
}

void run(FuzzInput input) {
    const uint8_t flags = input.byte();
    const HttpHeaders headers = headersOf(input);
    checkKey(headers);
    checkSubprotocol(headers);
    std::vector<WsExtension> offers;
    const WsHandshakeVerdict verdict = parseExtensions(headers, offers);
    checkVerdict(verdict);
    EXPECT_TRUE(verdict.ok() || offers.empty());
    for (const WsExtension& offer : offers) {
        EXPECT_TRUE(isToken(offer.name));
        for (const auto& [name, value] : offer.parameters)
            EXPECT_TRUE(isToken(name) && (!value || isToken(*value))) << name;
    }
    const WsDeflateSettings settings{true, (flags & 1) != 0, 9 + (flags >> 1) % 7, 9 + (flags >> 4) % 7};
    if (const auto agreement = negotiateDeflate(offers, settings)) checkAgreement(*agreement, offers);
}

}  // namespace
}  // namespace tnet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    tnet::run(tnet::FuzzInput(data, size));
    return 0;
}
