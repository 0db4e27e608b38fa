#include "tnet/ssl/ssl_certificate.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <memory>
#include <system_error>
#include <tuple>
#include <utility>

#include "tnet/ssl/ssl_error.h"

namespace tnet {
namespace {

using GeneralNamesPtr_t = std::unique_ptr<GENERAL_NAMES, SslDelete<GENERAL_NAMES_free>>;

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

Result<PrivateKeyPtr_t> loadKey(const std::string& file) {
    const BioPtr_t bio = openFile(file);
    if (!bio) return makeOpensslError(file);
    PrivateKeyPtr_t key(PEM_read_bio_PrivateKey(bio.get(), nullptr, refusePassword, nullptr));
    if (!key) return makeOpensslError(file);
    ERR_clear_error();
    return key;
}

std::vector<std::string> dnsNamesOf(X509* certificate) {
    std::vector<std::string> found;
    const GeneralNamesPtr_t names(
        static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
    for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
        const GENERAL_NAME* const name = sk_GENERAL_NAME_value(names.get(), i);
        if (name->type != GEN_DNS) continue;
        const auto* const bytes = reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName));
        found.emplace_back(bytes, static_cast<size_t>(ASN1_STRING_length(name->d.dNSName)));
    }
    return found;
}

Error makeMissingError(const std::string& what) { return makeError(std::errc::invalid_argument, what); }

}  // namespace

Result<std::vector<X509Ptr_t>> loadCertificates(const std::string& file) {
    const BioPtr_t bio = openFile(file);
    if (!bio) return makeOpensslError(file);
    std::vector<X509Ptr_t> all;
    while (X509* const next = PEM_read_bio_X509_AUX(bio.get(), nullptr, refusePassword, nullptr))
        all.emplace_back(next);
    if (all.empty() || !isEndOfPem()) return makeOpensslError(file);
    ERR_clear_error();
    return all;
}

Result<SslCertificate> SslCertificate::load(const SslCertificateFiles& files) {
    if (files.chainFile.empty()) return makeMissingError("SslCertificateFiles::chainFile is empty");
    if (files.keyFile.empty()) return makeMissingError(files.chainFile + ": its keyFile is empty");
    auto chain = loadCertificates(files.chainFile);
    if (!chain) return chain.error();
    auto key = loadKey(files.keyFile);
    if (!key) return key.error();

    SslCertificate loaded;
    loaded.m_chainFile = files.chainFile;
    loaded.m_key = std::move(*key);
    loaded.m_leaf = std::move(chain->front());
    if (X509_check_private_key(loaded.leaf(), loaded.m_key.get()) != 1)
        return makeOpensslError(files.keyFile + " is not the key of " + files.chainFile);
    loaded.m_intermediates.reset(sk_X509_new_null());
    for (size_t i = 1; i < chain->size(); ++i) {
        X509Ptr_t& each = (*chain)[i];
        const bool isRoot = X509_self_signed(each.get(), 0) == 1;
        if (!isRoot && sk_X509_push(loaded.m_intermediates.get(), each.get()) > 0)
            std::ignore = each.release();
    }
    loaded.m_dnsNames = dnsNamesOf(loaded.leaf());
    if (!files.ocspFile.empty()) {
        auto staple = SslStaple::load(files.ocspFile, loaded.leaf());
        if (!staple) return staple.error();
        loaded.m_staple = std::move(*staple);
    }
    return loaded;
}

Status SslCertificate::use(SSL_CTX* ctx) const {
    ERR_clear_error();
    if (SSL_CTX_use_cert_and_key(ctx, leaf(), m_key.get(), m_intermediates.get(), 1) != 1)
        return makeOpensslError(m_chainFile);
    return Done{};
}

bool SslCertificate::use(SSL* ssl) const {
    return SSL_use_cert_and_key(ssl, leaf(), m_key.get(), m_intermediates.get(), 1) == 1;
}

}  // namespace tnet
