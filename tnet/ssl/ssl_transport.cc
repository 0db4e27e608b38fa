#include "tnet/ssl/ssl_transport.h"

#include <openssl/crypto.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cctype>
#include <cerrno>
#include <new>
#include <utility>

#include "tnet/release_memory.h"
#include "tnet/ssl/kernel_tls.h"
#include "tnet/ssl/openssl_codec.h"
#include "tnet/ssl/ssl_codec.h"
#include "tnet/ssl/ssl_error.h"
#include "tnet/ssl/ssl_security.h"
#include "tnet/ssl/thread_cache.h"
#include "tnet/ssl/tls_records.h"
#include "tnet/ssl/tls_secrets.h"

namespace tnet {
namespace {

constexpr size_t kFlushBytes = 64 << 10;  // plain bytes per system call: four full records
// What one write or sendFile may seal, however fast the peer takes it.
constexpr TurnBudget kSealTurn{.steps = 16, .bytes = 1 << 20};
// In a row; no peer that means well sends more than two or three.
constexpr uint16_t kMostRecordsWithoutData = 256;
constexpr size_t kMaxBacklogBytes = 128 << 10;  // a flush, and then what a flood of KeyUpdates may add
constexpr size_t kKeptBufferBytes = 128 << 10;  // of the thread's buffers, between two calls
constexpr size_t kDiscardedBytes = 256 << 10;   // of a plain request, so that its answer is not reset away

// A method, or what of it the size of a record's header shows. No TLS record begins with a letter.
bool looksLikeHttp(std::string_view bytes) {
    for (size_t i = 0; i < kRecordHeaderBytes; ++i) {
        if (bytes[i] == ' ') return i > 0;
        if (bytes[i] < 'A' || bytes[i] > 'Z') return false;
    }
    return true;
}

class SslTransportImpl final : public Transport {
public:
    SslTransportImpl(SslPtr_t ssl, std::shared_ptr<SslTransport::Shared> shared, TransportPtr_t lower)
        : m_shared(std::move(shared)),
          m_lower(std::move(lower)),
          m_handshake(std::make_unique<Handshake>(std::move(ssl), m_shared->isCompact)) {}

    IoResult handshake(int fd) override {
        if (m_handshake->isPlainAnswered) return discardPlainRequest(fd);
        if (const IoResult blocked = flushBacklog(fd); blocked.status != IoStatus::Ok) return blocked;
        const bool isFirst = !std::exchange(m_handshake->isBegun, true);
        if (isFirst && m_handshake->isServer()) return {IoStatus::WantRead};  // the client speaks first
        BufferUse use(*this);
        if (!isFirst && !m_handshake->isFinished()) {
            const IoResult received = receive(fd, use.buffers(), kFlushBytes);
            if (received.status != IoStatus::Ok) return received;
            if (!m_handshake->isFirstSeen) {
                if (use.buffers().input.size() < kRecordHeaderBytes) return {IoStatus::WantRead};
                m_handshake->isFirstSeen = true;
                if (m_handshake->isServer() && looksLikeHttp(use.buffers().input.view()))
                    return answerPlainRequest(fd, use.buffers());
            }
        }
        const SslCodec::Opened step = m_handshake->advance(use.buffers());
        if (step.status == SslCodec::Status::Ok) return finishHandshake(fd, use.buffers());
        const IoResult flushed = flush(fd, use.buffers());
        if (step.status == SslCodec::Status::Failed) return handshakeFailed(step.error);
        return flushed.status == IoStatus::Ok ? IoResult{IoStatus::WantRead} : flushed;
    }

    IoResult read(int fd, char* into, size_t size) override {
        if (m_isBroken) return outOfMemory();
        if (m_backlog && m_backlog->error) return {IoStatus::Failed, 0, m_backlog->error};
        if (m_peerEnded) return {IoStatus::End};
        if (m_outputBlocked && !isReadIndependent()) {
            if (const IoResult blocked = flushBacklog(fd); blocked.status != IoStatus::Ok) return blocked;
        }
        BufferUse use(*this);
        const IoResult result = open(fd, use.buffers(), into, size);
        m_pendingInput = m_codec->hasPendingInput() || firstRecordBytes(use.buffers().input.view()) > 0 ||
                         (m_peerEnded && result.bytes > 0) || (m_backlog && m_backlog->error);
        if (m_endSent) {  // nothing follows close_notify
            use.buffers().output.clear(kKeptBufferBytes);
            return result;
        }
        const IoResult flushed = flush(fd, use.buffers());
        if (result.status != IoStatus::WantRead || flushed.status == IoStatus::Ok) return result;
        return flushed.status == IoStatus::WantWrite && isReadIndependent() ? result : flushed;
    }

