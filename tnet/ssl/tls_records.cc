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
        outcome = {Status::Ok};
        size_t data = 0;
        if (!content) {
            ERR_clear_error();
            outcome = refuse(buffers, Alert::BadRecordMac);
        } else if (content->bytes > kMaxRecordPlainBytes) {
            outcome = refuse(buffers, Alert::RecordOverflow);
        } else if (content->type == RecordType::ApplicationData) {
            data = content->bytes;
        } else if (content->type == RecordType::Alert) {
            outcome = onAlert({place, content->bytes});
        } else if (content->type == RecordType::Handshake) {
            outcome = onHandshake(buffers, {place, content->bytes});
        } else {
            outcome = refuse(buffers, Alert::UnexpectedMessage);
        }
        m_idleRecords = data > 0 ? uint8_t{0} : static_cast<uint8_t>(m_idleRecords + 1);
        if (outcome.status == Status::Ok && m_idleRecords > kMaxIdleRecords)
            outcome = refuse(buffers, Alert::UnexpectedMessage);
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
    const bool isProtected = byteAt(0) == static_cast<uint8_t>(RecordType::ApplicationData) && byteAt(1) == 3;
    if (!isProtected) {
        outcome = refuse(buffers, Alert::UnexpectedMessage);
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

// RFC 8446 §6: alerts are not fragmented, and all but two end the connection whatever their level says.
SslCodec::Opened TlsRecords::onAlert(std::string_view content) {
    if (content.size() != 2) return {Status::Failed, 0, SslError::Protocol};
    const auto description = static_cast<uint8_t>(content[1]);
    if (description == static_cast<uint8_t>(Alert::CloseNotify)) return {Status::End};
    if (description == static_cast<uint8_t>(Alert::UserCanceled)) return {Status::Ok};
    return {Status::Failed, 0, alertReceived(description)};
}

// KeyUpdate (RFC 8446 §4.6.3), which must end its record because the key behind it is another (§5.1).
SslCodec::Opened TlsRecords::onHandshake(SslBuffers& buffers, std::string_view content) {
    constexpr std::string_view kHeader("\x18\x00\x00\x01", 4);
    if (content.empty() || content.front() != kKeyUpdate) return refuse(buffers, Alert::UnexpectedMessage);
    if (content.size() != kHeader.size() + 1) return refuse(buffers, Alert::UnexpectedMessage);
    if (!content.starts_with(kHeader)) return refuse(buffers, Alert::DecodeError);
    const auto request = static_cast<uint8_t>(content.back());
    if (request > 1) return refuse(buffers, Alert::IllegalParameter);
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
