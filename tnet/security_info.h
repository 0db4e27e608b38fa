// SecurityInfo: what a secured connection's handshake agreed on, and who the peer proved to be.
//
// Plain values, filled by the transport that did the handshake; plain connections have none. No OpenSSL
// in sight: layers above may look at it without linking one.
//
// Threads: immutable once made. Lifetime: shared; outlives its connection for whoever keeps it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tnet/cpp20.h"

namespace tnet {

// Of a certificate that was verified; one that was not is never shown.
struct PeerCertificate {
    std::string subject;  // RFC 4514, as "CN=alice,O=Example"
    std::string issuer;   // the same
    std::string commonName;
    std::string serialNumber;       // hexadecimal, upper case
    std::string sha256Fingerprint;  // of the DER, hexadecimal, lower case
    std::vector<std::string> dnsNames;
    std::vector<std::string> emails;
    std::vector<std::string> uris;

    bool operator==(const PeerCertificate&) const = default;
};

struct SecurityInfo {
    std::string version;     // "TLSv1.2", "TLSv1.3"
    std::string cipher;      // OpenSSL's name: "TLS_AES_128_GCM_SHA256"
    std::string protocol;    // ALPN's choice (RFC 7301); empty: none
    std::string serverName;  // that the client asked for (SNI, RFC 6066 §3); empty: none
    bool isResumed = false;  // an earlier session went on
    std::shared_ptr<const PeerCertificate> peer;  // null: the peer showed none
};
using SecurityInfoPtr_t = std::shared_ptr<const SecurityInfo>;

}  // namespace tnet