    IoResult write(int fd, const iovec* pieces, int count) override {
        if (m_isBroken) return outOfMemory();
        if (m_kernelWrites) return m_lower->write(fd, pieces, count);
        PlainPieces plain(pieces, count);
        const size_t offered = plain.left();
        if (const IoResult blocked = flushBlocked(fd); blocked.status != IoStatus::Ok)
            return blocked.status == IoStatus::WantWrite ? taken(tell()) : blocked;
        size_t told = tell();
        assert(told <= offered && "what was not taken is offered again");
        plain.skip(told);
        BufferUse use(*this);
        prependBacklog(use.buffers());
        Turn turn(kSealTurn);
        while (plain.left() > 0 && !turn.isOver()) {
            const size_t before = plain.left();
            while (plain.left() > 0 && before - plain.left() < kFlushBytes) {
                if (!m_codec->seal(use.buffers(), plain)) return {IoStatus::Failed, 0, takeOpensslError()};
            }
            const size_t sealed = before - plain.left();
            turn.spend(sealed);
            if (const IoResult stopped = sendSealed(fd, use.buffers(), sealed);
                stopped.status != IoStatus::Ok)
                return stopped;
            told += tell();
            if (m_outputBlocked) break;
        }
        return offered == 0 ? IoResult{} : taken(told);
    }

    IoResult sendFile(int fd, int file, off_t offset, size_t size) override {
        if (m_kernelWrites) return m_lower->sendFile(fd, file, offset, size);
        if (const IoResult blocked = flushBlocked(fd); blocked.status != IoStatus::Ok)
            return blocked.status == IoStatus::WantWrite ? taken(tell()) : blocked;
        size_t told = tell();
        BufferUse use(*this);
        prependBacklog(use.buffers());
        Turn turn(kSealTurn);
        while (told < size && !turn.isOver()) {
            size_t sealed = 0;
            while (sealed < kFlushBytes && told + sealed < size) {
                const size_t wanted = std::min(size - told - sealed, kMaxRecordPlainBytes);
                const iovec piece = readFile(file, offset + static_cast<off_t>(told + sealed), wanted);
                if (piece.iov_len == 0)
                    return {IoStatus::Failed, 0, std::make_error_code(std::errc::io_error)};
                PlainPieces plain(&piece, 1);
                if (!m_codec->seal(use.buffers(), plain)) return {IoStatus::Failed, 0, takeOpensslError()};
                sealed += piece.iov_len;
            }
            turn.spend(sealed);
            if (const IoResult stopped = sendSealed(fd, use.buffers(), sealed);
                stopped.status != IoStatus::Ok)
                return stopped;
            told += tell();
            if (m_outputBlocked) break;
        }
        return taken(told);
    }

    IoResult endWrite(int fd) override {
        assert(m_codec && "not before the handshake is complete");
        if (const IoResult blocked = flushBlocked(fd); blocked.status != IoStatus::Ok) return blocked;
        if (!std::exchange(m_endSent, true)) {
            if (m_kernelWrites) {
                sendKernelCloseNotify(fd);
            } else {
                BufferUse use(*this);
                prependBacklog(use.buffers());
                m_codec->end(use.buffers());
                if (const IoResult flushed = flush(fd, use.buffers()); flushed.status != IoStatus::Ok)
                    return flushed;
            }
        }
        return m_lower->endWrite(fd);
    }

    bool hasPendingInput() const override { return m_pendingInput; }
    bool wantsGracefulEnd() const override { return true; }
    SecurityInfoPtr_t security() const override { return m_security; }

    void release() noexcept override { delete this; }

private:
    // Only until the handshake is complete.
    struct Handshake {
        Handshake(SslPtr_t ssl, bool isCompact) : codec(std::make_unique<OpensslCodec>(std::move(ssl))) {
            if (isCompact && isServer()) secrets = std::make_unique<TlsSecrets>(codec->ssl());
        }

        bool isServer() const { return SSL_is_server(codec->ssl()) == 1; }
        bool isFinished() const { return SSL_is_init_finished(codec->ssl()) == 1; }

        SslCodec::Opened advance(SslBuffers& buffers) {
            buffers.turn =
                Turn({.steps = UINT32_MAX, .bytes = SIZE_MAX});  // one read of the socket is bound enough
            if (!secrets) return codec->handshake(buffers);
            const TlsSecrets::Capture capture(*secrets, buffers);
            return codec->handshake(buffers);
        }

