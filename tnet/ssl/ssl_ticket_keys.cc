#include "tnet/ssl/ssl_ticket_keys.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cassert>
#include <utility>

#include "tnet/ssl/ssl_error.h"

namespace tnet {
namespace {

bool startMac(EVP_MAC_CTX* mac, const std::array<unsigned char, 32>& key) {
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                 OSSL_PARAM_construct_end()};
    return EVP_MAC_init(mac, key.data(), key.size(), params) == 1;
}

}  // namespace

SslTicketKeys::Key::~Key() {
    OPENSSL_cleanse(encryption.data(), encryption.size());
    OPENSSL_cleanse(authentication.data(), authentication.size());
}

Result<std::shared_ptr<SslTicketKeys>> SslTicketKeys::create(std::chrono::seconds lifetime,
                                                             const Clock& clock) {
    assert(lifetime > std::chrono::seconds::zero() && "a ticket key lives for some time");
    ERR_clear_error();
    CipherPtr_t cipher(EVP_CIPHER_fetch(nullptr, "AES-256-CBC", nullptr));
    if (!cipher) return makeOpensslError("AES-256-CBC");
    return std::shared_ptr<SslTicketKeys>(new SslTicketKeys(lifetime, clock, std::move(cipher)));
}

int SslTicketKeys::encrypt(unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac) {
    const KeyPtr_t key = current();
    if (!key) return kFailed;
    if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(m_cipher.get())) != 1) return kFailed;
    std::copy(key->name.begin(), key->name.end(), name);
    if (EVP_EncryptInit_ex2(cipher, m_cipher.get(), key->encryption.data(), iv, nullptr) != 1) return kFailed;
    return startMac(mac, key->authentication) ? kGood : kFailed;
}

int SslTicketKeys::decrypt(const unsigned char* name, const unsigned char* iv, EVP_CIPHER_CTX* cipher,
                           EVP_MAC_CTX* mac) {
    bool isCurrent = false;
    const KeyPtr_t key = find(name, isCurrent);
    if (!key) return kUnknown;
    if (EVP_DecryptInit_ex2(cipher, m_cipher.get(), key->encryption.data(), iv, nullptr) != 1) return kFailed;
    if (!startMac(mac, key->authentication)) return kFailed;
    return isCurrent ? kGood : kRenew;
}

SslTicketKeys::KeyPtr_t SslTicketKeys::makeKey(TimePoint now) {
    const auto key = std::make_shared<Key>();
    key->made = now;
    const bool isRandom =
        RAND_bytes(key->name.data(), static_cast<int>(key->name.size())) == 1 &&
        RAND_priv_bytes(key->encryption.data(), static_cast<int>(key->encryption.size())) == 1 &&
        RAND_priv_bytes(key->authentication.data(), static_cast<int>(key->authentication.size())) == 1;
    return isRandom ? key : nullptr;
}

void SslTicketKeys::rotate(TimePoint now) {
    if (!m_current || now - m_current->made >= m_lifetime) {
        m_previous = std::move(m_current);
        m_current = makeKey(now);
    }
    if (m_previous && now - m_previous->made >= 2 * m_lifetime) m_previous.reset();
}

SslTicketKeys::KeyPtr_t SslTicketKeys::current() {
    const TimePoint now = m_clock.now();
    const std::lock_guard lock(m_mutex);
    rotate(now);
    return m_current;
}

SslTicketKeys::KeyPtr_t SslTicketKeys::find(const unsigned char* name, bool& isCurrent) {
    const TimePoint now = m_clock.now();
    const std::lock_guard lock(m_mutex);
    rotate(now);
    const auto isNamed = [name](const KeyPtr_t& key) {
        return key && std::equal(key->name.begin(), key->name.end(), name);
    };
    isCurrent = isNamed(m_current);
    if (isCurrent) return m_current;
    return isNamed(m_previous) ? m_previous : nullptr;
}

}  // namespace tnet
