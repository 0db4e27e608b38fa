#include "websocket/deflate.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cstddef>
#include <cstring>
#include <new>
#include <utility>

namespace tnet {
namespace {

// RFC 7692 §7.2.1: what a flush ends with, is not sent, and is appended again by the receiver.
constexpr std::string_view kTail("\x00\x00\xFF\xFF", 4);

constexpr size_t kMaxStep = size_t{1} << 30;  // zlib counts in 32 bits

Bytef* bytesOf(const char* text) { return reinterpret_cast<Bytef*>(const_cast<char*>(text)); }

}  // namespace

class WsZlib {
public:
    enum class Kind : uint8_t { Deflate, Inflate };

    explicit WsZlib(Kind kind) : m_kind(kind) {
        m_stream.zalloc = allocate;
        m_stream.zfree = free;
        m_stream.opaque = this;
    }
    WsZlib(const WsZlib&) = delete;
    WsZlib& operator=(const WsZlib&) = delete;
    ~WsZlib() { m_kind == Kind::Deflate ? deflateEnd(&m_stream) : inflateEnd(&m_stream); }

    z_stream& stream() { return m_stream; }
    size_t memoryBytes() const { return sizeof(*this) + m_bytes; }

    // Of an inflating one: whether what it has read ends with a whole block, at a byte's boundary; it owes no
    // output then. zlib.h describes data_type at inflate(); it does not set it in a new or reset stream.
    bool isBetweenBlocks() const { return (m_stream.data_type & (kBlockEnd | kUnusedBits)) == kBlockEnd; }
    void noteFreshStart() { m_stream.data_type = kBlockEnd; }

private:
    static constexpr int kBlockEnd = 128;
    static constexpr int kUnusedBits = 63;
    // In front of each piece, for its size; as large as keeps the rest aligned.
    static constexpr size_t kPrefix = alignof(std::max_align_t);

    static voidpf allocate(voidpf self, uInt items, uInt size) {
        const size_t bytes = size_t{items} * size + kPrefix;
        void* const memory = ::operator new(bytes, std::nothrow);
        if (memory == nullptr) return nullptr;
        static_cast<WsZlib*>(self)->m_bytes += bytes;
        std::memcpy(memory, &bytes, sizeof(bytes));
        return static_cast<char*>(memory) + kPrefix;
    }

    static void free(voidpf self, voidpf memory) {
        char* const start = static_cast<char*>(memory) - kPrefix;
        size_t bytes;
        std::memcpy(&bytes, start, sizeof(bytes));
        static_cast<WsZlib*>(self)->m_bytes -= bytes;
        ::operator delete(start);
    }