        std::unique_ptr<OpensslCodec> codec;
        std::unique_ptr<TlsSecrets> secrets{};  // only where the connection is to be compact
        size_t discardedBytes = 0;              // of a plain request
        bool isBegun = false;
        bool isFirstSeen = false;  // the first record's header
        bool isPlainAnswered = false;
    };

    // What has to wait: seldom anything.
    struct Backlog {
        std::string input{};      // records that came, the last not whole
        ByteBuffer output{};      // records that the kernel did not take, or that need not leave alone
        std::error_code error{};  // of reading, to be told behind the bytes in front of it

        bool isEmpty() const { return input.empty() && output.empty() && !error; }
    };

    // The thread's buffers while a call uses them: begins with the input that was left, keeps what is left.
    class BufferUse {
    public:
        explicit BufferUse(SslTransportImpl& transport)
            : m_transport(transport), m_buffers(SslBuffers::ofThread()) {
            assert(m_buffers.input.empty() && m_buffers.output.empty() && "left by another connection");
            m_buffers.recordLeft = 0;
            if (!transport.m_backlog || transport.m_backlog->input.empty()) return;
            m_buffers.input.append(transport.m_backlog->input);
            releaseMemory(transport.m_backlog->input);
        }
        ~BufferUse() {
            try {
                if (!m_buffers.input.empty()) m_transport.backlog().input.assign(m_buffers.input.view());
            } catch (const std::bad_alloc&) {
                m_transport.m_isBroken = true;  // what came is lost
            }
            m_buffers.input.clear(kKeptBufferBytes);
            m_buffers.output.clear(kKeptBufferBytes);
            if (m_transport.m_backlog && m_transport.m_backlog->isEmpty()) m_transport.m_backlog.reset();
            ThreadCache<SslBuffers>::endUse();
        }
        BufferUse(const BufferUse&) = delete;
        BufferUse& operator=(const BufferUse&) = delete;

        SslBuffers& buffers() { return m_buffers; }

    private:
        SslTransportImpl& m_transport;
        SslBuffers& m_buffers;
    };

    ~SslTransportImpl() {
        if (m_handshake && !m_counted) SslCounters::count(m_shared->counters.abandoned);
    }

    static IoResult outOfMemory() {
        return {IoStatus::Failed, 0, std::make_error_code(std::errc::not_enough_memory)};
    }

    Backlog& backlog() {
        if (!m_backlog) m_backlog = std::make_unique<Backlog>();
        return *m_backlog;
    }

    // --- Below: records ---

    // Ok: something came.
    IoResult receive(int fd, SslBuffers& buffers, size_t size) {
        char* const room = buffers.input.reserve(size);
        const IoResult result = m_lower->read(fd, room, size);
        if (result.status == IoStatus::Ok) buffers.input.commit(result.bytes);
        return result;
    }

    // A write, or our end, waits for the kernel and will be tried again: until then reading goes on, or two peers
    // that both write would wait for each other for ever. What reading itself has to say waits behind it.
    bool isReadIndependent() const {
        return (m_untold > 0 || m_endSent) && m_backlog->output.size() <= kMaxBacklogBytes;
    }

    // Sends the output; what the kernel does not take is kept. Ok: it took all.
    IoResult flush(int fd, SslBuffers& buffers) {
        if (buffers.output.empty()) return {};
        if (m_outputBlocked || (m_backlog && !m_backlog->output.empty())) {
            // Behind what is kept already: records leave in the order in which they were sealed.
            backlog().output.append(buffers.output.view());
            buffers.output.clear(kKeptBufferBytes);
            return m_outputBlocked ? IoResult{IoStatus::WantWrite} : flushBacklog(fd);
        }
        const IoResult result = sendSome(fd, buffers.output);
        if (noteBlocked(result)) backlog().output.append(buffers.output.view());
        buffers.output.clear(kKeptBufferBytes);
        return result;
    }

    IoResult flushBacklog(int fd) {
        if (!m_backlog || m_backlog->output.empty()) return {};
        const IoResult result = sendSome(fd, m_backlog->output);
        noteBlocked(result);
        if (m_backlog->isEmpty()) m_backlog.reset();
        return result;
    }

    // True: the records that are left must be kept, whatever the transport below waits for.
    bool noteBlocked(const IoResult& result) {
        m_outputBlocked = result.status == IoStatus::WantWrite || result.status == IoStatus::WantRead;
        if (m_outputBlocked) m_blockedOn = result.status;
        return m_outputBlocked;
    }

