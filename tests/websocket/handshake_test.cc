// The handshake's fields, in tables.
#include "websocket/handshake.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/headers.h"

namespace tnet {
namespace {

constexpr std::string_view kKey = "dGhlIHNhbXBsZSBub25jZQ==";

struct Field {
    std::string_view name;
    std::string_view value;
};

HttpHeaders headersOf(const std::vector<Field>& fields) {
    HttpHeaders headers;
    for (const Field& field : fields) headers.add(field.name, field.value);
    return headers;
}

// The lines of one field, with others around them.
HttpHeaders linesOf(std::string_view name, const std::vector<std::string_view>& lines) {
    HttpHeaders headers = headersOf({{"Host", "a.example"}, {"Sec-WebSocket", "none"}});
    for (const std::string_view line : lines) {
        headers.add(name, line);
        headers.add("X-Between", "a, b");
    }
    return headers;
}

// --- Version and key ---

TEST(AcceptKeyTest, IsThatOfTheRfc) {
    EXPECT_EQ(acceptKey(kKey), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");  // RFC 6455 §1.3
    EXPECT_EQ(acceptKey("x3JJHMbDL1EzLkh9GBhXDw=="), "HSmrc0sMlYUkAGmm5OPpG2HaGWk=");
    EXPECT_EQ(acceptKey(""), "Kfh9QIsMVZcl6xEPYxPHzW8SZ8w=");
    EXPECT_EQ(acceptKey(std::string(1000, 'A')).size(), 28U);
}

TEST(CheckHandshakeTest, VersionAndKey) {
    struct Row {
        const char* what;
        int status;
        std::vector<Field> fields;
    };
    constexpr std::string_view kV = "Sec-WebSocket-Version";
    constexpr std::string_view kK = "Sec-WebSocket-Key";
    const Row kRows[] = {
        {"in order", 0, {{kV, "13"}, {kK, kKey}}},
        {"in order, in other letters", 0, {{"sec-websocket-key", kKey}, {"SEC-WEBSOCKET-VERSION", "13"}}},
        {"empty members of a list", 0, {{kV, ", 13,"}, {kK, kKey}}},
        {"among others", 0, {{"Host", "a"}, {kV, "13"}, {"Sec-WebSocket-Keys", "x"}, {kK, kKey}}},
        {"every letter of base64", 0, {{kV, "13"}, {kK, "azAZ09+/azAZ09+/azAZ0A=="}}},
        {"bits that no byte has", 0, {{kV, "13"}, {kK, "azAZ09+/azAZ09+/azAZ0/=="}}},

        {"no fields", 400, {}},
        {"no version", 400, {{kK, kKey}}},
        {"two versions", 400, {{kV, "13"}, {kV, "13"}, {kK, kKey}}},
        {"two versions, one ours", 400, {{kV, "13"}, {kK, kKey}, {"sec-websocket-version", "8"}}},
        {"a list of versions", 400, {{kV, "13, 8"}, {kK, kKey}}},
        {"an empty version", 400, {{kV, ""}, {kK, kKey}}},

        // The client learns which version works, whatever it asked for.
        {"a version with a leading zero", 426, {{kV, "013"}, {kK, kKey}}},
        {"a version with a sign", 426, {{kV, "+13"}, {kK, kKey}}},
        {"a version that is a word", 426, {{kV, "thirteen"}, {kK, kKey}}},
        {"a version with a point", 426, {{kV, "13.0"}, {kK, kKey}}},
        {"a version in quotes", 426, {{kV, "\"13\""}, {kK, kKey}}},
        {"a version beyond 255", 426, {{kV, "256"}, {kK, kKey}}},
        {"a version far beyond 255", 426, {{kV, "4294967309"}, {kK, kKey}}},  // 13 in 32 bits
        {"version 0", 426, {{kV, "0"}, {kK, kKey}}},
        {"version 7", 426, {{kV, "7"}, {kK, kKey}}},
        {"version 8", 426, {{kV, "8"}, {kK, kKey}}},
        {"version 14", 426, {{kV, "14"}, {kK, kKey}}},
        {"version 131", 426, {{kV, "131"}, {kK, kKey}}},
        {"version 255", 426, {{kV, "255"}, {kK, kKey}}},
        {"another version without a key", 426, {{kV, "25"}}},

        {"no key", 400, {{kV, "13"}}},
        {"two keys", 400, {{kV, "13"}, {kK, kKey}, {kK, kKey}}},
        {"an empty key", 400, {{kV, "13"}, {kK, ""}}},
        {"a key of 13 bytes", 400, {{kV, "13"}, {kK, "AAECAwQFBgcICQoLDA=="}}},
        {"a key of 19 bytes", 400, {{kV, "13"}, {kK, "AAECAwQFBgcICQoLDA0ODxAREg=="}}},
        {"a key of 15 bytes", 400, {{kV, "13"}, {kK, "AAECAwQFBgcICQoLDA0O"}}},
        {"a key of 17 bytes", 400, {{kV, "13"}, {kK, "AAECAwQFBgcICQoLDA0ODxA="}}},
        {"a key of 18 bytes", 400, {{kV, "13"}, {kK, "AAECAwQFBgcICQoLDA0ODxAR"}}},
        {"a key of 16 bytes and more", 400, {{kV, "13"}, {kK, "dGhlIHNhbXBsZSBub25jZQ==AA=="}}},
        {"a key without padding", 400, {{kV, "13"}, {kK, "dGhlIHNhbXBsZSBub25jZQ"}}},
        {"a key with too much padding", 400, {{kV, "13"}, {kK, "dGhlIHNhbXBsZSBub25jZ==="}}},
        {"a key with padding in it", 400, {{kV, "13"}, {kK, "dGhlIHNh=XBsZSBub25jZQ=="}}},
        {"a key of the other base64", 400, {{kV, "13"}, {kK, "dGhlIHNhbXBsZSBub25-ZQ=="}}},
        {"a key with a space", 400, {{kV, "13"}, {kK, "dGhlIHNh XBsZSBub25jZQ=="}}},
        {"a key beyond ASCII", 400, {{kV, "13"}, {kK, "dGhlIHNh\xE4XBsZSBub25jZQ=="}}},
        {"a quoted key", 400, {{kV, "13"}, {kK, "\"dGhlIHNhbXBsZSBub25jZQ==\""}}},
    };
    for (const Row& row : kRows) {
        const WsHandshakeVerdict verdict = checkHandshake(headersOf(row.fields));
        EXPECT_EQ(verdict.status, row.status) << row.what;
        EXPECT_EQ(verdict.ok(), row.status == 0) << row.what;
        EXPECT_EQ(verdict.reason == nullptr, row.status == 0) << row.what;
        const bool isAboutVersion = std::string_view(row.what).find("version") != std::string_view::npos;
        EXPECT_EQ(verdict.isAboutVersion, isAboutVersion || row.fields.empty()) << row.what;
    }
}

// --- Subprotocols ---

TEST(ChooseSubprotocolTest, TheServersPreferenceDecides) {
    struct Row {
        std::vector<std::string_view> lines;
        std::vector<std::string> supported;
        std::string_view chosen;
    };
    const Row kRows[] = {
        {{}, {}, ""},
        {{}, {"chat"}, ""},
        {{"chat"}, {}, ""},
        {{"chat"}, {"chat"}, "chat"},
        {{"chat, superchat"}, {"superchat", "chat"}, "superchat"},
        {{"chat, superchat"}, {"chat", "superchat"}, "chat"},
        {{"superchat,chat"}, {"none", "chat", "superchat"}, "chat"},
        {{"chat", "superchat"}, {"superchat"}, "superchat"},
        {{"a, b", "c,d"}, {"d", "a"}, "d"},
        {{" \tchat\t ,\t superchat "}, {"superchat"}, "superchat"},
        {{"Chat"}, {"chat"}, ""},
        {{"chat"}, {"CHAT"}, ""},
        {{"chat, Chat"}, {"Chat"}, "Chat"},
        // An empty field, as clients write that offer none, and empty members (RFC 9110 §5.6.1.2).
        {{""}, {"chat"}, ""},
        {{","}, {"chat"}, ""},
        {{"", " \t"}, {"chat"}, ""},
        {{",chat"}, {"chat"}, "chat"},
        {{"chat,"}, {"chat"}, "chat"},
        {{"chat,,superchat"}, {"superchat"}, "superchat"},
        {{"chat, ,superchat"}, {"superchat"}, "superchat"},
        {{"chat", ""}, {"chat"}, "chat"},
        {{"chat2"}, {"chat"}, ""},
        {{"cha"}, {"chat"}, ""},
        {{"v1.chat.example!#$%&'*+-.^_`|~"},
         {"v1.chat.example!#$%&'*+-.^_`|~"},
         "v1.chat.example!#$%&'*+-.^_`|~"},
    };
    for (const Row& row : kRows) {
        const std::string trace = ::testing::PrintToString(row.lines);
        std::string_view chosen = "of before";
        EXPECT_TRUE(
            chooseSubprotocol(linesOf("sec-websocket-PROTOCOL", row.lines), row.supported, chosen).ok())
            << trace;
        EXPECT_EQ(chosen, row.chosen) << trace;
        const auto* const owner = std::find(row.supported.data(), row.supported.data() + row.supported.size(),
                                            std::string(row.chosen));
        if (!row.chosen.empty()) {
            EXPECT_EQ(chosen.data(), owner->data()) << trace;
        }
    }
}

TEST(ChooseSubprotocolTest, MalformedOffersAreRefused) {
    const std::vector<std::string_view> kRows[] = {
        {"chat superchat"},
        {"chat;superchat"},
        {"chat;q=1"},
        {"\"chat\""},
        {"cha/t"},
        {"ch\xE4t"},
        {"\"chat"},
        {"chat", "super chat,"},
        {"chat, chat"},
        {"chat,,chat"},
        {"chat, superchat", "chat"},
    };
    for (const std::vector<std::string_view>& lines : kRows) {
        const std::vector<std::string> supported = {"chat", ""};
        std::string_view chosen = "of before";
        const auto verdict = chooseSubprotocol(linesOf("Sec-WebSocket-Protocol", lines), supported, chosen);
        EXPECT_EQ(verdict.status, 400) << ::testing::PrintToString(lines);
        EXPECT_NE(verdict.reason, nullptr);
        EXPECT_EQ(chosen, "") << ::testing::PrintToString(lines);
    }
}

// --- Extensions ---

// As the grammar has it, with nothing optional.
std::string written(const std::vector<WsExtension>& extensions) {
    std::string out;
    for (const WsExtension& extension : extensions) {
        if (!out.empty()) out += ',';
        out += extension.name;
        for (const WsExtension::Parameter& parameter : extension.parameters) {
            out.append(";").append(parameter.name);
            if (parameter.value) out.append("=").append(*parameter.value);
        }
    }
    return out;
}

TEST(ParseExtensionsTest, ReadsTheGrammar) {
    struct Row {
        std::vector<std::string_view> lines;
        std::string_view parsed;
    };
    const Row kRows[] = {
        {{}, ""},
        {{"foo"}, "foo"},
        {{"foo, bar; baz=2"}, "foo,bar;baz=2"},  // RFC 6455 §9.1
        {{"deflate-stream"}, "deflate-stream"},
        {{"mux; max-channels=4; flow-control, deflate-stream"},
         "mux;max-channels=4;flow-control,deflate-stream"},
        {{"private-extension"}, "private-extension"},
        {{"foo", "bar; baz=2"}, "foo,bar;baz=2"},
        {{"a;b", "c", "d;e=f;g,h"}, "a;b,c,d;e=f;g,h"},
        {{"a;b=\"c\""}, "a;b=c"},
        {{"a;b=\"\\c\\d\";e"}, "a;b=cd;e"},
        {{" a\t;\tb = c ; d = \"e\" \t, f "}, "a;b=c;d=e,f"},
        {{"a;b;b;b=1;b=1"}, "a;b;b;b=1;b=1"},
        {{"a,a,a"}, "a,a,a"},
        // As with subprotocols.
        {{""}, ""},
        {{","}, ""},
        {{"foo,"}, "foo"},
        {{",foo"}, "foo"},
        {{"foo,,bar"}, "foo,bar"},
        {{"foo, ,bar"}, "foo,bar"},
        {{"foo", ""}, "foo"},
        {{"", "foo"}, "foo"},
        {{"!#$%&'*+-.^_`|~;!#$%&'*+-.^_`|~=\"!#$%&'*+-.^_`|~\""},
         "!#$%&'*+-.^_`|~;!#$%&'*+-.^_`|~=!#$%&'*+-.^_`|~"},
    };
    for (const Row& row : kRows) {
        const HttpHeaders headers = linesOf("sec-webSocket-extensions", row.lines);
        std::vector<WsExtension> offers = {{"of before", {}}};
        EXPECT_TRUE(parseExtensions(headers, offers).ok()) << ::testing::PrintToString(row.lines);
        EXPECT_EQ(written(offers), row.parsed);
    }
}

TEST(ParseExtensionsTest, WhatIsNotOfTheGrammarIsRefused) {
    const std::vector<std::string_view> kRows[] = {
        {";"},
        {"foo;"},
        {"foo;;bar"},
        {"foo; ;bar"},
        {"foo;,bar"},
        {";bar"},
        {"foo bar"},
        {"foo;bar baz"},
        {"foo=bar"},
        {"foo;=bar"},
        {"foo;bar="},
        {"foo;bar=,baz"},
        {"foo;bar=;baz"},
        {"foo;bar==baz"},
        {"foo;bar=baz=qux"},
        {"foo;bar=baz qux"},
        {"foo;bar=\""},
        {"foo;bar=\"\""},
        {"foo;bar=\"baz"},
        {"foo;bar=\"baz\\"},
        {"foo;bar=\"baz\\\""},
        {"foo;bar=\"baz qux\""},
        {"foo;bar=\"baz,qux\""},
        {"foo;bar=\"baz", "qux\""},
        {"foo;bar=\"baz\\ qux\""},
        {"foo;bar=\"b\\\"z\""},
        {"foo;bar=\"b\\\\z\""},
        {"foo;bar=\"baz\"qux"},
        {"foo;bar=qux\"baz\""},
        {"foo;bar=\" baz\""},
        {"foo;bar='baz/'"},
        {"foo;\"bar\"=baz"},
        {"\"foo\""},
        {"fo/o"},
        {"f\xC3\xB6o"},
        {"foo;bar=b\xC3\xA4z"},
        {"foo;bar=\"b\xC3\xA4z\""},
        {"foo;b(r"},
        {"permessage-deflate; client_max_window_bits=15", "foo;"},
    };
    for (const std::vector<std::string_view>& lines : kRows) {
        const HttpHeaders headers = linesOf("Sec-WebSocket-Extensions", lines);
        std::vector<WsExtension> offers = {{"of before", {}}};
        const WsHandshakeVerdict verdict = parseExtensions(headers, offers);
        EXPECT_EQ(verdict.status, 400) << ::testing::PrintToString(lines);
        EXPECT_NE(verdict.reason, nullptr) << ::testing::PrintToString(lines);
        EXPECT_TRUE(offers.empty()) << ::testing::PrintToString(lines);
    }
}

// --- permessage-deflate ---

constexpr WsDeflateSettings kDedicated{.enabled = true, .sharedWindow = false};
constexpr WsDeflateSettings kShared{.enabled = true, .sharedWindow = true};
constexpr WsDeflateSettings kSmall{
    .enabled = true, .sharedWindow = false, .serverMaxWindowBits = 11, .clientMaxWindowBits = 12};

std::optional<WsDeflateAgreement> negotiated(std::string_view offers, const WsDeflateSettings& settings) {
    const HttpHeaders headers = linesOf("Sec-WebSocket-Extensions", {offers});
    std::vector<WsExtension> extensions;
    EXPECT_TRUE(parseExtensions(headers, extensions).ok()) << offers;
    return negotiateDeflate(extensions, settings);
}

TEST(NegotiateDeflateTest, AcceptableOffersAreAnswered) {
    struct Row {
        std::string_view offers;
        WsDeflateSettings settings;
        std::string_view answer;
        int serverBits;
        int clientBits;
        bool serverForgets;
        bool clientForgets;
    };
    const Row kRows[] = {
        {"permessage-deflate", kDedicated, "permessage-deflate", 15, 15, false, false},
        {"permessage-deflate", kShared,
         "permessage-deflate; server_no_context_takeover; client_no_context_takeover", 15, 15, true, true},
        // Nothing about windows is answered that was not offered, and only the client's depends on that.
        {"permessage-deflate", kSmall, "permessage-deflate", 11, 15, false, false},

        {"permessage-deflate; server_no_context_takeover", kDedicated,
         "permessage-deflate; server_no_context_takeover", 15, 15, true, false},
        {"permessage-deflate; client_no_context_takeover", kDedicated,
         "permessage-deflate; client_no_context_takeover", 15, 15, false, true},
        {"permessage-deflate; client_no_context_takeover; server_no_context_takeover", kDedicated,
         "permessage-deflate; server_no_context_takeover; client_no_context_takeover", 15, 15, true, true},
        {"permessage-deflate; client_no_context_takeover", kShared,
         "permessage-deflate; server_no_context_takeover; client_no_context_takeover", 15, 15, true, true},

        // What browsers offer.
        {"permessage-deflate; client_max_window_bits", kDedicated,
         "permessage-deflate; client_max_window_bits=15", 15, 15, false, false},
        {"permessage-deflate; client_max_window_bits", kSmall,
         "permessage-deflate; client_max_window_bits=12", 11, 12, false, false},
        {"permessage-deflate; client_max_window_bits", kShared,
         "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
         "client_max_window_bits=15",
         15, 15, true, true},

        {"permessage-deflate; client_max_window_bits=15", kSmall,
         "permessage-deflate; client_max_window_bits=12", 11, 12, false, false},
        {"permessage-deflate; client_max_window_bits=10", kSmall,
         "permessage-deflate; client_max_window_bits=10", 11, 10, false, false},
        {"permessage-deflate; client_max_window_bits=9", kDedicated,
         "permessage-deflate; client_max_window_bits=9", 15, 9, false, false},
        {"permessage-deflate; client_max_window_bits=8", kDedicated,
         "permessage-deflate; client_max_window_bits=8", 15, 8, false, false},

        {"permessage-deflate; server_max_window_bits=15", kDedicated,
         "permessage-deflate; server_max_window_bits=15", 15, 15, false, false},
        {"permessage-deflate; server_max_window_bits=9", kDedicated,
         "permessage-deflate; server_max_window_bits=9", 9, 15, false, false},
        {"permessage-deflate; server_max_window_bits=10", kSmall,
         "permessage-deflate; server_max_window_bits=10", 10, 15, false, false},
        {"permessage-deflate; server_max_window_bits=12", kSmall,
         "permessage-deflate; server_max_window_bits=11", 11, 15, false, false},
        {"permessage-deflate; server_max_window_bits=\"10\"", kDedicated,
         "permessage-deflate; server_max_window_bits=10", 10, 15, false, false},
        {"permessage-deflate; client_max_window_bits=14; server_max_window_bits=13; "
         "client_no_context_takeover; server_no_context_takeover",
         kDedicated,
         "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
         "server_max_window_bits=13; client_max_window_bits=14",
         13, 14, true, true},

        // The first that is acceptable, whatever stands before it.
        {"permessage-deflate; server_max_window_bits=10, permessage-deflate", kDedicated,
         "permessage-deflate; server_max_window_bits=10", 10, 15, false, false},
        {"permessage-deflate; server_max_window_bits=8, permessage-deflate", kDedicated, "permessage-deflate",
         15, 15, false, false},
        {"permessage-deflate; server_max_window_bits=10; unknown, permessage-deflate; "
         "client_no_context_takeover, permessage-deflate",
         kDedicated, "permessage-deflate; client_no_context_takeover", 15, 15, false, true},
        {"permessage-bzip2; level=9, x-webkit-deflate-frame, permessage-deflate", kDedicated,
         "permessage-deflate", 15, 15, false, false},
    };
    for (const Row& row : kRows) {
        const auto agreement = negotiated(row.offers, row.settings);
        ASSERT_TRUE(agreement) << row.offers;
        EXPECT_EQ(agreement->answer, row.answer) << row.offers;
        EXPECT_EQ(agreement->parameters.serverWindowBits, row.serverBits) << row.offers;
        EXPECT_EQ(agreement->parameters.clientWindowBits, row.clientBits) << row.offers;
        EXPECT_EQ(agreement->parameters.serverNoContextTakeover, row.serverForgets) << row.offers;
        EXPECT_EQ(agreement->parameters.clientNoContextTakeover, row.clientForgets) << row.offers;
    }
}

TEST(NegotiateDeflateTest, OtherOffersAreDeclined) {
    constexpr std::string_view kRows[] = {
        "",
        "unknown",
        "x-webkit-deflate-frame",
        "permessage-deflate2",
        "Permessage-Deflate",
        "permessage-bzip2; permessage-deflate",
        // Unknown parameters.
        "permessage-deflate; unknown",
        "permessage-deflate; unknown=1",
        "permessage-deflate; max_window_bits=15",
        "permessage-deflate; Server_no_context_takeover",
        // Repeated ones.
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; server_max_window_bits=15; server_max_window_bits=15",
        "permessage-deflate; client_max_window_bits; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=15; client_max_window_bits=15",
        "permessage-deflate; client_max_window_bits; client_max_window_bits=15",
        // Values where none belong.
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; server_no_context_takeover=true",
        "permessage-deflate; client_no_context_takeover=\"0\"",
        // A value that is missing, or of no meaning.
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=1",
        "permessage-deflate; server_max_window_bits=0",
        "permessage-deflate; server_max_window_bits=09",
        "permessage-deflate; server_max_window_bits=015",
        "permessage-deflate; server_max_window_bits=\"010\"",
        "permessage-deflate; server_max_window_bits=-10",
        "permessage-deflate; server_max_window_bits=+10",
        "permessage-deflate; server_max_window_bits=10.0",
        "permessage-deflate; server_max_window_bits=0xa",
        "permessage-deflate; server_max_window_bits=1a",
        "permessage-deflate; server_max_window_bits=100",
        "permessage-deflate; server_max_window_bits=4294967306",
        "permessage-deflate; server_max_window_bits=ten",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=08",
        "permessage-deflate; client_max_window_bits=015",
        "permessage-deflate; client_max_window_bits=-9",
        "permessage-deflate; client_max_window_bits=1a",
        "permessage-deflate; client_max_window_bits=true",
        // A window that zlib cannot deflate with.
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=8; client_max_window_bits",
    };
    for (const std::string_view offers : kRows) {
        if (offers.empty()) {
            EXPECT_FALSE(negotiateDeflate({}, kDedicated));
        } else {
            EXPECT_FALSE(negotiated(offers, kDedicated)) << offers;
            EXPECT_FALSE(negotiated(offers, kShared)) << offers;
        }
    }
}

TEST(NegotiateDeflateTest, NotEnabledDeclinesAll) {
    EXPECT_FALSE(negotiated("permessage-deflate", WsDeflateSettings{}));
    EXPECT_FALSE(negotiated("permessage-deflate; client_max_window_bits", WsDeflateSettings{}));
}

}  // namespace
}  // namespace tnet
