// proxy_header: reads what a proxy puts in front of a connection to say for whom it is: the PROXY protocol, versions
// 1 (a line of text) and 2 (binary), of https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt.
//
//     PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n                                  at most 107 bytes
//     \r\n\r\n\0\r\nQUIT\n 21 11 000c  c0000201 c6336407 dc04 01bb                     at most 65551
//
// Strict: what its specification does not allow is malformed.
//
// Threads: any. Lifetime: the view is not needed afterwards.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "tnet/peer_address.h"

namespace tnet {

struct ProxyHeader {
    // What is read at most at a time, and kept: no part of a header that says anything is longer.
    static constexpr size_t kMaxKeptBytes = 232;

    enum class Status : uint8_t { Incomplete, Complete, Malformed };

    Status status = Status::Incomplete;
    // Complete: of the header; what is behind it is the connection's. May be more than was given, for what is left
    // of it says nothing (TLVs): so much is to be skipped.
    size_t bytes = 0;
    // Complete: on whose behalf the proxy connected. None: its own (LOCAL), or it does not say (UNKNOWN, UNSPEC).
    std::optional<PeerAddress> source{};
};

// `bytes`: what has come so far. While it is Incomplete all of them belong to the header.
ProxyHeader parseProxyHeader(std::string_view bytes);

}  // namespace tnet
