#include "tnet/ssl/ssl_error.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

namespace tnet {
namespace {

class SslCategory final : public std::error_category {
public:
    const char* name() const noexcept override { return "tls"; }
    std::string message(int value) const override {
        switch (static_cast<SslError>(value)) {
            case SslError::Truncated: return "the peer's stream ended without close_notify";
            case SslError::PlainRequest: return "plain HTTP request to a TLS port";
            case SslError::Protocol: return "TLS protocol error";
        }
        return "unknown TLS error";
    }
};

class OpensslCategory final : public std::error_category {
public:
    const char* name() const noexcept override { return "openssl"; }
    std::string message(int value) const override {
        // libssl's texts are loaded by nobody else.
        OPENSSL_init_ssl(OPENSSL_INIT_LOAD_SSL_STRINGS, nullptr);
        const auto code = static_cast<unsigned long>(static_cast<unsigned int>(value));
        if (const char* const reason = ERR_reason_error_string(code)) return reason;
        if (ERR_SYSTEM_ERROR(code)) return std::generic_category().message(ERR_GET_REASON(code));
        return "OpenSSL error " + std::to_string(code);
    }
};

class CertificateCategory final : public std::error_category {
public:
    const char* name() const noexcept override { return "certificate"; }
    std::string message(int value) const override { return X509_verify_cert_error_string(value); }
};

}  // namespace

std::error_code make_error_code(SslError error) {
    static const SslCategory category;
    return {static_cast<int>(error), category};
}

const std::error_category& opensslCategory() {
    static const OpensslCategory category;
    return category;
}

const std::error_category& certificateCategory() {
    static const CertificateCategory category;
    return category;
}

std::error_code takeOpensslError() {
    const unsigned long code = ERR_get_error();
    ERR_clear_error();
    if (code == 0) return SslError::Protocol;
    return {static_cast<int>(static_cast<unsigned int>(code)), opensslCategory()};
}

Error makeOpensslError(const std::string& what) { return makeError(takeOpensslError(), what); }

}  // namespace tnet
