#include "websocket/handshake.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <stdexcept>
#include <utility>

#include "http/types.h"

namespace tnet {
namespace {

constexpr std::string_view kVersionName = "Sec-WebSocket-Version";
constexpr std::string_view kKeyName = "Sec-WebSocket-Key";
constexpr std::string_view kProtocolName = "Sec-WebSocket-Protocol";
constexpr std::string_view kExtensionsName = "Sec-WebSocket-Extensions";

constexpr std::string_view kDeflate = "permessage-deflate";
constexpr std::string_view kServerNoContextTakeover = "server_no_context_takeover";
constexpr std::string_view kClientNoContextTakeover = "client_no_context_takeover";
constexpr std::string_view kServerMaxWindowBits = "server_max_window_bits";
constexpr std::string_view kClientMaxWindowBits = "client_max_window_bits";

constexpr int kMinDeflateWindowBits = 9;
constexpr int kMaxWindowBits = 15;

bool isDigit(char c) { return c >= '0' && c <= '9'; }

bool isBase64Byte(char c) {
    return isDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' || c == '/';
}

std::vector<std::string_view> linesOf(const HttpHeaders& request, std::string_view name) {
    std::vector<std::string_view> lines;
    if (!request.mayHaveNameOf(name.size())) return lines;
    for (size_t i = 0; i < request.size(); ++i) {
        const HttpHeaders::Field field = request[i];
        if (equalsIgnoreCase(field.name, name)) lines.push_back(field.value);
    }
    return lines;
}

// 16 bytes are 22 characters and two of padding. The last four bits of the 22nd are not looked at: whatever
// they are, 16 bytes it is (RFC 4648 §3.5).
bool isKey(std::string_view text) {
    return text.size() == 24 && text.ends_with("==") &&
           std::all_of(text.begin(), text.end() - 2, isBase64Byte);
}

// RFC 6455 §9.1: what stands in quotes must be a token, too.
bool parseExtension(std::string_view member, WsExtension& extension) {
    FieldMember parts(member);
    extension.name = parts.name();
    if (!isToken(extension.name)) return false;
    for (FieldParameter parameter; parts.next(parameter);) {
        if (parameter.name.empty() || (parameter.value && !isToken(*parameter.value))) return false;
        extension.parameters.push_back(std::move(parameter));
    }
    return !parts.isMalformed();
}

// RFC 7692 §7.1.2: 8 to 15, decimal, without leading zeros.
std::optional<int> parseWindowBits(std::string_view text) {
    if (text == "8" || text == "9") return text.front() - '0';
    if (text.size() == 2 && text[0] == '1' && text[1] >= '0' && text[1] <= '5') return 10 + (text[1] - '0');
    return std::nullopt;
}

// The parameters of an offer of permessage-deflate.
struct DeflateOffer {
    bool serverNoContextTakeover = false;
    bool clientNoContextTakeover = false;
    std::optional<int> serverMaxWindowBits;
    std::optional<int> clientMaxWindowBits;  // without a value: the largest