    IoResult flushBlocked(int fd) { return m_outputBlocked ? flushBacklog(fd) : IoResult{}; }

    // Records that were kept back leave with those that follow.
    void prependBacklog(SslBuffers& buffers) {
        if (!m_backlog || m_backlog->output.empty()) return;
        assert(!m_outputBlocked);
        buffers.output.append(m_backlog->output.view());
        m_backlog->output.clear(0);
    }

    IoResult sendSome(int fd, ByteBuffer& output) {
        const iovec piece{const_cast<char*>(output.data()), output.size()};
        const IoResult result = m_lower->write(fd, &piece, 1);
        if (result.status != IoStatus::Ok) return result;
        m_sentBytes += static_cast<uint32_t>(result.bytes);
        output.consume(result.bytes);
        return output.empty() ? result : IoResult{IoStatus::WantWrite};
    }

    // Sends records with `sealed` plain bytes, which tell() is about then. Not Ok: failed.
    IoResult sendSealed(int fd, SslBuffers& buffers, size_t sealed) {
        m_untold = static_cast<uint32_t>(sealed);
        m_sentBytes = 0;
        const IoResult flushed = flush(fd, buffers);
        return flushed.status == IoStatus::Ok || m_outputBlocked ? IoResult{} : flushed;
    }

    // How many plain bytes are taken since the last time: as many as bytes of their records have left, so that a
    // slow reader is seen to read; but the last one not before all have.
    size_t tell() {
        const uint32_t told =
            m_outputBlocked && m_untold > 0 ? std::min(m_sentBytes, m_untold - 1) : m_untold;
        m_sentBytes = 0;
        m_untold -= told;
        return told;
    }

    IoResult taken(size_t bytes) const {
        return bytes > 0 ? IoResult{IoStatus::Ok, bytes} : IoResult{m_blockedOn};
    }

    static iovec readFile(int file, off_t offset, size_t size) {
        static thread_local std::array<char, kMaxRecordPlainBytes> bytes;
        for (;;) {
            const ssize_t n = ::pread(file, bytes.data(), std::min(size, bytes.size()), offset);
            if (n >= 0) return {bytes.data(), static_cast<size_t>(n)};
            if (errno != EINTR) return {bytes.data(), 0};
        }
    }

    // --- Reading ---

    // A peer that sends nothing but KeyUpdates, or empty records, would never count as idle: there is always input.
    IoResult open(int fd, SslBuffers& buffers, char* into, size_t size) {
        buffers.turn = Turn(kRecordsTurn);
        const IoResult result = openRecords(fd, buffers, into, size);
        const uint32_t opened = kRecordsTurn.steps - buffers.turn.stepsLeft();
        m_recordsWithoutData =
            result.bytes > 0 ? uint16_t{0} : static_cast<uint16_t>(m_recordsWithoutData + opened);
        if (result.status != IoStatus::WantRead || m_recordsWithoutData <= kMostRecordsWithoutData)
            return result;
        buffers.input.clear(kKeptBufferBytes);
        return {IoStatus::Failed, 0, SslError::Protocol};
    }

    // WantRead, too, if the turn is over.
    IoResult openRecords(int fd, SslBuffers& buffers, char* into, size_t size) {
        size_t bytes = 0;
        bool hasReceived = false;
        for (;;) {
            const SslCodec::Opened opened = m_codec->open(buffers, into + bytes, size - bytes);
            bytes += opened.bytes;
            switch (opened.status) {
                case SslCodec::Status::Ok: return {IoStatus::Ok, bytes};
                case SslCodec::Status::NeedsInput: break;
                case SslCodec::Status::End:
                    m_peerEnded = true;
                    buffers.input.clear(kKeptBufferBytes);  // RFC 8446 §6.1: what follows is ignored
                    return bytes > 0 ? IoResult{IoStatus::Ok, bytes} : IoResult{IoStatus::End};
                case SslCodec::Status::Failed:
                    buffers.input.clear(kKeptBufferBytes);
                    if (bytes == 0) return {IoStatus::Failed, 0, opened.error};
                    backlog().error = opened.error;
                    return {IoStatus::Ok, bytes};
            }
            if (bytes > 0) return {IoStatus::Ok, bytes};
            if (hasReceived || buffers.turn.isOver()) return {IoStatus::WantRead};
            // No more than what surely fits, whatever is left of it.
            const IoResult received = receive(fd, buffers, std::min(size, kFlushBytes));
            if (received.status == IoStatus::End) return endWithoutNotice();
            if (received.status != IoStatus::Ok) return received;
            hasReceived = true;
        }
    }

