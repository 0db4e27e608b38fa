#include "tnet/ssl/tls_key.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "tnet/ssl/ssl_handle.h"
#include "tnet/ssl/thread_cache.h"

namespace tnet {
namespace {

// What is fetched is kept: looking it up is slow. Null: OpenSSL is set up without it, as for FIPS.

const EVP_CIPHER* fetchCipher(const char* name) {
    EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, name, nullptr);
    if (cipher == nullptr) ERR_clear_error();
    return cipher;
}

const EVP_MD* fetchDigest(const char* name) {
    EVP_MD* const digest = EVP_MD_fetch(nullptr, name, nullptr);
    if (digest == nullptr) ERR_clear_error();
    return digest;
}

EVP_KDF* keyDerivation() {
    static EVP_KDF* const derivation = [] {
        EVP_KDF* const fetched = EVP_KDF_fetch(nullptr, OSSL_KDF_NAME_TLS1_3_KDF, nullptr);
        if (fetched == nullptr) ERR_clear_error();
        return fetched;
    }();
    return derivation;
}

OSSL_PARAM octets(const char* name, const void* bytes, size_t size) {
    return OSSL_PARAM_construct_octet_string(name, const_cast<void*>(bytes), size);
}

}  // namespace

const TlsSuite* TlsSuite::find(uint16_t id) {
    static const TlsSuite aes128{fetchCipher("AES-128-GCM"), fetchDigest("SHA256"), 16, 32};
    static const TlsSuite aes256{fetchCipher("AES-256-GCM"), fetchDigest("SHA384"), 32, 48};
    static const TlsSuite chacha{fetchCipher("ChaCha20-Poly1305"), fetchDigest("SHA256"), 32, 32};
    const auto ifThere = [](const TlsSuite& suite) {
        const bool isThere = suite.cipher != nullptr && suite.digest != nullptr && keyDerivation() != nullptr;
        return isThere ? &suite : nullptr;
    };
    switch (id) {
        case 0x1301: return ifThere(aes128);
        case 0x1302: return ifThere(aes256);
        case 0x1303: return ifThere(chacha);
        default: return nullptr;
    }
}

void hkdfExpandLabel(const TlsSuite& suite, std::span<const uint8_t> secret, std::string_view label,
                     std::span<uint8_t> out) {
    constexpr std::string_view kPrefix = "tls13 ";
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    // OpenSSL takes the name through a pointer to what it does not change.
    auto* const digest = const_cast<char*>(EVP_MD_get0_name(suite.digest));
    const std::array<OSSL_PARAM, 6> parameters{
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        octets(OSSL_KDF_PARAM_KEY, secret.data(), secret.size()),
        octets(OSSL_KDF_PARAM_PREFIX, kPrefix.data(), kPrefix.size()),
        octets(OSSL_KDF_PARAM_LABEL, label.data(), label.size()),
        OSSL_PARAM_construct_end()};
    const KdfCtxPtr_t context(EVP_KDF_CTX_new(keyDerivation()));  // overwrites its copies at its end
    // The one way that is left for it to fail.
    if (!context || EVP_KDF_derive(context.get(), out.data(), out.size(), parameters.data()) != 1)
        throw std::bad_alloc();
}

// --- The thread's cipher contexts ---

class TlsKey::Contexts {
public:
    EVP_CIPHER_CTX* find(const TlsKey& key) {
        // A key may be destroyed by another thread than the one that used it, with the loop that ended.
        if (key.m_id == 0 || key.m_place >= m_places.size()) return nullptr;
        if (m_places[key.m_place].owner != key.m_id) return nullptr;
        return m_places[key.m_place].context.get();
    }

