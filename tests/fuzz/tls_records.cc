// TlsRecords, between a client that has the keys and a network that has not: what is opened is what was sealed, in
// order, and all of it if the network kept its hands off.
//
//     input: commands
//     d bytes    the client seals data         a, h bytes    it seals an alert, a handshake message
//     u, U       it changes its key, and asks for ours      p bytes  content, type and padding of a record
//     g bytes    garbage comes in between      x at bits     a bit of what has not been read is turned
//     o size     opens into so many bytes      w bytes       the server seals data
#include "tnet/ssl/tls_records.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fuzz/fuzz_input.h"
#include "tnet/ssl/ssl_codec.h"
#include "tnet/ssl/tls_key.h"

namespace tnet {
namespace {

using Status = SslCodec::Status;

std::span<const uint8_t> bytesOf(std::string_view text) {
    return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

class Session {
public:
    void run(FuzzInput input) {
        while (!input.empty() && !m_isOver) {
            const std::string_view command = input.command();
            if (!command.empty()) perform(command.front(), command.substr(1));
        }
        while (!m_isOver && open(1000)) continue;
        EXPECT_TRUE(m_isHostile || m_opened == m_sealed);
        readAnswers();
    }

private:
    void perform(char letter, std::string_view argument) {
        const auto first = static_cast<uint8_t>(argument.empty() ? 0 : argument.front());
        switch (letter) {
            case 'd':
                m_sealed += argument;
                // A flood of records without data is refused.
                m_isHostile = m_isHostile || argument.empty();
                seal(RecordType::ApplicationData, argument);
                break;
            case 'a': sealHostile(RecordType::Alert, argument); break;
            case 'h': sealHostile(RecordType::Handshake, argument); break;
            case 'u': updateKey('\0'); break;
            case 'U': updateKey('\1'); break;
            case 'p': sealPadded(argument); break;
            case 'g':
                m_isHostile = m_isHostile || !argument.empty();
                m_wire += argument;
                break;
            case 'x': turnBit(first, argument); break;
            case 'o': deliver(), open(size_t{1} + first); break;
            case 'w': serverSeals(argument); break;
            default: break;
        }
    }

    void seal(RecordType type, std::string_view content) {
        const iovec piece{const_cast<char*>(content.data()), content.size()};
        PlainPieces plain(&piece, 1);
        ByteBuffer record;
        EXPECT_TRUE(m_clientWrite.seal(type, plain, content.size(), record));
        m_wire += record.view();
    }

    void sealHostile(RecordType type, std::string_view content) {
        m_isHostile = true;
        seal(type, content);
    }

    // RFC 8446 §5.4: the type is the last byte that is not zero.
    void sealPadded(std::string_view content) {
        const size_t end = content.find_last_not_of('\0');
        if (end != std::string_view::npos && content[end] == static_cast<char>(RecordType::ApplicationData))
            m_sealed += content.substr(0, end);
        sealHostile(static_cast<RecordType>(0), content);
    }

    void updateKey(char request) {
        seal(RecordType::Handshake, std::string("\x18\0\0\1", 4) + request);
        m_clientWrite.update();
    }

    void turnBit(size_t at, std::string_view argument) {
        if (m_wire.empty()) return;
        m_isHostile = true;
        const int bit = argument.size() > 1 ? argument[1] & 7 : 0;
        char& byte = m_wire[at % m_wire.size()];
        byte = static_cast<char>(byte ^ (1 << bit));
    }

    void deliver() {
        m_buffers.input.append(m_wire);
        m_wire.clear();
    }

    // False: nothing more comes of what is there.
    bool open(size_t size) {
        deliver();
        m_buffers.turn = Turn({.steps = UINT32_MAX, .bytes = SIZE_MAX});
        // Of the exact size, so that a sanitizer sees each step beyond it.
        std::vector<char> into(size);
        const SslCodec::Opened opened = m_codec.open(m_buffers, into.data(), size);
        EXPECT_LE(opened.bytes, size);
        m_opened.append(into.data(), opened.bytes);
        EXPECT_EQ(m_opened, m_sealed.substr(0, m_opened.size())) << "opened what was not sealed";
        m_isOver = opened.status == Status::End || opened.status == Status::Failed;
        EXPECT_EQ(opened.status == Status::Failed, static_cast<bool>(opened.error));
        EXPECT_TRUE(!m_isOver || m_isHostile);
        return opened.status == Status::Ok;
    }

    void serverSeals(std::string_view content) {
        if (content.empty()) return;
        const iovec piece{const_cast<char*>(content.data()), content.size()};
        PlainPieces plain(&piece, 1);
        EXPECT_TRUE(m_codec.seal(m_buffers, plain));
        EXPECT_EQ(plain.left(), 0U);
        m_said += content;
    }

    // What the server wrote is records that its client can open.
    void readAnswers() {
        std::string heard;
        std::string_view output = m_buffers.output.view();
        while (output.size() > kRecordHeaderBytes) {
            const size_t size =
                kRecordHeaderBytes + (static_cast<uint8_t>(output[3]) << 8 | static_cast<uint8_t>(output[4]));
            ASSERT_LE(size, output.size());
            std::string plain(size, '\0');
            const auto content = m_clientRead.open(output.substr(0, size), plain.data());
            ASSERT_TRUE(content);
            if (content->type == RecordType::ApplicationData) heard += plain.substr(0, content->bytes);
            if (content->type == RecordType::Handshake) m_clientRead.update();
            output.remove_prefix(size);
        }
        EXPECT_EQ(heard, m_said);
    }

    const TlsSuite& m_suite = *TlsSuite::find(0x1301);
    const std::string m_clientSecret = std::string(32, 'c');
    const std::string m_serverSecret = std::string(32, 's');
    TlsRecords m_codec{m_suite, bytesOf(m_clientSecret), bytesOf(m_serverSecret), 0};
    TlsKey m_clientWrite{m_suite, bytesOf(m_clientSecret), 0};
    TlsKey m_clientRead{m_suite, bytesOf(m_serverSecret), 0};
    SslBuffers m_buffers{};
    std::string m_wire{};    // on its way to the server
    std::string m_sealed{};  // data, by the client
    std::string m_opened{};
    std::string m_said{};  // by the server
    bool m_isHostile = false;
    bool m_isOver = false;
};

}  // namespace
}  // namespace tnet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    tnet::Session().run(tnet::FuzzInput(data, size));
    return 0;
}