    // False if the offer cannot be accepted with this parameter in it.
    bool add(const WsExtension::Parameter& parameter);
};

bool DeflateOffer::add(const WsExtension::Parameter& parameter) {
    const auto note = [&](bool& flag) { return !parameter.value && !std::exchange(flag, true); };
    if (parameter.name == kServerNoContextTakeover) return note(serverNoContextTakeover);
    if (parameter.name == kClientNoContextTakeover) return note(clientNoContextTakeover);
    if (parameter.name == kServerMaxWindowBits) {
        if (serverMaxWindowBits || !parameter.value) return false;
        serverMaxWindowBits = parseWindowBits(*parameter.value);
        return serverMaxWindowBits >= kMinDeflateWindowBits;
    }
    if (parameter.name == kClientMaxWindowBits) {
        if (clientMaxWindowBits) return false;
        clientMaxWindowBits = parameter.value ? parseWindowBits(*parameter.value) : kMaxWindowBits;
        return clientMaxWindowBits.has_value();
    }
    return false;
}

WsDeflateAgreement accept(const DeflateOffer& offer, const WsDeflateSettings& settings) {
    WsDeflateAgreement agreement{{}, std::string(kDeflate)};
    WsDeflateParameters& parameters = agreement.parameters;
    const auto answer = [&](std::string_view name) { agreement.answer.append("; ").append(name); };
    const auto answerBits = [&](std::string_view name, int bits) {
        answer(name);
        agreement.answer.append("=").append(std::to_string(bits));
    };

    // §7.1.1: either may be answered without having been offered. To an offered client_no_context_takeover,
    // a hint that the client does not need the window, the answer spares us keeping it.
    parameters.serverNoContextTakeover = settings.sharedWindow || offer.serverNoContextTakeover;
    parameters.clientNoContextTakeover = settings.sharedWindow || offer.clientNoContextTakeover;
    if (parameters.serverNoContextTakeover) answer(kServerNoContextTakeover);
    if (parameters.clientNoContextTakeover) answer(kClientNoContextTakeover);

    parameters.serverWindowBits =
        std::min(settings.serverMaxWindowBits, offer.serverMaxWindowBits.value_or(kMaxWindowBits));
    if (offer.serverMaxWindowBits) answerBits(kServerMaxWindowBits, parameters.serverWindowBits);
    if (offer.clientMaxWindowBits) {
        parameters.clientWindowBits = std::min(settings.clientMaxWindowBits, *offer.clientMaxWindowBits);
        answerBits(kClientMaxWindowBits, parameters.clientWindowBits);
    }
    return agreement;
}

}  // namespace

WsHandshakeVerdict checkHandshake(const HttpHeaders& request) {
    // RFC 6455 §11.3.5 and §11.3.1: neither may be there twice.
    FieldList versions(request, kVersionName);
    const auto version = versions.next();
    if (!version) return {400, "no Sec-WebSocket-Version", true};
    if (versions.next()) return {400, "more than one Sec-WebSocket-Version", true};
    if (*version != kWsVersion) return {426, "Sec-WebSocket-Version is not 13", true};

    const std::vector<std::string_view> keys = linesOf(request, kKeyName);
    if (keys.empty()) return {400, "no Sec-WebSocket-Key"};
    if (keys.size() > 1) return {400, "more than one Sec-WebSocket-Key"};
    if (!isKey(keys.front())) return {400, "Sec-WebSocket-Key is not base64 of 16 bytes"};
    return {};
}

std::string acceptKey(std::string_view key) {
    std::string text(key);
    text += "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
    unsigned int digestSize = 0;
    if (EVP_Digest(text.data(), text.size(), digest.data(), &digestSize, EVP_sha1(), nullptr) != 1)
        throw std::runtime_error("libcrypto has no SHA-1");
    std::array<unsigned char, (EVP_MAX_MD_SIZE + 2) / 3 * 4 + 1> base64;
    const int size = EVP_EncodeBlock(base64.data(), digest.data(), static_cast<int>(digestSize));
    return {base64.begin(), base64.begin() + size};
}

WsHandshakeVerdict chooseSubprotocol(const HttpHeaders& request, std::span<const std::string> supported,
                                     std::string_view& chosen) {
    chosen = {};
    std::vector<std::string_view> offered;
    for (FieldList list(request, kProtocolName); const auto member = list.next();) {
        if (!isToken(*member)) return {400, "malformed Sec-WebSocket-Protocol"};
        offered.push_back(*member);
    }
    std::sort(offered.begin(), offered.end());
    if (std::adjacent_find(offered.begin(), offered.end()) != offered.end())
        return {400, "a subprotocol twice in Sec-WebSocket-Protocol"};
    for (const std::string& candidate : supported) {
        if (std::binary_search(offered.begin(), offered.end(), std::string_view(candidate))) {
            chosen = candidate;
            break;
        }
    }
    return {};
}

WsHandshakeVerdict parseExtensions(const HttpHeaders& request, std::vector<WsExtension>& offers) {
    offers.clear();
    for (FieldList list(request, kExtensionsName); const auto member = list.next();) {
        if (parseExtension(*member, offers.emplace_back())) continue;
        offers.clear();
        return {400, "malformed Sec-WebSocket-Extensions"};
    }
    return {};
}

std::optional<WsDeflateAgreement> negotiateDeflate(const std::vector<WsExtension>& offers,
                                                   const WsDeflateSettings& settings) {
    [[maybe_unused]] const auto isPossible = [](int bits) {
        return bits >= kMinDeflateWindowBits && bits <= kMaxWindowBits;
    };
    assert(isPossible(settings.serverMaxWindowBits) && "server window bits are 9 to 15");
    assert(isPossible(settings.clientMaxWindowBits) && "client window bits are 9 to 15");
    if (!settings.enabled) return std::nullopt;
    for (const WsExtension& extension : offers) {
        if (extension.name != kDeflate) continue;
        DeflateOffer offer;
        const bool isAcceptable =
            std::all_of(extension.parameters.begin(), extension.parameters.end(),
                        [&](const WsExtension::Parameter& parameter) { return offer.add(parameter); });
        if (isAcceptable) return accept(offer, settings);
    }
    return std::nullopt;
}

}  // namespace tnet