    // The place of the key that was given one longest ago, set up for `key`.
    EVP_CIPHER_CTX* assign(TlsKey& key) {
        if (m_places.size() < kCachedContexts && m_free.empty()) {
            m_free.reserve(kCachedContexts);  // to forget a key must not fail
            key.m_place = static_cast<uint32_t>(m_places.size());
            m_places.emplace_back();
        } else if (!m_free.empty()) {
            key.m_place = m_free.back();
            m_free.pop_back();
        } else {
            key.m_place = m_next;
            m_next = (m_next + 1) % kCachedContexts;
        }
        Place& place = m_places[key.m_place];
        place.owner = 0;  // until it is set up: nobody may take what it is now for his
        if (!place.context) place.context.reset(EVP_CIPHER_CTX_new());
        if (!place.context || !place.setKey(key.m_suite.cipher, key.m_key.data())) {
            m_free.push_back(key.m_place);
            throw std::bad_alloc();  // the one way that there is for it to fail
        }
        place.owner = key.m_id = s_lastId.fetch_add(1, std::memory_order_relaxed) + 1;
        return place.context.get();
    }

    void forget(const TlsKey& key) {
        if (!find(key)) return;
        Place& place = m_places[key.m_place];
        // The cipher that it has; without memory for that, the whole context goes, and the key with it.
        if (!place.setKey(nullptr, kNoKey.data())) place.context.reset();
        place.owner = 0;
        m_free.push_back(key.m_place);
    }

private:
    // In place of a key that is over.
    static constexpr std::array<uint8_t, 32> kNoKey{};

    struct Place {
        // Both directions of these ciphers are set up alike, but for the flag that each record's call gives.
        bool setKey(const EVP_CIPHER* cipher, const uint8_t* key) const {
            return EVP_CipherInit_ex2(context.get(), cipher, key, nullptr, -1, nullptr) == 1;
        }

        uint64_t owner = 0;
        CipherCtxPtr_t context{};
    };
    std::vector<Place> m_places;
    std::vector<uint32_t> m_free;
    uint32_t m_next = 0;
    static inline std::atomic<uint64_t> s_lastId{0};  // of all threads
};

TlsKey::TlsKey(const TlsSuite& suite, std::span<const uint8_t> secret, uint64_t sequence)
    : m_suite(suite), m_sequence(sequence) {
    assert(secret.size() == suite.secretBytes);
    std::memcpy(m_secret.data(), secret.data(), secret.size());
    derive();
}

TlsKey::~TlsKey() {
    forgetContext();
    OPENSSL_cleanse(m_secret.data(), m_secret.size());
    OPENSSL_cleanse(m_key.data(), m_key.size());
    OPENSSL_cleanse(m_iv.data(), m_iv.size());
}

void TlsKey::derive() {
    const std::span<const uint8_t> secret{m_secret.data(), m_suite.secretBytes};
    hkdfExpandLabel(m_suite, secret, "key", {m_key.data(), m_suite.keyBytes});
    hkdfExpandLabel(m_suite, secret, "iv", m_iv);
}

void TlsKey::forgetContext() {
    Contexts* const contexts = m_id != 0 ? ThreadCache<Contexts>::find() : nullptr;
    if (contexts != nullptr) contexts->forget(*this);
}

void TlsKey::update() {
    forgetContext();
    std::array<uint8_t, kMaxSecretBytes> next;
    hkdfExpandLabel(m_suite, {m_secret.data(), m_suite.secretBytes}, "traffic upd",
                    {next.data(), m_suite.secretBytes});
    m_secret = next;
    OPENSSL_cleanse(next.data(), next.size());
    m_sequence = 0;
    derive();
}

EVP_CIPHER_CTX* TlsKey::context() {
    Contexts& contexts = ThreadCache<Contexts>::get();
    EVP_CIPHER_CTX* const cached = contexts.find(*this);
    return cached != nullptr ? cached : contexts.assign(*this);
}

// RFC 8446 §5.3.
std::array<uint8_t, 12> TlsKey::nextNonce() {
    std::array<uint8_t, 12> nonce = m_iv;
    const uint64_t sequence = m_sequence++;
    for (size_t i = 0; i < 8; ++i) nonce[11 - i] ^= static_cast<uint8_t>(sequence >> (8 * i));
    return nonce;
}

