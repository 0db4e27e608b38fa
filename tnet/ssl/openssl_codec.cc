#include "tnet/ssl/openssl_codec.h"

#include <openssl/err.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstring>
#include <new>
#include <optional>
#include <utility>

#include "tnet/ssl/ssl_error.h"
#include "tnet/ssl/thread_cache.h"

namespace tnet {
namespace {

// The BIO of every connection: a view of the thread's buffers.

// Nothing may be thrown through OpenSSL's frames: without memory the write fails.
int writeOutput(BIO*, const char* bytes, size_t size, size_t* written) {
    try {
        SslBuffers::ofThread().output.append({bytes, size});
    } catch (const std::bad_alloc&) {
        return 0;
    }
    *written = size;
    return 1;
}

int readInput(BIO* bio, char* into, size_t size, size_t* read) {
    BIO_clear_retry_flags(bio);
    SslBuffers& buffers = SslBuffers::ofThread();
    // One whole record at a time: a part of one would cost the connection a buffer inside OpenSSL.
    if (buffers.recordLeft == 0 && !buffers.turn.isOver()) {
        buffers.recordLeft = firstRecordBytes(buffers.input.view());
        if (buffers.recordLeft > 0) buffers.turn.spend(buffers.recordLeft);
    }
    if (buffers.recordLeft == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    *read = std::min(size, buffers.recordLeft);
    std::memcpy(into, buffers.input.data(), *read);
    buffers.input.consume(*read);
    buffers.recordLeft -= *read;
    return 1;
}

long control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

int initialize(BIO* bio) {
    BIO_set_init(bio, 1);
    return 1;
}

const BIO_METHOD* bufferMethod() {
    static const BIO_METHOD* const method = [] {
        BIO_METHOD* const made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "tnet buffers");
        if (made == nullptr) throw std::bad_alloc();
        BIO_meth_set_write_ex(made, writeOutput);
        BIO_meth_set_read_ex(made, readInput);
        BIO_meth_set_ctrl(made, control);
        BIO_meth_set_create(made, initialize);
        return made;
    }();
    return method;
}

// The connections of a thread that were read last. They keep OpenSSL's buffer for that, 17 KiB, which to free
// and allocate for each record takes longer than to decrypt a short one. Idle ones have none.
class WarmConnections {
public:
    WarmConnections() = default;
    ~WarmConnections() {
        for (SSL* const each : m_ssls) SSL_free(each);
    }
    WarmConnections(const WarmConnections&) = delete;
    WarmConnections& operator=(const WarmConnections&) = delete;

    // Returns its place, which to give the next time.
    uint8_t use(SSL* ssl, uint8_t place) {
        if (m_ssls[place] == ssl) return place;
        place = m_next;
        m_next = static_cast<uint8_t>((m_next + 1) % m_ssls.size());
        if (m_ssls[place] != nullptr) SSL_free_buffers(m_ssls[place]);
        SSL_free(m_ssls[place]);
        // Its own reference: a connection may be destroyed by another thread, with a loop that has ended.
        SSL_up_ref(ssl);
        m_ssls[place] = ssl;
        return place;
    }

