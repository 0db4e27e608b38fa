// TlsRecords: the codec of a TLS 1.3 server's connection once OpenSSL has done the handshake.
//
// After the handshake OpenSSL's connection object still costs fourteen kilobytes, and each record a long way
// through it. What is left to do is little, and all here: application data, alerts and KeyUpdate (RFC 8446
// §4.6.3, §5, §6). A server that does not ask for certificates late gets no other message after the handshake.
//
// What it does about records and messages that are not in order is what OpenSSL does, alert by alert
// (tests/ssl/record_layers_test), but where the RFC asks for more.
//
// Internal to //tnet/ssl. Threads: one. Lifetime: its transport's.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "tnet/ssl/ssl_codec.h"
#include "tnet/ssl/tls_key.h"

namespace tnet {

class TlsRecords final : public SslCodec {
public:
    // Empty records in a row, and user_canceled alerts with no data in between, before the peer is taken for hostile:
    // OpenSSL's limits.
    static constexpr uint8_t kMaxEmptyRecords = 32;
    static constexpr uint8_t kMaxWarnings = 4;

    // Records under one key, before it changes: well below what AES-GCM stands (RFC 8446 §5.5).
    static constexpr uint64_t kMaxRecordsPerKey = uint64_t{1} << 23;

    // The application traffic secrets. `written` records have already been sent under ours.
    TlsRecords(const TlsSuite& suite, std::span<const uint8_t> clientSecret,
               std::span<const uint8_t> serverSecret, uint64_t written);

    Opened open(SslBuffers& buffers, char* into, size_t size) override;
    bool seal(SslBuffers& buffers, PlainPieces& plain) override;
    void end(SslBuffers& buffers) override;
    bool hasPendingInput() const override { return !m_rest.empty(); }

    // Lets the kernel write from now on: nothing may be sealed any more, and nothing is. False: it does not.
    bool handOverWrites(int fd);

private:
    enum class Alert : uint8_t {
        CloseNotify = 0,
        UnexpectedMessage = 10,
        BadRecordMac = 20,
        RecordOverflow = 22,
        IllegalParameter = 47,
        DecodeError = 50,
        ProtocolVersion = 70,
        UserCanceled = 90,
    };

    std::string_view nextRecord(SslBuffers& buffers, Opened& outcome);
    Opened takeRest(char* into, size_t size);
    Opened onContent(SslBuffers& buffers, RecordType type, std::string_view content);
    Opened onAlert(SslBuffers& buffers, std::string_view content);
    Opened onHandshake(SslBuffers& buffers, std::string_view content);
    Opened refuse(SslBuffers& buffers, Alert alert);
    bool sealSmall(SslBuffers& buffers, RecordType type, std::string_view content);
    bool updateWriteKey(SslBuffers& buffers);

    TlsKey m_read;
    TlsKey m_write;
    bool m_writesHandedOver = false;
    uint8_t m_emptyRecords = 0;  // in a row
    uint8_t m_warnings = 0;      // since the last data
    // The beginning of a handshake message whose rest is still to come: no more than its header.
    uint8_t m_headerBytes = 0;
    std::array<char, 4> m_header{};
    std::string m_rest{};  // opened, but did not fit
};

}  // namespace tnet
