// handshake: what a server makes of the fields of a WebSocket upgrade request (RFC 6455 §4.2, §9.1;
// RFC 7692 §7.1).
//
//     Sec-WebSocket-Version, -Key -> checkHandshake -> acceptKey         -> Sec-WebSocket-Accept
//     Sec-WebSocket-Protocol      -> chooseSubprotocol                   -> Sec-WebSocket-Protocol
//     Sec-WebSocket-Extensions    -> parseExtensions -> negotiateDeflate -> Sec-WebSocket-Extensions
//
// HTTP has looked at the method, the version, Host, Upgrade and Connection before. What breaks the grammar
// of a field is refused; what is well-formed and not supported is left out of the answer.
//
// Pure: no I/O, nothing kept.
// Threads: any.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "http/field_list.h"
#include "http/headers.h"

namespace tnet {

// The only version there is, and what the Sec-WebSocket-Version of a 426 says (RFC 6455 §4.4).
inline constexpr std::string_view kWsVersion = "13";

struct WsHandshakeVerdict {
    int status = 0;                // 0: in order; otherwise answer this instead of 101
    const char* reason = nullptr;  // static
    bool isAboutVersion = false;   // the answer says `Sec-WebSocket-Version: 13` (RFC 6455 §4.2.2)

    bool ok() const { return status == 0; }
};

// RFC 6455 §4.2.1, the version and the key. A version other than 13 is 426, to be answered with an Upgrade field
// (RFC 9110 §15.5.22), whether such a version can exist ("8") or not ("256", "013"): either way the client learns
// which one works. The key is not looked at then, as another version may mean something else by it. A version that
// is missing, or more than one, is 400, as is a key that is missing, repeated or not base64 of 16 bytes.
WsHandshakeVerdict checkHandshake(const HttpHeaders& request);

// The Sec-WebSocket-Accept for a Sec-WebSocket-Key (RFC 6455 §4.2.2), of any length. Throws
// std::runtime_error if libcrypto has no SHA-1.
std::string acceptKey(std::string_view key);

// The first of `supported` that the client offers, in `chosen`, which views into `supported`; empty if there
// is none, which is no fault: the answer has no Sec-WebSocket-Protocol then. Case matters (RFC 6455 §11.3.4).
// No offer at all, and a list without members, are the same. 400: an offer that is no list of tokens, or has one of
// them twice (§4.1, item 10).
WsHandshakeVerdict chooseSubprotocol(const HttpHeaders& request, std::span<const std::string> supported,
                                     std::string_view& chosen);

struct WsExtension {
    using Parameter = FieldParameter;  // name and value are tokens

    std::string_view name;
    std::vector<Parameter> parameters;
};

// All lines of Sec-WebSocket-Extensions, as one list (RFC 6455 §9.1), into `offers`, in order. The names are
// views into `request`. Empty members of the list are passed over, empty parameters are not of the grammar. 400,
// and nothing in `offers`: anything else that is not of the grammar.
WsHandshakeVerdict parseExtensions(const HttpHeaders& request, std::vector<WsExtension>& offers);

struct WsDeflateSettings {
    bool enabled = false;
    bool sharedWindow = true;      // asks for no context takeover both ways: no window per connection
    int serverMaxWindowBits = 15;  // 9 to 15: of what we send
    int clientMaxWindowBits = 15;  // 9 to 15: of what we receive, where the client lets us choose
};

// What permessage-deflate does on a connection. A window is 2 to the power of its bits, in bytes.
struct WsDeflateParameters {
    int serverWindowBits = 15;  // 9 to 15
    int clientWindowBits = 15;  // 8 to 15
    bool serverNoContextTakeover = false;
    bool clientNoContextTakeover = false;
};

struct WsDeflateAgreement {
    WsDeflateParameters parameters;
    std::string answer;  // the value of Sec-WebSocket-Extensions
};

// Takes the first offer of permessage-deflate that is acceptable; nothing if there is none or it is not
// enabled. An offer with an unknown or repeated parameter, or with a value that RFC 7692 §7.1 does not allow,
// is declined, and so is server_max_window_bits=8: zlib has no raw deflate with a window that small.
//
// A client that does not offer client_max_window_bits cannot be asked for a smaller window (§7.1.2.2), so
// clientWindowBits is 15 then, whatever the settings say. A serverWindowBits smaller than 15 needs no consent.
std::optional<WsDeflateAgreement> negotiateDeflate(const std::vector<WsExtension>& offers,
                                                   const WsDeflateSettings& settings);

}  // namespace tnet
