// TlsKey: protects the records of one direction of a TLS 1.3 connection, as RFC 8446 §5.2 to §5.4, §7.2 and
// §7.3 say. The cipher itself is OpenSSL's.
//
// A key is some hundred bytes; the cipher contexts that it needs to work, a kilobyte each, belong to the
// thread: kCachedContexts of them serve the keys that were used last, so that an idle connection has none.
//
// Internal to //tnet/ssl. Threads: that of its connection's loop. Lifetime: its codec's; the secrets are
// overwritten at the end.
#pragma once

#include <openssl/evp.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "tnet/byte_buffer.h"
#include "tnet/ssl/ssl_codec.h"

namespace tnet {

inline constexpr size_t kRecordTagBytes = 16;  // of all three suites

// A cipher suite of TLS 1.3 (RFC 8446 §B.4).
struct TlsSuite {
    const EVP_CIPHER* cipher;
    const EVP_MD* digest;  // of HKDF
    size_t keyBytes;
    size_t secretBytes;

    // `id` is the suite's two bytes on the wire, as SSL_CIPHER_get_protocol_id gives them. Null for one that
    // is not known here.
    static const TlsSuite* find(uint16_t id);
};

class TlsKey {
public:
    static constexpr size_t kCachedContexts = 1024;  // per thread
    static constexpr size_t kMaxSecretBytes = 48;

    // `secret` is a traffic secret, suite.secretBytes long; `sequence` the number of the next record.
    TlsKey(const TlsSuite& suite, std::span<const uint8_t> secret, uint64_t sequence);
    ~TlsKey();
    TlsKey(const TlsKey&) = delete;
    TlsKey& operator=(const TlsKey&) = delete;

    // Appends a record with `size` bytes of `plain`. False: OpenSSL failed; the key is of no use any more.
    bool seal(RecordType type, PlainPieces& plain, size_t size, ByteBuffer& output);

    struct Content {
        RecordType type;  // 0, which is none, if there is nothing but zeros
        size_t bytes;
        size_t innerBytes;  // with the type and the padding
    };
    // Opens one whole record, header included, into `into`, which has room for the record's length less
    // header and tag. Nullopt: it is not authentic.
    std::optional<Content> open(std::string_view record, char* into);

    // Goes on to the next generation (RFC 8446 §7.2); sequence numbers begin anew.
    void update();

    uint64_t sequence() const { return m_sequence; }

    // What the kernel needs to take over.
    const TlsSuite& suite() const { return m_suite; }
    std::span<const uint8_t> key() const { return {m_key.data(), m_suite.keyBytes}; }
    std::span<const uint8_t> iv() const { return m_iv; }

private:
    class Contexts;
    struct ContextUse;

    void derive();
    std::array<uint8_t, 12> nextNonce();
    EVP_CIPHER_CTX* context();
    void forgetContext();

    const TlsSuite& m_suite;
    uint64_t m_sequence;
    uint64_t m_id = 0;     // of what is cached; 0: nothing ever was
    uint32_t m_place = 0;  // in the thread's cache
    std::array<uint8_t, 12> m_iv;
    std::array<uint8_t, 32> m_key;
    std::array<uint8_t, kMaxSecretBytes> m_secret;
};

// HKDF-Expand-Label with an empty context (RFC 8446 §7.1), as OpenSSL has it.
void hkdfExpandLabel(const TlsSuite& suite, std::span<const uint8_t> secret, std::string_view label,
                     std::span<uint8_t> out);

}  // namespace tnet
