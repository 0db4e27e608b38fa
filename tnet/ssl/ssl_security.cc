#include "tnet/ssl/ssl_security.h"

#include <openssl/bn.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "tnet/ssl/thread_cache.h"

namespace tnet {
namespace {

// What is looked at to see whether two connections agreed on the same.
struct Agreed {
    std::string_view version;
    std::string_view cipher;
    std::string_view protocol;
    std::string_view serverName;
    bool isResumed;
    std::string peerFingerprint;  // empty: no peer

    bool is(const SecurityInfo& info) const {
        return version == info.version && cipher == info.cipher && protocol == info.protocol &&
               serverName == info.serverName && isResumed == info.isResumed && hasPeer(info);
    }
    bool hasPeer(const SecurityInfo& info) const {
        return info.peer ? peerFingerprint == info.peer->sha256Fingerprint : peerFingerprint.empty();
    }
};

std::string_view viewOf(const char* text) { return text != nullptr ? text : std::string_view(); }

std::string_view viewOf(const ASN1_STRING* text) {
    return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
            static_cast<size_t>(ASN1_STRING_length(text))};
}

std::string_view protocolOf(SSL* ssl) {
    const unsigned char* name = nullptr;
    unsigned int size = 0;
    SSL_get0_alpn_selected(ssl, &name, &size);
    return {reinterpret_cast<const char*>(name), size};
}

// Null: none, or none that was verified.
X509* verifiedPeer(SSL* ssl) {
    return SSL_get_verify_result(ssl) == X509_V_OK ? SSL_get0_peer_certificate(ssl) : nullptr;
}

std::string fingerprintOf(X509* certificate) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
    unsigned int size = 0;
    if (X509_digest(certificate, EVP_sha256(), digest.data(), &size) != 1) return {};
    std::string text;
    for (unsigned int i = 0; i < size; ++i) {
        text += kDigits[digest[i] >> 4U];
        text += kDigits[digest[i] & 15U];
    }
    return text;
}

// RFC 4514: the last part of the name first, UTF-8 as it is.
std::string textOf(const X509_NAME* name) {
    const BioPtr_t bio(BIO_new(BIO_s_mem()));
    if (!bio) return {};
    X509_NAME_print_ex(bio.get(), name, 0,
                       XN_FLAG_RFC2253 & ~static_cast<unsigned long>(ASN1_STRFLGS_ESC_MSB));
    char* bytes = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &bytes);
    return {bytes, static_cast<size_t>(size)};
}

// The most specific one, which is the last.
std::string commonNameOf(const X509_NAME* name) {
    int last = -1;
    for (int i = -1; (i = X509_NAME_get_index_by_NID(name, NID_commonName, i)) >= 0;) last = i;
    if (last < 0) return {};
    unsigned char* utf8 = nullptr;
    const int size = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, last)));
    if (size < 0) return {};
    std::string text(reinterpret_cast<const char*>(utf8), static_cast<size_t>(size));
    OPENSSL_free(utf8);
    return text;
}

std::string serialNumberOf(X509* certificate) {
    const std::unique_ptr<BIGNUM, SslDelete<BN_free>> number(
        ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr));
    char* const digits = number ? BN_bn2hex(number.get()) : nullptr;
    if (digits == nullptr) return {};
    std::string text(digits);
    OPENSSL_free(digits);
    return text;
}

void addAltNames(PeerCertificate& peer, X509* certificate) {
    const std::unique_ptr<GENERAL_NAMES, SslDelete<GENERAL_NAMES_free>> names(
        static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
    for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
        const GENERAL_NAME* const name = sk_GENERAL_NAME_value(names.get(), i);
        if (name->type == GEN_DNS) peer.dnsNames.emplace_back(viewOf(name->d.dNSName));
        if (name->type == GEN_EMAIL) peer.emails.emplace_back(viewOf(name->d.rfc822Name));
        if (name->type == GEN_URI) peer.uris.emplace_back(viewOf(name->d.uniformResourceIdentifier));
    }
}

std::shared_ptr<const PeerCertificate> makePeer(X509* certificate, std::string fingerprint) {
    auto peer = std::make_shared<PeerCertificate>();
    peer->subject = textOf(X509_get_subject_name(certificate));
    peer->issuer = textOf(X509_get_issuer_name(certificate));
    peer->commonName = commonNameOf(X509_get_subject_name(certificate));
    peer->serialNumber = serialNumberOf(certificate);
    peer->sha256Fingerprint = std::move(fingerprint);
    addAltNames(*peer, certificate);
    return peer;
}

// What a thread made last. More than one: resumed or not, one version or the other, a client's few hosts.
class Recent {
public:
    template <class Matches>
    SecurityInfoPtr_t find(Matches matches) const {
        const auto found =
            std::find_if(m_infos.begin(), m_infos.end(),
                         [&matches](const SecurityInfoPtr_t& info) { return info && matches(*info); });
        return found != m_infos.end() ? *found : nullptr;
    }

    void add(SecurityInfoPtr_t info) {
        m_infos[m_next] = std::move(info);
        m_next = (m_next + 1) % m_infos.size();
    }

private:
    std::array<SecurityInfoPtr_t, 8> m_infos{};
    size_t m_next = 0;
};

}  // namespace

SecurityInfoPtr_t securityOf(SSL* ssl) {
    Recent& recent = ThreadCache<Recent>::get();
    X509* const certificate = verifiedPeer(ssl);
    Agreed agreed{viewOf(SSL_get_version(ssl)),
                  viewOf(SSL_CIPHER_get_name(SSL_get_current_cipher(ssl))),
                  protocolOf(ssl),
                  viewOf(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)),
                  SSL_session_reused(ssl) == 1,
                  certificate != nullptr ? fingerprintOf(certificate) : std::string()};
    if (auto same = recent.find([&agreed](const SecurityInfo& info) { return agreed.is(info); })) return same;

    auto info = std::make_shared<SecurityInfo>();
    info->version = agreed.version;
    info->cipher = agreed.cipher;
    info->protocol = agreed.protocol;
    info->serverName = agreed.serverName;
    info->isResumed = agreed.isResumed;
    if (certificate != nullptr) {
        const auto ofPeer =
            recent.find([&agreed](const SecurityInfo& other) { return agreed.hasPeer(other); });
        info->peer = ofPeer ? ofPeer->peer : makePeer(certificate, std::move(agreed.peerFingerprint));
    }
    recent.add(info);
    return info;
}

}  // namespace tnet