    // An attacker may have cut the stream (RFC 8446 §6.1). Once our own end is sent nobody listens any more.
    IoResult endWithoutNotice() {
        if (m_endSent) return {IoStatus::End};
        SslCounters::count(m_shared->counters.truncated);
        return {IoStatus::Failed, 0, SslError::Truncated};
    }

    // --- The handshake ---

    IoResult finishHandshake(int fd, SslBuffers& buffers) {
        // A request that came with the last flight is answered soon: then the session tickets leave with that.
        const bool isAnswerDue = m_handshake->isServer() && !buffers.input.empty() && !m_shared->kernelTls;
        if (isAnswerDue && !buffers.output.empty()) {
            backlog().output.append(buffers.output.view());
            buffers.output.clear(kKeptBufferBytes);
        } else if (const IoResult flushed = flush(fd, buffers); flushed.status != IoStatus::Ok) {
            return flushed;  // if it was blocked, we are here again when it is not
        }
        SSL* const ssl = m_handshake->codec->ssl();
        SslCounters::count(m_shared->counters.handshakes);
        if (SSL_session_reused(ssl) == 1) SslCounters::count(m_shared->counters.resumed);
        m_security = securityOf(ssl);
        auto records = m_handshake->secrets ? m_handshake->secrets->makeRecords() : nullptr;
        if (records) {
            SslCounters::count(m_shared->counters.compact);
            if (m_shared->kernelTls) m_kernelWrites = records->handOverWrites(fd);
            m_codec = std::move(records);
        } else {
            m_codec = std::move(m_handshake->codec);
        }
        m_handshake.reset();
        m_pendingInput = !buffers.input.empty();
        return {};
    }

    IoResult handshakeFailed(std::error_code error) {
        m_counted = true;
        SslCounters::count(m_shared->counters.failed);
        return {IoStatus::Failed, 0, error};
    }

    IoResult answerPlainRequest(int fd, SslBuffers& buffers) {
        m_counted = true;
        SslCounters::count(m_shared->counters.plainRequests);
        m_handshake->isPlainAnswered = true;
        m_handshake->discardedBytes = buffers.input.size();
        buffers.input.clear(kKeptBufferBytes);
        buffers.output.append(m_shared->plainAnswer);
        // Nobody waits for a client that does not take so little.
        const IoResult flushed = flush(fd, buffers);
        if (flushed.status != IoStatus::Ok) return {IoStatus::Failed, 0, SslError::PlainRequest};
        m_lower->endWrite(fd);
        return discardPlainRequest(fd);
    }

    // Until the client has read the answer and ends: a close with input unread would reset it away.
    IoResult discardPlainRequest(int fd) {
        std::array<char, 4096> dropped;
        while (m_handshake->discardedBytes < kDiscardedBytes) {
            const IoResult result = m_lower->read(fd, dropped.data(), dropped.size());
            if (result.status == IoStatus::WantRead) return result;
            if (result.status != IoStatus::Ok) break;
            m_handshake->discardedBytes += result.bytes;
        }
        return {IoStatus::Failed, 0, SslError::PlainRequest};
    }

    std::shared_ptr<SslTransport::Shared> m_shared;
    TransportPtr_t m_lower;
    std::unique_ptr<Handshake> m_handshake;  // until it is complete
    std::unique_ptr<SslCodec> m_codec{};     // from then on
    std::unique_ptr<Backlog> m_backlog{};
    SecurityInfoPtr_t m_security{};
    uint32_t m_untold = 0;     // plain bytes in the backlog's output that are not told as taken
    uint32_t m_sentBytes = 0;  // of it, since the last tell()
    IoStatus m_blockedOn = IoStatus::WantWrite;  // while m_outputBlocked

    uint16_t m_recordsWithoutData = 0;  // since the last one with some
    bool m_counted = false;             // the handshake's outcome
    bool m_isBroken = false;            // records that came could not be kept
    bool m_pendingInput = false;
    bool m_outputBlocked = false;  // the kernel did not take the backlog's output
    bool m_peerEnded = false;      // its close_notify came
    bool m_endSent = false;        // our close_notify
    bool m_kernelWrites = false;   // the kernel encrypts
};

}  // namespace

void SslTransport::prepareCompact(SSL_CTX* ctx) { TlsSecrets::captureFrom(ctx); }

TransportPtr_t SslTransport::create(SslPtr_t ssl, std::shared_ptr<Shared> shared, TransportPtr_t lower) {
    return TransportPtr_t(new SslTransportImpl(std::move(ssl), std::move(shared), std::move(lower)));
}

}  // namespace tnet
