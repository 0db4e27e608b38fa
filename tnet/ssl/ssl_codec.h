// SslCodec: plain bytes to TLS records and back, in memory; and the buffers of records that a thread's
// connections share.
//
//     lower transport -> SslBuffers::input -> open  -> plain bytes
//     plain bytes     -> seal -> SslBuffers::output -> lower transport
//
// Internal to //tnet/ssl. Threads: one; the buffers are the calling thread's own.
// Lifetime: a codec is its transport's. What a call leaves in the buffers must be taken out before another
// transport of the thread runs.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <system_error>

#include "tnet/byte_buffer.h"
#include "tnet/ssl/thread_cache.h"
#include "tnet/turn.h"

namespace tnet {

inline constexpr size_t kRecordHeaderBytes = 5;

// RFC 8446 §5.1, RFC 5246 §6.2: what one record may carry.
inline constexpr size_t kMaxRecordPlainBytes = 16384;

// RFC 8446 §5.2: what it may be long without its header. TLS 1.2 allows more, which none of its ciphers here uses.
inline constexpr size_t kMaxRecordBodyBytes = kMaxRecordPlainBytes + 256;

enum class RecordType : uint8_t { ChangeCipherSpec = 20, Alert = 21, Handshake = 22, ApplicationData = 23 };

// What one read may open. A record without data, a KeyUpdate for one, costs as much as one with some.
inline constexpr TurnBudget kRecordsTurn{.steps = 64, .bytes = SIZE_MAX};

struct SslBuffers {
    ByteBuffer input{};       // records that came and are not opened yet
    ByteBuffer output{};      // records to send
    Turn turn{kRecordsTurn};  // of the call that uses the buffers: what may still be opened

    static SslBuffers& ofThread() { return ThreadCache<SslBuffers>::get(); }
};

// How long the first record of `bytes` is, header included; 0 if it is not there as a whole. What does not begin as
// a record that one may send is as long as what there is of it: to be refused at once, without waiting for more.
size_t firstRecordBytes(std::string_view bytes);

// The pieces of a write, record by record.
class PlainPieces {
public:
    PlainPieces(const iovec* pieces, int count) : m_pieces(pieces), m_count(count) {
        for (int i = 0; i < count; ++i) m_left += pieces[i].iov_len;
    }

    size_t left() const { return m_left; }

    // The next contiguous bytes, at most `most`; not empty as long as something is left. Valid as long as
    // the pieces are.
    iovec next(size_t most);
    void skip(size_t size);

private:
    const iovec* m_pieces;
    int m_count;
    size_t m_offset = 0;  // in the first piece
    size_t m_left = 0;
};

class SslCodec {
public:
    enum class Status : uint8_t {
        Ok,          // `into` is full, or nothing more can be put into it
        NeedsInput,  // all whole records of the input are opened, or the turn is over
        End,         // the peer's close_notify
        Failed,      // see error; the alert that says so to the peer is in the output
    };
    struct Opened {
        Status status;
        size_t bytes = 0;  // of `into`; before an end or an error, too
        std::error_code error{};
    };

    SslCodec() = default;
    virtual ~SslCodec() = default;
    SslCodec(const SslCodec&) = delete;
    SslCodec& operator=(const SslCodec&) = delete;

    // Opens the input's records into `into`. May add to the output: answers, alerts.
    virtual Opened open(SslBuffers& buffers, char* into, size_t size) = 0;

    // Puts one record with the first min(left, kMaxRecordPlainBytes) bytes of `plain` into the output. False:
    // that is impossible, and so is everything from now on.
    virtual bool seal(SslBuffers& buffers, PlainPieces& plain) = 0;

    // Puts close_notify into the output.
    virtual void end(SslBuffers& buffers) = 0;

    // Opened bytes that did not fit into the last `into`.
    virtual bool hasPendingInput() const = 0;
};

}  // namespace tnet