struct TlsKey::ContextUse {
    ContextUse() = default;
    ~ContextUse() { ThreadCache<Contexts>::endUse(); }
    ContextUse(const ContextUse&) = delete;
    ContextUse& operator=(const ContextUse&) = delete;
};

bool TlsKey::seal(RecordType type, PlainPieces& plain, size_t size, ByteBuffer& output) {
    assert(size <= plain.left());
    const ContextUse use;
    const size_t bodyBytes = size + 1 + kRecordTagBytes;
    auto* const record = reinterpret_cast<uint8_t*>(output.reserve(kRecordHeaderBytes + bodyBytes));
    record[0] = static_cast<uint8_t>(RecordType::ApplicationData);
    record[1] = 3;  // legacy_record_version
    record[2] = 3;
    record[3] = static_cast<uint8_t>(bodyBytes >> 8);
    record[4] = static_cast<uint8_t>(bodyBytes);

    EVP_CIPHER_CTX* const cipher = context();
    const std::array<uint8_t, 12> nonce = nextNonce();
    int bytes = 0;
    if (EVP_CipherInit_ex2(cipher, nullptr, nullptr, nonce.data(), 1, nullptr) != 1) return false;
    if (EVP_CipherUpdate(cipher, nullptr, &bytes, record, kRecordHeaderBytes) != 1) return false;
    uint8_t* into = record + kRecordHeaderBytes;
    for (size_t left = size; left > 0;) {
        const iovec piece = plain.next(left);
        if (EVP_CipherUpdate(cipher, into, &bytes, static_cast<const uint8_t*>(piece.iov_base),
                             static_cast<int>(piece.iov_len)) != 1)
            return false;
        into += piece.iov_len;
        left -= piece.iov_len;
    }
    const auto contentType = static_cast<uint8_t>(type);
    if (EVP_CipherUpdate(cipher, into, &bytes, &contentType, 1) != 1) return false;
    ++into;
    if (EVP_CipherFinal_ex(cipher, into, &bytes) != 1) return false;
    if (EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, kRecordTagBytes, into) != 1) return false;
    output.commit(kRecordHeaderBytes + bodyBytes);
    return true;
}

std::optional<TlsKey::Content> TlsKey::open(std::string_view record, char* into) {
    const auto* const header = reinterpret_cast<const uint8_t*>(record.data());
    const size_t cipherBytes = record.size() - kRecordHeaderBytes - kRecordTagBytes;
    const uint8_t* const body = header + kRecordHeaderBytes;
    auto* const plain = reinterpret_cast<uint8_t*>(into);

    const ContextUse use;
    EVP_CIPHER_CTX* const cipher = context();
    const std::array<uint8_t, 12> nonce = nextNonce();
    int bytes = 0;
    // OpenSSL takes the tag through a pointer to what it does not change.
    auto* const tag = const_cast<uint8_t*>(body + cipherBytes);
    const bool authentic =
        EVP_CipherInit_ex2(cipher, nullptr, nullptr, nonce.data(), 0, nullptr) == 1 &&
        EVP_CipherUpdate(cipher, nullptr, &bytes, header, kRecordHeaderBytes) == 1 &&
        EVP_CipherUpdate(cipher, plain, &bytes, body, static_cast<int>(cipherBytes)) == 1 &&
        EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, kRecordTagBytes, tag) == 1 &&
        EVP_CipherFinal_ex(cipher, plain + cipherBytes, &bytes) == 1;
    if (!authentic) return std::nullopt;
    // TLSInnerPlaintext: content, its type, zeros (RFC 8446 §5.4).
    size_t end = cipherBytes;
    while (end > 1 && plain[end - 1] == 0) --end;
    return Content{static_cast<RecordType>(plain[end - 1]), end - 1, cipherBytes};
}

}  // namespace tnet
