#include "tnet/proxy_header.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/hex.h"

namespace tnet {
namespace {

using Status = ProxyHeader::Status;

const std::string kSignature = fromHex("0d0a0d0a000d0a515549540a");
const std::string kTcp4 = fromHex("c0000201 c6336407 dc04 01bb");
const std::string kTcp6 =
    fromHex("20010db8000000000000000000000001 20010db8000000000000000000000002 dc04 01bb");

// `command`, `family` and the length of `block`, in front of it.
std::string binary(const std::string& commandAndFamily, const std::string& block) {
    const auto size = static_cast<uint16_t>(block.size());
    std::string text = kSignature + fromHex(commandAndFamily);
    text += static_cast<char>(size >> 8U);
    text += static_cast<char>(size & 0xffU);
    return text + block;
}

struct Row {
    const char* name;
    std::string header;
    const char* source;  // null: malformed; empty: does not say
};

std::vector<Row> rows() {
    const std::string longest =
        "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    const std::string unixBlock(216, 'u');
    return {
        // Version 1.
        {"tcp4", "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n", "192.0.2.1:56324"},
        {"tcp6", "PROXY TCP6 2001:db8::1 ::1 65535 0\r\n", "[2001:db8::1]:65535"},
        {"tcp6-upper-case", "PROXY TCP6 2001:DB8::A ::1 1 2\r\n", "[2001:db8::a]:1"},
        {"tcp6-mapped", "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", "[::ffff:192.0.2.1]:1"},
        {"longest", longest, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
        {"unknown", "PROXY UNKNOWN\r\n", ""},
        {"unknown-with-text", "PROXY UNKNOWN ffff:: any thing  at all 1\r\n", ""},
        {"unknown-of-107-bytes", "PROXY UNKNOWN " + std::string(91, 'x') + "\r\n", ""},
        {"unknown-of-108-bytes", "PROXY UNKNOWN " + std::string(92, 'x') + "\r\n", nullptr},
        {"unknown-run-on", "PROXY UNKNOWNS\r\n", nullptr},
        {"lower-case", "proxy TCP4 192.0.2.1 198.51.100.7 1 2\r\n", nullptr},
        {"lower-case-protocol", "PROXY tcp4 192.0.2.1 198.51.100.7 1 2\r\n", nullptr},
        {"udp", "PROXY UDP4 192.0.2.1 198.51.100.7 1 2\r\n", nullptr},
        {"nothing", "PROXY \r\n", nullptr},
        {"no-space", "PROXY\r\n", nullptr},
        {"two-spaces", "PROXY TCP4  192.0.2.1 198.51.100.7 1 2\r\n", nullptr},
        {"space-at-end", "PROXY TCP4 192.0.2.1 198.51.100.7 1 2 \r\n", nullptr},
        {"tab", "PROXY TCP4\t192.0.2.1 198.51.100.7 1 2\r\n", nullptr},
        {"field-missing", "PROXY TCP4 192.0.2.1 198.51.100.7 1\r\n", nullptr},
        {"field-too-many", "PROXY TCP4 192.0.2.1 198.51.100.7 1 2 3\r\n", nullptr},
        {"wrong-family", "PROXY TCP4 2001:db8::1 ::1 1 2\r\n", nullptr},
        {"wrong-family-6", "PROXY TCP6 192.0.2.1 198.51.100.7 1 2\r\n", nullptr},
        {"bad-destination", "PROXY TCP4 192.0.2.1 198.51.100 1 2\r\n", nullptr},
        {"octet-too-large", "PROXY TCP4 192.0.2.256 198.51.100.7 1 2\r\n", nullptr},
        {"octet-with-zero", "PROXY TCP4 192.0.02.1 198.51.100.7 1 2\r\n", nullptr},
        {"port-too-large", "PROXY TCP4 192.0.2.1 198.51.100.7 65536 2\r\n", nullptr},
        {"port-with-zero", "PROXY TCP4 192.0.2.1 198.51.100.7 01 2\r\n", nullptr},
        {"port-with-sign", "PROXY TCP4 192.0.2.1 198.51.100.7 +1 2\r\n", nullptr},
        {"port-empty", "PROXY TCP4 192.0.2.1 198.51.100.7  2\r\n", nullptr},
        {"nul", std::string("PROXY TCP4 192.0.2.1\0 198.51.100.7 1 2\r\n", 41), nullptr},
        {"scope", "PROXY TCP6 fe80::1%lo ::1 1 2\r\n", nullptr},
        {"two-gaps", "PROXY TCP6 1::2::3 ::1 1 2\r\n", nullptr},
        {"lf-alone", "PROXY TCP4 192.0.2.1 198.51.100.7 1 2\n", nullptr},
        {"cr-alone", "PROXY TCP4 192.0.2.1 198.51.100.7 1 2\rX", nullptr},
        {"cr-twice", "PROXY TCP4 192.0.2.1 198.51.100.7 1 2\r\r\n", nullptr},
        {"cr-inside", "PROXY UNKNOWN a\rb\r\n", nullptr},
        {"endless", "PROXY TCP4 " + std::string(200, '1'), nullptr},
        // Version 2.
        {"v2-tcp4", binary("21 11", kTcp4), "192.0.2.1:56324"},
        {"v2-tcp6", binary("21 21", kTcp6), "[2001:db8::1]:56324"},
        {"v2-tlvs", binary("21 11", kTcp4 + fromHex("04 0003 000000")), "192.0.2.1:56324"},
        {"v2-many-tlvs", binary("21 11", kTcp4 + std::string(5000, 't')), "192.0.2.1:56324"},
        {"v2-longest", binary("21 21", kTcp6 + std::string(65535 - 36, 't')), "[2001:db8::1]:56324"},
        {"v2-unix", binary("21 31", unixBlock), "unix:"},
        {"v2-unspec", binary("21 00", ""), ""},
        {"v2-unspec-with-block", binary("21 00", std::string(300, 'x')), ""},
        {"v2-local", binary("20 00", ""), ""},
        {"v2-local-with-address", binary("20 11", kTcp4), ""},
        {"v2-local-any-family", binary("20 ff", "x"), ""},
        {"v2-version-1", binary("11 11", kTcp4), nullptr},
        {"v2-version-3", binary("31 11", kTcp4), nullptr},
        {"v2-command-2", binary("22 11", kTcp4), nullptr},
        {"v2-udp4", binary("21 12", kTcp4), nullptr},
        {"v2-udp6", binary("21 22", kTcp6), nullptr},
        {"v2-no-transport", binary("21 10", kTcp4), nullptr},
        {"v2-no-family", binary("21 01", kTcp4), nullptr},
        {"v2-family-4", binary("21 41", kTcp6), nullptr},
        {"v2-tcp4-too-short", binary("21 11", kTcp4.substr(1)), nullptr},
        {"v2-tcp6-too-short", binary("21 21", kTcp6.substr(1)), nullptr},
        {"v2-unix-too-short", binary("21 31", unixBlock.substr(1)), nullptr},
        {"v2-signature", fromHex("0d0a0d0a000d0a515549540d 21 11 000c") + kTcp4, nullptr},
        // Neither.
        {"http", "GET / HTTP/1.1\r\n", nullptr},
        {"tls", fromHex("16 03 01 02 00"), nullptr},
        {"crlf", "\r\n\r\nGET", nullptr},
    };
}

TEST(ProxyHeaderTest, EveryRowHasItsOutcome) {
    for (const Row& row : rows()) {
        SCOPED_TRACE(row.name);
        const ProxyHeader header = parseProxyHeader(row.header + "what is behind");
        if (row.source == nullptr) {
            EXPECT_EQ(header.status, Status::Malformed);
            continue;
        }
        ASSERT_EQ(header.status, Status::Complete);
        EXPECT_EQ(header.bytes, row.header.size());
        EXPECT_EQ(header.source ? header.source->toAddress().toString() : "", row.source);
    }
}

// Half a header is never taken for a whole one nor for none, except that the rest of a long one says nothing.
TEST(ProxyHeaderTest, EveryPrefixIsIncomplete) {
    for (const Row& row : rows()) {
        if (row.source == nullptr) continue;
        SCOPED_TRACE(row.name);
        for (size_t size = 0; size < row.header.size(); ++size) {
            const ProxyHeader header = parseProxyHeader(std::string_view(row.header).substr(0, size));
            ASSERT_NE(header.status, Status::Malformed) << size;
            if (header.status == Status::Complete) {
                ASSERT_EQ(header.bytes, row.header.size());
            } else {
                ASSERT_LT(size, ProxyHeader::kMaxKeptBytes);
            }
        }
    }
}

TEST(ProxyHeaderTest, WhatIsNoneIsRefusedAtItsFirstWrongByte) {
    EXPECT_EQ(parseProxyHeader("G").status, Status::Malformed);
    EXPECT_EQ(parseProxyHeader("PROXZ").status, Status::Malformed);
    EXPECT_EQ(parseProxyHeader("\r\n\r\nG").status, Status::Malformed);
    EXPECT_EQ(parseProxyHeader(kSignature + "\x11").status, Status::Malformed);
}

}  // namespace
}  // namespace tnet
