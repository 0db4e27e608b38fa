#include "tnet/ssl/tls_key.h"

#include <openssl/crypto.h>
#include <openssl/err.h>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "tnet/ssl/ssl_handle.h"

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

// Appends to a small array whose size is known to suffice.
template <size_t N>
struct Bytes {
    std::array<uint8_t, N> bytes;
    size_t size = 0;

    void add(const void* more, size_t count) {
        assert(size + count <= N);
        std::memcpy(bytes.data() + size, more, count);
        size += count;
    }
    void add(uint8_t byte) { add(&byte, 1); }
};

// RFC 2104, for keys no longer than the digest's block. OpenSSL's own looks its digest up by name each time, which
// takes longer than the digest.
void hmac(const TlsSuite& suite, std::span<const uint8_t> key, std::span<const uint8_t> message,
          std::span<uint8_t> out) {
    constexpr size_t kMaxBlockBytes = 128;  // of SHA-384
    static thread_local DigestCtxPtr_t context;
    if (!context) context.reset(EVP_MD_CTX_new());
    if (!context) throw std::bad_alloc();
    const auto blockBytes = static_cast<size_t>(EVP_MD_get_block_size(suite.digest));
    assert(key.size() <= blockBytes && blockBytes <= kMaxBlockBytes);
    std::array<uint8_t, kMaxBlockBytes> block;
    std::array<uint8_t, EVP_MAX_MD_SIZE> inner;
    const auto digest = [&](uint8_t pad, std::span<const uint8_t> bytes, uint8_t* into) {
        block.fill(pad);
        for (size_t i = 0; i < key.size(); ++i) block[i] ^= key[i];
        return EVP_DigestInit_ex2(context.get(), suite.digest, nullptr) == 1 &&
               EVP_DigestUpdate(context.get(), block.data(), blockBytes) == 1 &&
               EVP_DigestUpdate(context.get(), bytes.data(), bytes.size()) == 1 &&
               EVP_DigestFinal_ex(context.get(), into, nullptr) == 1;
    };
    const bool done = digest(0x36, message, inner.data()) &&
                      digest(0x5c, std::span(inner).first(suite.secretBytes), out.data());
    OPENSSL_cleanse(block.data(), block.size());
    OPENSSL_cleanse(inner.data(), inner.size());
    if (!done) throw std::bad_alloc();  // the one way that is left for it to fail
}

}  // namespace

const TlsSuite* TlsSuite::find(uint16_t id) {
    static const TlsSuite aes128{fetchCipher("AES-128-GCM"), fetchDigest("SHA256"), 16, 32};
    static const TlsSuite aes256{fetchCipher("AES-256-GCM"), fetchDigest("SHA384"), 32, 48};
    static const TlsSuite chacha{fetchCipher("ChaCha20-Poly1305"), fetchDigest("SHA256"), 32, 32};
    const auto ifThere = [](const TlsSuite& suite) {
        return suite.cipher != nullptr && suite.digest != nullptr ? &suite : nullptr;
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
    assert(out.size() <= suite.secretBytes && "one round of HKDF-Expand");
    // HkdfLabel, and the number of the round (RFC 5869 §2.3).
    Bytes<64> info;
    info.add(static_cast<uint8_t>(out.size() >> 8));
    info.add(static_cast<uint8_t>(out.size()));
    info.add(static_cast<uint8_t>(kPrefix.size() + label.size()));
    info.add(kPrefix.data(), kPrefix.size());
    info.add(label.data(), label.size());
    info.add(0);  // no context
    info.add(1);
    std::array<uint8_t, EVP_MAX_MD_SIZE> expanded;
    hmac(suite, secret, {info.bytes.data(), info.size}, {expanded.data(), suite.secretBytes});
    std::memcpy(out.data(), expanded.data(), out.size());
    OPENSSL_cleanse(expanded.data(), expanded.size());
}

// --- The thread's cipher contexts ---

class TlsKey::Contexts {
public:
    static Contexts& ofThread() {
        static thread_local const std::unique_ptr<Contexts> contexts = std::make_unique<Contexts>();
        return *contexts;
    }

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
    if (m_id != 0) Contexts::ofThread().forget(*this);
    OPENSSL_cleanse(m_secret.data(), m_secret.size());
    OPENSSL_cleanse(m_key.data(), m_key.size());
}

void TlsKey::derive() {
    const std::span<const uint8_t> secret{m_secret.data(), m_suite.secretBytes};
    hkdfExpandLabel(m_suite, secret, "key", {m_key.data(), m_suite.keyBytes});
    hkdfExpandLabel(m_suite, secret, "iv", m_iv);
}

void TlsKey::update() {
    if (m_id != 0) Contexts::ofThread().forget(*this);
    std::array<uint8_t, kMaxSecretBytes> next;
    hkdfExpandLabel(m_suite, {m_secret.data(), m_suite.secretBytes}, "traffic upd",
                    {next.data(), m_suite.secretBytes});
    m_secret = next;
    OPENSSL_cleanse(next.data(), next.size());
    m_sequence = 0;
    derive();
}

EVP_CIPHER_CTX* TlsKey::context() {
    Contexts& contexts = Contexts::ofThread();
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

bool TlsKey::seal(RecordType type, PlainPieces& plain, size_t size, ByteBuffer& output) {
    assert(size <= plain.left());
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
    while (end > 0 && plain[end - 1] == 0) --end;
    if (end == 0) return std::nullopt;
    return Content{static_cast<RecordType>(plain[end - 1]), end - 1};
}

}  // namespace tnet
