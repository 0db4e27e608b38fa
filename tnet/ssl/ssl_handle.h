// Owners of OpenSSL's objects. Internal to //tnet/ssl.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
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

struct X509ChainDelete {
    void operator()(STACK_OF(X509) * chain) const noexcept { sk_X509_pop_free(chain, X509_free); }
};

using SslPtr_t = std::unique_ptr<SSL, SslDelete<SSL_free>>;
using SslCtxPtr_t = std::unique_ptr<SSL_CTX, SslDelete<SSL_CTX_free>>;
using SslSessionPtr_t = std::unique_ptr<SSL_SESSION, SslDelete<SSL_SESSION_free>>;
using BioPtr_t = std::unique_ptr<BIO, SslDelete<BIO_free_all>>;
using X509Ptr_t = std::unique_ptr<X509, SslDelete<X509_free>>;
using X509ChainPtr_t = std::unique_ptr<STACK_OF(X509), X509ChainDelete>;
using X509StorePtr_t = std::unique_ptr<X509_STORE, SslDelete<X509_STORE_free>>;
using PrivateKeyPtr_t = std::unique_ptr<EVP_PKEY, SslDelete<EVP_PKEY_free>>;
using DigestCtxPtr_t = std::unique_ptr<EVP_MD_CTX, SslDelete<EVP_MD_CTX_free>>;
using KdfCtxPtr_t = std::unique_ptr<EVP_KDF_CTX, SslDelete<EVP_KDF_CTX_free>>;
using CipherPtr_t = std::unique_ptr<EVP_CIPHER, SslDelete<EVP_CIPHER_free>>;
using CipherCtxPtr_t = std::unique_ptr<EVP_CIPHER_CTX, SslDelete<EVP_CIPHER_CTX_free>>;

}  // namespace tnet
