#include "tnet/ssl/tls_records.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>

#include "tnet/release_memory.h"
#include "tnet/ssl/kernel_tls.h"
#include "tnet/ssl/ssl_error.h"

namespace tnet {
namespace {

constexpr char kKeyUpdate = 24;
constexpr char kFatal = 2;
constexpr char kWarning = 1;

// As OpenSSL would have named an alert of the peer.
std::error_code alertReceived(uint8_t description) {
    const auto reason = ERR_PACK(ERR_LIB_SSL, 0, SSL_AD_REASON_OFFSET + description);
    return {static_cast<int>(reason), opensslCategory()};
}

}  // namespace

TlsRecords::TlsRecords(const TlsSuite& suite, std::span<const uint8_t> clientSecret,
                       std::span<const uint8_t> serverSecret, uint64_t written)
    : m_read(suite, clientSecret, 0), m_write(suite, serverSecret, written) {}

SslCodec::Opened TlsRecords::open(SslBuffers& buffers, char* into, size_t size) {
    size_t opened = 0;
    if (!m_rest.empty()) {
        const Opened rest = takeRest(into, size);
        if (!m_rest.empty()) return rest;
        opened = rest.bytes;
    }
    while (opened < size) {
        if (buffers.turn.isOver()) return {Status::NeedsInput, opened};
        Opened outcome{Status::Ok};
        const std::string_view record = nextRecord(buffers, outcome);
        if (record.empty()) {
            outcome.bytes = opened;
            return outcome;
        }
        // Straight to where it belongs if it surely fits; OpenSSL may use the whole room.
        const size_t roomNeeded = record.size() - kRecordHeaderBytes - kRecordTagBytes;
        const bool isDirect = roomNeeded <= size - opened;
        if (!isDirect && opened > 0) return {Status::Ok, opened};
        if (!isDirect) m_rest.resize(roomNeeded);
        char* const place = isDirect ? into + opened : m_rest.data();
        const auto content = m_read.open(record, place);
        buffers.input.consume(record.size());
        buffers.turn.spend(record.size());
        size_t data = 0;
        if (!content) {
            ERR_clear_error();
            outcome = refuse(buffers, Alert::BadRecordMac);
        } else if (content->innerBytes > kMaxRecordPlainBytes + 1) {
            outcome = refuse(buffers, Alert::RecordOverflow);  // RFC 8446 §5.4, padding included
        } else {
            outcome = onContent(buffers, content->type, {place, content->bytes});
            const bool isData = content->type == RecordType::ApplicationData && outcome.status == Status::Ok;
            if (isData) data = content->bytes;
        }
        if (isDirect) {
            opened += data;
        } else {
            m_rest.resize(data);
            opened += takeRest(into, size).bytes;
        }
        if (outcome.status != Status::Ok) {
            outcome.bytes = opened;
            return outcome;
        }
    }
    return {Status::Ok, opened};
}

// The next whole record of the input; empty with an outcome if there is none.
std::string_view TlsRecords::nextRecord(SslBuffers& buffers, Opened& outcome) {
    outcome = {Status::NeedsInput};
    const std::string_view input = buffers.input.view();
    if (input.size() < kRecordHeaderBytes) return {};
    const auto byteAt = [&input](size_t i) { return static_cast<uint8_t>(input[i]); };
    const size_t bodyBytes = static_cast<size_t>(byteAt(3)) << 8 | byteAt(4);
    // Nothing but protected records after the handshake (RFC 8446 §5).
    if (byteAt(1) != 3) {
        outcome = refuse(buffers, Alert::ProtocolVersion);
    } else if (byteAt(0) != static_cast<uint8_t>(RecordType::ApplicationData)) {
        outcome = refuse(buffers, Alert::UnexpectedMessage);
    } else if (byteAt(2) != 3) {
        outcome = refuse(buffers, Alert::DecodeError);
    } else if (bodyBytes > kMaxRecordBodyBytes) {
        outcome = refuse(buffers, Alert::RecordOverflow);
    } else if (bodyBytes <= kRecordTagBytes) {
        outcome = refuse(buffers, Alert::BadRecordMac);
    } else if (input.size() >= kRecordHeaderBytes + bodyBytes) {
        return input.substr(0, kRecordHeaderBytes + bodyBytes);
    }
    return {};
}

SslCodec::Opened TlsRecords::takeRest(char* into, size_t size) {
    const size_t bytes = std::min(size, m_rest.size());
    if (bytes > 0) std::memcpy(into, m_rest.data(), bytes);
    m_rest.erase(0, bytes);
    if (m_rest.empty()) releaseMemory(m_rest);
    return {Status::Ok, bytes};
}

SslCodec::Opened TlsRecords::onContent(SslBuffers& buffers, RecordType type, std::string_view content) {
    m_emptyRecords = content.empty() ? static_cast<uint8_t>(m_emptyRecords + 1) : uint8_t{0};
    if (m_emptyRecords > kMaxEmptyRecords) return refuse(buffers, Alert::UnexpectedMessage);
    // RFC 8446 §5.1: nothing comes between the parts of a handshake message.
    if (m_headerBytes > 0 && type != RecordType::Handshake) return refuse(buffers, Alert::UnexpectedMessage);
    if (type != RecordType::Alert && !content.empty()) m_warnings = 0;
    switch (type) {
        case RecordType::ApplicationData: return {Status::Ok};
        case RecordType::Alert: return onAlert(buffers, content);
        case RecordType::Handshake: return onHandshake(buffers, content);
        default: return refuse(buffers, Alert::UnexpectedMessage);
    }
}

// RFC 8446 §6: alerts are not fragmented, and all but two end the connection whatever their level says.
SslCodec::Opened TlsRecords::onAlert(SslBuffers& buffers, std::string_view content) {
    if (content.size() != 2) return refuse(buffers, Alert::UnexpectedMessage);
    const auto description = static_cast<uint8_t>(content[1]);
    if (description == static_cast<uint8_t>(Alert::CloseNotify)) return {Status::End};
    if (description != static_cast<uint8_t>(Alert::UserCanceled))
        return {Status::Failed, 0, alertReceived(description)};
    if (++m_warnings > kMaxWarnings) return refuse(buffers, Alert::UnexpectedMessage);
    return {Status::Ok};
}

// KeyUpdate (RFC 8446 §4.6.3), perhaps in several records, and the last of them has nothing after it because the next
// key begins there (§5.1).
SslCodec::Opened TlsRecords::onHandshake(SslBuffers& buffers, std::string_view content) {
    if (content.empty()) return refuse(buffers, Alert::UnexpectedMessage);
    const size_t missing = std::min(m_header.size() - m_headerBytes, content.size());
    std::copy_n(content.begin(), missing, m_header.begin() + m_headerBytes);
    m_headerBytes = static_cast<uint8_t>(m_headerBytes + missing);
    content.remove_prefix(missing);
    if (m_header[0] != kKeyUpdate) return refuse(buffers, Alert::UnexpectedMessage);
    if (m_headerBytes < m_header.size()) return {Status::Ok};
    const bool isTooLong = m_header[1] != 0 || m_header[2] != 0 || static_cast<uint8_t>(m_header[3]) > 1;
    if (isTooLong) return refuse(buffers, Alert::IllegalParameter);
    const size_t bodyBytes = m_header[3] == 1 ? 1 : 0;
    if (content.size() > bodyBytes) return refuse(buffers, Alert::UnexpectedMessage);
    if (bodyBytes == 0) return refuse(buffers, Alert::DecodeError);
    if (content.empty()) return {Status::Ok};
    const auto request = static_cast<uint8_t>(content.front());
    if (request > 1) return refuse(buffers, Alert::IllegalParameter);
    m_headerBytes = 0;
    m_read.update();
    if (request == 1 && !updateWriteKey(buffers)) return {Status::Failed, 0, SslError::Protocol};
    return {Status::Ok};
}

SslCodec::Opened TlsRecords::refuse(SslBuffers& buffers, Alert alert) {
    const std::array<char, 2> content{kFatal, static_cast<char>(alert)};
    sealSmall(buffers, RecordType::Alert, {content.data(), content.size()});
    return {Status::Failed, 0, SslError::Protocol};
}

bool TlsRecords::seal(SslBuffers& buffers, PlainPieces& plain) {
    assert(!m_writesHandedOver && "the kernel seals");
    if (m_write.sequence() >= kMaxRecordsPerKey && !updateWriteKey(buffers)) return false;
    return m_write.seal(RecordType::ApplicationData, plain, std::min(plain.left(), kMaxRecordPlainBytes),
                        buffers.output);
}

void TlsRecords::end(SslBuffers& buffers) {
    const std::array<char, 2> content{kWarning, static_cast<char>(Alert::CloseNotify)};
    sealSmall(buffers, RecordType::Alert, {content.data(), content.size()});
}

bool TlsRecords::handOverWrites(int fd) {
    m_writesHandedOver = startKernelWrites(fd, m_write);
    return m_writesHandedOver;
}

// Tells the peer with the old key, not asking for the same, and takes the next.
bool TlsRecords::updateWriteKey(SslBuffers& buffers) {
    if (!sealSmall(buffers, RecordType::Handshake, std::string_view("\x18\x00\x00\x01\x00", 5))) return false;
    m_write.update();
    return true;
}

bool TlsRecords::sealSmall(SslBuffers& buffers, RecordType type, std::string_view content) {
    if (m_writesHandedOver) return false;  // it would use a nonce twice
    const iovec piece{const_cast<char*>(content.data()), content.size()};
    PlainPieces plain(&piece, 1);
    return m_write.seal(type, plain, content.size(), buffers.output);
}

}  // namespace tnet
