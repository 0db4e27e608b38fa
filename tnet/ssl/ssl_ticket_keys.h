// SslTicketKeys: the keys that a server's session tickets are encrypted with (RFC 5077 §4, RFC 8446 §4.6.1).
//
//     made           lifetime          2 x lifetime
//      |  encrypts       |   decrypts only  |   is gone: the client's handshake is a full one
//
// A ticket of a key that only decrypts is good, and replaced. The keys are random, never leave the process, and
// change when they are asked for after their time; all loops of a server share them.
//
// Internal to //tnet/ssl. Threads: any. Lifetime: shared by the SSL_CTXs that use it.
#pragma once

#include <openssl/evp.h>

#include <array>
#include <chrono>
#include <memory>
#include <mutex>

#include "tnet/clock.h"
#include "tnet/result.h"
#include "tnet/ssl/ssl_handle.h"

namespace tnet {

class SslTicketKeys {
public:
    static constexpr size_t kNameBytes = 16;

    // `lifetime` is positive. `clock` is borrowed and outlives it. Errors: OpenSSL lacks the cipher.
    static Result<std::shared_ptr<SslTicketKeys>> create(std::chrono::seconds lifetime,
                                                         const Clock& clock = Clock::system());

    // For OpenSSL's callback (SSL_CTX_set_tlsext_ticket_key_evp_cb), with what it passes and what it wants back.
    static constexpr int kFailed = -1;
    static constexpr int kUnknown = 0;  // no such key, or no more
    static constexpr int kGood = 1;
    static constexpr int kRenew = 2;  // good, and time for a new ticket
    int encrypt(unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac);
    int decrypt(const unsigned char* name, const unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac);

private:
    struct Key {
        Key() = default;
        ~Key();
        Key(const Key&) = delete;
        Key& operator=(const Key&) = delete;

        std::array<unsigned char, kNameBytes> name{};
        std::array<unsigned char, 32> encryption{};
        std::array<unsigned char, 32> authentication{};
        TimePoint made{};
    };
    using KeyPtr_t = std::shared_ptr<const Key>;

    SslTicketKeys(std::chrono::seconds lifetime, const Clock& clock, CipherPtr_t cipher)
        : m_lifetime(lifetime), m_clock(clock), m_cipher(std::move(cipher)) {}

    static KeyPtr_t makeKey(TimePoint now);
    void rotate(TimePoint now);  // with m_mutex held
    KeyPtr_t current();          // null: no random bytes to be had
    KeyPtr_t find(const unsigned char* name, bool& isCurrent);

    const std::chrono::seconds m_lifetime;
    const Clock& m_clock;
    const CipherPtr_t m_cipher;
    std::mutex m_mutex;
    KeyPtr_t m_current{};   // guarded by m_mutex
    KeyPtr_t m_previous{};  // the same
};

}  // namespace tnet