    z_stream m_stream{};
    size_t m_bytes = 0;
    const Kind m_kind;
};

WsDeflater::WsDeflater(const Settings& settings) : m_settings(settings) {
    assert(settings.windowBits >= 9 && settings.windowBits <= 15 && "window bits are 9 to 15");
    assert(settings.level >= 0 && settings.level <= 9 && "the level is 0 to 9");
    assert(settings.memLevel >= 1 && settings.memLevel <= 9 && "the memory level is 1 to 9");
}

WsDeflater::~WsDeflater() = default;

bool WsDeflater::deflate(std::string_view piece, bool last, std::string& out) {
    // Every piece ends at a byte's boundary, so this is the header of an empty block wherever it comes.
    if (piece.empty() && last) out.push_back('\0');
    if (!piece.empty()) {
        if (!m_zlib && !open()) return false;
        try {
            compress(piece, out);
        } catch (const std::bad_alloc&) {
            release();  // what is left of this message must not come out with the next one
            throw;
        }
        if (last) out.resize(out.size() - kTail.size());
    }
    if (last && m_settings.noContextTakeover && m_zlib) deflateReset(&m_zlib->stream());
    return true;
}

bool WsDeflater::open() {
    std::unique_ptr<WsZlib> zlib(new (std::nothrow) WsZlib(WsZlib::Kind::Deflate));
    if (!zlib) return false;
    const int result = deflateInit2(&zlib->stream(), m_settings.level, Z_DEFLATED, -m_settings.windowBits,
                                    m_settings.memLevel, Z_DEFAULT_STRATEGY);
    assert(result != Z_STREAM_ERROR && "the settings are in zlib's ranges");
    if (result != Z_OK) return false;
    m_zlib = std::move(zlib);
    return true;
}

void WsDeflater::compress(std::string_view piece, std::string& out) {
    z_stream& stream = m_zlib->stream();
    std::array<char, 8192> buffer;
    while (!piece.empty()) {
        const size_t size = std::min(piece.size(), kMaxStep);
        stream.next_in = bytesOf(piece.data());
        stream.avail_in = static_cast<uInt>(size);
        piece.remove_prefix(size);
        do {
            stream.next_out = bytesOf(buffer.data());
            stream.avail_out = static_cast<uInt>(buffer.size());
            ::deflate(&stream, piece.empty() ? Z_SYNC_FLUSH : Z_NO_FLUSH);
            out.append(buffer.data(), buffer.size() - stream.avail_out);
        } while (stream.avail_out == 0);
    }
    assert(out.ends_with(kTail) && "zlib ends a flush with an empty block");
}

void WsDeflater::release() { m_zlib.reset(); }

size_t WsDeflater::memoryBytes() const { return m_zlib ? m_zlib->memoryBytes() : 0; }

WsInflater::WsInflater(const Settings& settings) : m_settings(settings) {
    assert(settings.windowBits >= 8 && settings.windowBits <= 15 && "window bits are 8 to 15");
}

WsInflater::~WsInflater() = default;

WsInflater::Step WsInflater::inflate(std::string_view& input, bool last, char* out, size_t room) {
    assert(out != nullptr && "zlib wants an address even for no room");
    if (!m_zlib && !open()) {
        release();
        return {State::NoMemory, 0};
    }
    m_isInMessage = true;
    Step step = feed(input, out, room);
    if (step.state == State::NeedInput && last) {
        const size_t before = step.written;
        step = feedTail(out + before, room - before);
        step.written += before;
    }
    if (step.state == State::MessageEnd) endMessage();
    if (step.state == State::Malformed || step.state == State::NoMemory) release();
    return step;
}

bool WsInflater::open() {
    std::unique_ptr<WsZlib> zlib(new (std::nothrow) WsZlib(WsZlib::Kind::Inflate));
    if (!zlib) return false;
    const int result = inflateInit2(&zlib->stream(), -m_settings.windowBits);
    assert(result != Z_STREAM_ERROR && "the window bits are in zlib's range");
    if (result != Z_OK) return false;
    if (m_history &&
        inflateSetDictionary(&zlib->stream(), bytesOf(m_history.get()), m_historyBytes) != Z_OK) {
        return false;
    }
    m_history.reset();
    m_historyBytes = 0;
    zlib->noteFreshStart();
    m_zlib = std::move(zlib);
    return true;
}

// Until `bytes` are used up (NeedInput) or there is no room for what they yield (NeedRoom).
WsInflater::Step WsInflater::feed(std::string_view& bytes, char* out, size_t room) {
    z_stream& stream = m_zlib->stream();
    size_t written = 0;
    // Not into zlib without a byte: it would leave the state in which isBetweenBlocks() can tell.
    while (!bytes.empty() || !m_zlib->isBetweenBlocks()) {
        const size_t given = std::min(bytes.size(), kMaxStep);
        const size_t space = std::min(room - written, kMaxStep);
        stream.next_in = bytesOf(bytes.data());
        stream.avail_in = static_cast<uInt>(given);
        stream.next_out = bytesOf(out + written);
        stream.avail_out = static_cast<uInt>(space);
        const int result = ::inflate(&stream, Z_SYNC_FLUSH);
        const size_t taken = given - stream.avail_in;
        const size_t made = space - stream.avail_out;
        bytes.remove_prefix(taken);
        written += made;
        if (result == Z_STREAM_END) {
            // A block with BFINAL, which ends a stream but no message (RFC 7692 §7.2.1, §7.2.3.4). The window
            // stays, for context takeover knows of no streams; so this is not inflateReset().
            inflateResetKeep(&stream);
            m_zlib->noteFreshStart();
            continue;
        }
        if (result == Z_MEM_ERROR) return {State::NoMemory, written};
        if (result != Z_OK && result != Z_BUF_ERROR) return {State::Malformed, written};
        if (bytes.empty() && (stream.avail_out > 0 || written == room)) break;
        if (taken == 0 && made == 0) return {State::NeedRoom, written};
    }
    return {State::NeedInput, written};
}

// RFC 7692 §7.2.2. Only a message that ends too early does not end between two blocks: it has taken the tail
// for data.
WsInflater::Step WsInflater::feedTail(char* out, size_t room) {
    if (m_tailBytes == 0 && m_zlib->isBetweenBlocks()) return {State::MessageEnd, 0};
    std::string_view tail = kTail.substr(m_tailBytes);
    Step step = feed(tail, out, room);
    m_tailBytes = static_cast<uint8_t>(kTail.size() - tail.size());
    if (step.state == State::NeedInput)
        step.state = m_zlib->isBetweenBlocks() ? State::MessageEnd : State::Malformed;
    return step;
}

void WsInflater::endMessage() {
    m_isInMessage = false;
    m_tailBytes = 0;
    if (!m_settings.noContextTakeover) return;
    inflateReset(&m_zlib->stream());
    m_zlib->noteFreshStart();
}

void WsInflater::compact() {
    if (!m_zlib || m_isInMessage) return;
    uInt size = 0;
    if (!m_settings.noContextTakeover) inflateGetDictionary(&m_zlib->stream(), nullptr, &size);
    if (size > 0) {
        std::unique_ptr<char[]> history(new (std::nothrow) char[size]);
        if (!history) return;
        inflateGetDictionary(&m_zlib->stream(), bytesOf(history.get()), &size);
        m_history = std::move(history);
        m_historyBytes = size;
    }
    m_zlib.reset();
}

void WsInflater::release() {
    m_zlib.reset();
    m_history.reset();
    m_historyBytes = 0;
    m_tailBytes = 0;
    m_isInMessage = false;
}

size_t WsInflater::memoryBytes() const { return (m_zlib ? m_zlib->memoryBytes() : 0) + m_historyBytes; }

}  // namespace tnet
