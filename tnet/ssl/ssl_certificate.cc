#include "tnet/ssl/ssl_certificate.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "tnet/ssl/ssl_error.h"

namespace tnet {
namespace {

// An encrypted key is an error; without this OpenSSL would ask at the terminal.
int refusePassword(char*, int, int, void*) { return -1; }

BioPtr_t openFile(const std::string& file) {
    ERR_clear_error();
    return BioPtr_t(BIO_new_file(file.c_str(), "r"));
}

bool isEndOfPem() {
    const unsigned long error = ERR_peek_last_error();
    return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

bool isSelfSigned(X509* certificate) { return X509_self_signed(certificate, 0) == 1; }

Result<std::vector<X509Ptr_t>> loadChain(const std::string& file) {
    const BioPtr_t bio = openFile(file);
    if (!bio) return makeOpensslError(file);
    std::vector<X509Ptr_t> chain;
    chain.emplace_back(PEM_read_bio_X509_AUX(bio.get(), nullptr, refusePassword, nullptr));
    if (chain.front() == nullptr) return makeOpensslError(file);
    for (;;) {
        X509Ptr_t next(PEM_read_bio_X509(bio.get(), nullptr, refusePassword, nullptr));
        if (!next) break;
        chain.push_back(std::move(next));
    }
    if (!isEndOfPem()) return makeOpensslError(file);
    ERR_clear_error();
    return chain;
}

Result<PrivateKeyPtr_t> loadKey(const std::string& file) {
    const BioPtr_t bio = openFile(file);
    if (!bio) return makeOpensslError(file);
    PrivateKeyPtr_t key(PEM_read_bio_PrivateKey(bio.get(), nullptr, refusePassword, nullptr));
    if (!key) return makeOpensslError(file);
    return key;
}

}  // namespace

Result<SslCertificate> SslCertificate::load(const SslCertificateFiles& files) {
    auto chain = loadChain(files.chainFile);
    if (!chain) return chain.error();
    auto key = loadKey(files.keyFile);
    if (!key) return key.error();
    if (X509_check_private_key(chain->front().get(), key->get()) != 1)
        return makeOpensslError(files.keyFile + " is not the key of " + files.chainFile);

    SslCertificate loaded;
    loaded.m_chainFile = files.chainFile;
    loaded.m_key = std::move(*key);
    loaded.m_leaf = std::move(chain->front());
    for (size_t i = 1; i < chain->size(); ++i) {
        X509Ptr_t& each = (*chain)[i];
        if (!isSelfSigned(each.get())) loaded.m_intermediates.push_back(std::move(each));
    }
    return loaded;
}

Status SslCertificate::use(SSL_CTX* ctx) const {
    STACK_OF(X509)* const chain = sk_X509_new_null();
    for (const X509Ptr_t& each : m_intermediates) sk_X509_push(chain, each.get());
    ERR_clear_error();
    const bool isUsed = SSL_CTX_use_cert_and_key(ctx, m_leaf.get(), m_key.get(), chain, 1) == 1;
    sk_X509_free(chain);
    if (!isUsed) return makeOpensslError(m_chainFile);
    return Done{};
}

}  // namespace tnet
