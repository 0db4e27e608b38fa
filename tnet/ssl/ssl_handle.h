// Owners of OpenSSL's objects. Internal to //tnet/ssl.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>

namespace tnet {

template <auto free>
struct SslDelete {
    template <class T>
    void operator()(T* object) const noexcept {
        free(object);
    }
};

using SslPtr_t = std::unique_ptr<SSL, SslDelete<SSL_free>>;
using SslCtxPtr_t = std::unique_ptr<SSL_CTX, SslDelete<SSL_CTX_free>>;
using SslSessionPtr_t = std::unique_ptr<SSL_SESSION, SslDelete<SSL_SESSION_free>>;
using BioPtr_t = std::unique_ptr<BIO, SslDelete<BIO_free_all>>;
using X509Ptr_t = std::unique_ptr<X509, SslDelete<X509_free>>;
using PrivateKeyPtr_t = std::unique_ptr<EVP_PKEY, SslDelete<EVP_PKEY_free>>;
using DigestCtxPtr_t = std::unique_ptr<EVP_MD_CTX, SslDelete<EVP_MD_CTX_free>>;
using CipherCtxPtr_t = std::unique_ptr<EVP_CIPHER_CTX, SslDelete<EVP_CIPHER_CTX_free>>;

}  // namespace tnet
