// TestPki: certificates for tests, made when they are first asked for, as files in a temporary directory.
//
//     const TestPki& pki = TestPki::shared();
//     settings.certificates = {pki.files("localhost")};
//     settings.clientCaFile = pki.caFile();
//
// All keys are EC P-256 unless the name says otherwise:
//
//     localhost       DNS:localhost, IP:127.0.0.1, IP:::1       signed by the CA, as all but those that say so
//     localhost-rsa   the same with RSA 2048
//     example         DNS:example.org, DNS:www.example.org
//     wildcard        DNS:*.example.org
//     partial         DNS:w*.example.org, which nobody may match
//     other           DNS:other.test
//     ip              IP:127.0.0.1 alone
//     common-name     CN=localhost, and no subjectAltName
//     intermediate    DNS:localhost, signed by an intermediate CA that the chain file includes
//     full-chain      the same, and the chain file ends in the root
//     no-intermediate the same, and the chain file is the certificate alone
//     expired, not-yet-valid, self-signed, other-ca             DNS:localhost, each with what its name says
//     client          CN=alice, O=Example, email:alice@example.org, URI:spiffe://example.org/alice; for clients
//     localhost-small-rsa   RSA 1024, which OpenSSL refuses
//     client-rsa, client-expired, client-self-signed, client-other-ca
//
// Threads: any. Lifetime: shared() and its files live until the process ends.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "tnet/ssl/ssl_settings.h"

namespace tnet {

class TestPki {
public:
    enum class Issuer : uint8_t { Ca, Intermediate, OtherCa, Self };
    enum class Purpose : uint8_t { Server, Client };
    enum class Chain : uint8_t { Usual, WithRoot, LeafOnly };

    struct Spec {
        std::string commonName = "localhost";
        std::vector<std::string> altNames{};  // as in openssl.cnf: "DNS:example.org", "IP:127.0.0.1"
        Issuer issuer = Issuer::Ca;
        Purpose purpose = Purpose::Server;
        Chain chain = Chain::Usual;
        int rsaBits = 0;                      // zero: EC
        std::chrono::minutes validFrom{-60};  // from now on
        std::chrono::minutes validUntil{60 * 24};
    };

    static const TestPki& shared();

    TestPki();
    ~TestPki();  // removes the directory
    TestPki(const TestPki&) = delete;
    TestPki& operator=(const TestPki&) = delete;

    // Of the table above, or issued before. The files stay the same.
    SslCertificateFiles files(const std::string& name) const;

    // A new certificate with a new key in files called after `name`, in place of those it may have had.
    SslCertificateFiles issue(const std::string& name, const Spec& spec) const;

    // An OCSP response in DER for a certificate that the CA has issued; the file.
    enum class Ocsp : uint8_t { Good, Old, TryLater };
    std::string makeOcsp(const std::string& name, Ocsp kind) const;

    std::string caFile() const { return path("ca-root.pem"); }
    std::string intermediateCaFile() const { return path("ca-intermediate.pem"); }
    std::string otherCaFile() const { return path("ca-other.pem"); }

    std::string directory() const { return m_directory; }
    std::string path(const std::string& name) const { return m_directory + "/" + name; }

    // A file of that name with those bytes; its path.
    std::string write(const std::string& name, std::string_view bytes) const;

private:
    struct Authority;

    std::string m_directory;
    std::unique_ptr<Authority> m_ca;
    std::unique_ptr<Authority> m_intermediate;
    std::unique_ptr<Authority> m_otherCa;
    mutable std::recursive_mutex m_mutex;  // issue() within files()
    mutable std::map<std::string, SslCertificateFiles> m_files;
};

}  // namespace tnet