    void forget(SSL* ssl, uint8_t place) {
        if (m_ssls[place] == ssl) SSL_free(std::exchange(m_ssls[place], nullptr));
    }

private:
    std::array<SSL*, 64> m_ssls{};
    uint8_t m_next = 0;
};

// What earlier calls of anybody left in the thread's error queue would be taken for ours by SSL_get_error.
void forgetErrors() {
    if (ERR_peek_error() != 0) ERR_clear_error();
}

}  // namespace

OpensslCodec::OpensslCodec(SslPtr_t ssl) : m_ssl(std::move(ssl)) {
    BIO* const bio = BIO_new(bufferMethod());
    if (bio == nullptr) throw std::bad_alloc();
    SSL_set_bio(m_ssl.get(), bio, bio);
    SSL_set_read_ahead(m_ssl.get(),
                       1);  // a record with one read instead of two: the BIO gives no more than that
}

OpensslCodec::~OpensslCodec() {
    // Without it OpenSSL takes a connection that ended without close_notify for broken, and its session with it.
    SSL_set_shutdown(m_ssl.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    if (WarmConnections* const warm = ThreadCache<WarmConnections>::find())
        warm->forget(m_ssl.get(), m_warmPlace);
}

SslCodec::Opened OpensslCodec::handshake(SslBuffers&) {
    forgetErrors();
    const int result = SSL_do_handshake(m_ssl.get());
    if (result == 1) return {Status::Ok};
    const int reason = SSL_get_error(m_ssl.get(), result);
    if (reason == SSL_ERROR_WANT_READ) return {Status::NeedsInput};
    return failed(reason);
}

// While it exists, the buffer for reading stays.
class OpensslCodec::KeptBuffer {
public:
    explicit KeptBuffer(OpensslCodec& codec) : m_ssl(codec.m_ssl.get()) {
        WarmConnections* const warm = ThreadCache<WarmConnections>::lasting();
        if (warm == nullptr) return;
        codec.m_warmPlace = warm->use(m_ssl, codec.m_warmPlace);
        SSL_clear_mode(m_ssl, SSL_MODE_RELEASE_BUFFERS);
    }
    ~KeptBuffer() { SSL_set_mode(m_ssl, SSL_MODE_RELEASE_BUFFERS); }
    KeptBuffer(const KeptBuffer&) = delete;
    KeptBuffer& operator=(const KeptBuffer&) = delete;

private:
    SSL* const m_ssl;
};

SslCodec::Opened OpensslCodec::open(SslBuffers& buffers, char* into, size_t size) {
    size_t opened = 0;
    std::optional<KeptBuffer> kept;
    while (opened < size) {
        // OpenSSL would go a long way to find out that there is nothing.
        const bool mayHaveMore = !buffers.turn.isOver() && firstRecordBytes(buffers.input.view()) > 0;
        if (!mayHaveMore && !hasPendingInput()) return {Status::NeedsInput, opened};
        if (!kept) {
            kept.emplace(*this);
            forgetErrors();
        }
        size_t bytes = 0;
        const int result = SSL_read_ex(m_ssl.get(), into + opened, size - opened, &bytes);
        opened += bytes;
        if (result == 1) continue;
        const int reason = SSL_get_error(m_ssl.get(), result);
        if (reason == SSL_ERROR_WANT_READ) continue;  // a record without data
        if (reason == SSL_ERROR_ZERO_RETURN) return {Status::End, opened};
        Opened failure = failed(reason);
        failure.bytes = opened;
        return failure;
    }
    return {Status::Ok, opened};
}

// OpenSSL has a buffer for the longest record while it writes any. That of short records is one that malloc
// has at hand.
void OpensslCodec::fitWriteBuffer(size_t recordBytes) {
    constexpr size_t kShortRecordBytes = 768;
    const bool isShort = recordBytes <= kShortRecordBytes;
    if (isShort == m_isWritingShort) return;
    m_isWritingShort = isShort;
    const auto most = static_cast<long>(isShort ? kShortRecordBytes : kMaxRecordPlainBytes);
    SSL_ctrl(m_ssl.get(), SSL_CTRL_SET_MAX_SEND_FRAGMENT, most, nullptr);
    SSL_ctrl(m_ssl.get(), SSL_CTRL_SET_SPLIT_SEND_FRAGMENT, most, nullptr);
}

bool OpensslCodec::seal(SslBuffers&, PlainPieces& plain) {
    static thread_local std::array<char, kMaxRecordPlainBytes> gathered;
    const size_t size = std::min(plain.left(), kMaxRecordPlainBytes);
    const iovec first = plain.next(size);
    const char* record = static_cast<const char*>(first.iov_base);
    if (first.iov_len < size) {
        std::memcpy(gathered.data(), record, first.iov_len);
        for (size_t held = first.iov_len; held < size;) {
            const iovec piece = plain.next(size - held);
            std::memcpy(gathered.data() + held, piece.iov_base, piece.iov_len);
            held += piece.iov_len;
        }
        record = gathered.data();
    }
    fitWriteBuffer(size);
    size_t written = 0;
    return SSL_write_ex(m_ssl.get(), record, size, &written) == 1 && written == size;
}

void OpensslCodec::end(SslBuffers&) {
    forgetErrors();
    SSL_shutdown(m_ssl.get());
    forgetErrors();
}

SslCodec::Opened OpensslCodec::failed(int reason) {
    const long verified = SSL_get_verify_result(m_ssl.get());
    std::error_code error = takeOpensslError();
    if (reason != SSL_ERROR_SSL) error = SslError::Protocol;
    if (verified != X509_V_OK && !SSL_is_init_finished(m_ssl.get()))
        error = {static_cast<int>(verified), certificateCategory()};
    return {Status::Failed, 0, error};
}

}  // namespace tnet
