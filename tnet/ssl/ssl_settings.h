// ssl_settings: what an SslContext is made from.
//
// Plain values; a file is read when the context is made, and by its reload().
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace tnet {

enum class TlsVersion : uint8_t { Tls12, Tls13 };

// A certificate with what belongs to it, as files.
struct SslCertificateFiles {
    std::string chainFile{};  // PEM: the certificate first, then its intermediates
    std::string keyFile{};    // PEM, not encrypted
    std::string ocspFile{};   // DER: an OCSP response to staple (RFC 6066 §8); empty: none
};

enum class ClientCertificate : uint8_t {
    None,     // not asked for
    Ask,      // verified if the client shows one; a wrong one fails the handshake
    Require,  // no handshake without
};

struct SslServerSettings {
    // The names in a certificate (subjectAltName) choose it by SNI: exact before wildcard. The first one serves
    // clients that ask for no name or for one that no certificate has. At least one.
    std::vector<SslCertificateFiles> certificates{};

    TlsVersion minVersion = TlsVersion::Tls12;
    std::string ciphers{};       // of TLS 1.2, OpenSSL's syntax; empty: ECDHE with AES-GCM or ChaCha20
    std::string ciphersuites{};  // of TLS 1.3; empty: all three
    // ALPN, by preference; empty: not negotiated. A client that offers none of them is refused (RFC 7301 §3.2).
    std::vector<std::string> protocols = {"http/1.1", "http/1.0"};

    ClientCertificate clientCertificate = ClientCertificate::None;
    std::string clientCaFile{};  // PEM: who may sign clients' certificates. Needed by Ask and Require.

    // Session tickets (RFC 5077, RFC 8446 §4.6.1); zero: none. Their keys are this process's own, change
    // every `ticketLifetime`, and an old one is taken for one lifetime more. At most 7 days.
    std::chrono::seconds ticketLifetime{std::chrono::hours(12)};

    // After the handshake TLS 1.3 connections go on without OpenSSL's connection object: an idle one takes a ninth
    // of the memory, a request fewer instructions. The records are then this library's own work, with OpenSSL's
    // ciphers, and the keys come out of OpenSSL the way they come to key logs. docs/tls.md says when that is worth
    // it. An error where OpenSSL is set up for FIPS. TLS 1.2, and whatever else is negotiated that only OpenSSL
    // knows, stays OpenSSL's.
    bool compactConnections = false;

    // The kernel encrypts what such connections send; where it has no TLS, silently the ordinary way. Needs
    // compactConnections.
    bool kernelTls = false;

    // What a client that speaks HTTP without TLS gets before the close; empty: nothing.
    std::string plainAnswer =
        "HTTP/1.1 400 Bad Request\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        "Content-Length: 56\r\n"
        "Connection: close\r\n"
        "\r\n"
        "A plain HTTP request was sent to an HTTPS port. Use TLS\n";
};

struct SslClientSettings {
    std::string caFile{};               // PEM: whom to trust; empty: the system's trust store
    bool verifyPeer = true;             // false: anybody may be at the other end. For tests.
    SslCertificateFiles certificate{};  // to show when asked; empty: none
    TlsVersion minVersion = TlsVersion::Tls12;
    std::string ciphers{};
    std::string ciphersuites{};
    std::vector<std::string> protocols{};  // ALPN offers; empty: none
    bool resumeSessions = true;            // per host, the newest session; at most 1024 hosts
};

}  // namespace tnet
