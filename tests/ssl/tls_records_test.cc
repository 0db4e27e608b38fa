#include "tnet/ssl/tls_records.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tnet/ssl/ssl_error.h"

namespace tnet {
namespace {

using Status = SslCodec::Status;

const std::string kClientSecret(32, 'c');
const std::string kServerSecret(32, 's');

std::span<const uint8_t> bytesOf(std::string_view text) {
    return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// Its elements are made in their order, unlike a sum's.
std::string join(std::initializer_list<std::string> parts) {
    std::string all;
    for (const std::string& part : parts) all += part;
    return all;
}

// The codec, and a client that has the same secrets and may send what it likes.
class TlsRecordsTest : public testing::Test {
protected:
    struct Record {
        RecordType type;
        std::string content;
        bool operator==(const Record&) const = default;
    };

    std::string sealed(RecordType type, std::string_view content) {
        const iovec piece{const_cast<char*>(content.data()), content.size()};
        PlainPieces plain(&piece, 1);
        ByteBuffer output;
        EXPECT_TRUE(clientWrite.seal(type, plain, content.size(), output));
        return std::string(output.view());
    }
    std::string data(std::string_view content) { return sealed(RecordType::ApplicationData, content); }

    SslCodec::Opened open(size_t size = 65536) {
        into.assign(size, '\0');
        const SslCodec::Opened opened = codec.open(buffers, into.data(), size);
        into.resize(opened.bytes);
        return opened;
    }

    SslCodec::Opened feed(std::string_view bytes) {
        buffers.input.append(bytes);
        buffers.turn = Turn(kRecordsTurn);
        return open();
    }

    // The next record that the codec wrote, as the client sees it.
    std::optional<Record> written() {
        const std::string_view output = buffers.output.view();
        if (output.size() < kRecordHeaderBytes) return std::nullopt;
        const size_t size = kRecordHeaderBytes + (static_cast<size_t>(static_cast<uint8_t>(output[3])) << 8) +
                            static_cast<uint8_t>(output[4]);
        std::string plain(size, '\0');
        const auto content = clientRead.open(output.substr(0, size), plain.data());
        buffers.output.consume(size);
        if (!content) return std::nullopt;
        return Record{content->type, plain.substr(0, content->bytes)};
    }

    void expectRefused(std::string_view bytes, char alert) {
        const SslCodec::Opened opened = feed(bytes);
        EXPECT_EQ(opened.status, Status::Failed);
        EXPECT_TRUE(opened.error);
        EXPECT_EQ(written(), (Record{RecordType::Alert, {2, alert}}));
    }

    const TlsSuite& suite = *TlsSuite::find(0x1301);
    TlsRecords codec{suite, bytesOf(kClientSecret), bytesOf(kServerSecret), 0};
    TlsKey clientWrite{suite, bytesOf(kClientSecret), 0};
    TlsKey clientRead{suite, bytesOf(kServerSecret), 0};
    SslBuffers buffers;
    std::string into;
};

TEST_F(TlsRecordsTest, OpensRecordsUpToTheOneThatIsNotWhole) {
    const std::string records = join({data("Hello, "), data("World!"), data("more")});
    EXPECT_EQ(feed(records.substr(0, records.size() - 1)).status, Status::NeedsInput);
    EXPECT_EQ(into, "Hello, World!");
    EXPECT_EQ(feed(records.substr(records.size() - 1)).status, Status::NeedsInput);
    EXPECT_EQ(into, "more");
}

TEST_F(TlsRecordsTest, OpensWhatComesInFragmentsOfEverySize) {
    for (const size_t fragment : {1, 2, 3, 4, 5, 6, 7, 8, 16, 31}) {
        std::string records = join({data("one"), data(""), data(std::string(300, 'x'))});
        std::string opened;
        for (; !records.empty(); records.erase(0, fragment)) {
            EXPECT_EQ(feed(records.substr(0, fragment)).status, Status::NeedsInput);
            opened += into;
        }
        EXPECT_EQ(opened, "one" + std::string(300, 'x')) << fragment;
    }
}

TEST_F(TlsRecordsTest, WhatDoesNotFitWaits) {
    buffers.input.append(join({data("0123456789"), data("abc")}));
    std::string all;
    for (int i = 0; i < 4; ++i) {
        const SslCodec::Opened opened = open(4);
        all += into;
        EXPECT_EQ(opened.bytes, into.size());
        EXPECT_EQ(codec.hasPendingInput(), i < 2) << i;
    }
    EXPECT_EQ(all, "0123456789abc");
    EXPECT_EQ(open(4).status, Status::NeedsInput);
}

TEST_F(TlsRecordsTest, SealsAtMostOneRecordAtATime) {
    std::string bytes(20000, 'x');
    const iovec piece{bytes.data(), bytes.size()};
    PlainPieces plain(&piece, 1);
    ASSERT_TRUE(codec.seal(buffers, plain));
    EXPECT_EQ(plain.left(), bytes.size() - kMaxRecordPlainBytes);
    ASSERT_TRUE(codec.seal(buffers, plain));
    EXPECT_EQ(plain.left(), 0u);
    EXPECT_EQ(written()->content.size(), kMaxRecordPlainBytes);
    EXPECT_EQ(written()->content.size(), bytes.size() - kMaxRecordPlainBytes);
}

TEST_F(TlsRecordsTest, CloseNotifyIsTheEnd) {
    const SslCodec::Opened opened =
        feed(join({data("last"), sealed(RecordType::Alert, std::string("\x01\x00", 2))}));
    EXPECT_EQ(opened.status, Status::End);
    EXPECT_EQ(into, "last");
}

TEST_F(TlsRecordsTest, EndIsCloseNotify) {
    codec.end(buffers);
    EXPECT_EQ(written(), (Record{RecordType::Alert, std::string("\x01\x00", 2)}));
}

TEST_F(TlsRecordsTest, AnAlertOfThePeerIsNamed) {
    const SslCodec::Opened opened = feed(sealed(RecordType::Alert, std::string("\x02\x2a", 2)));
    EXPECT_EQ(opened.status, Status::Failed);
    EXPECT_EQ(opened.error.message(), "sslv3 alert bad certificate");
    EXPECT_EQ(written(), std::nullopt);
}

TEST_F(TlsRecordsTest, AWarningIsFatalAllTheSame) {
    EXPECT_EQ(feed(sealed(RecordType::Alert, std::string("\x01\x2a", 2))).status, Status::Failed);
}

TEST_F(TlsRecordsTest, UserCanceledIsNoEnd) {
    EXPECT_EQ(feed(join({sealed(RecordType::Alert, "\x01\x5a"), data("on")})).status, Status::NeedsInput);
    EXPECT_EQ(into, "on");
}

TEST_F(TlsRecordsTest, AKeyUpdateChangesThePeersKey) {
    const std::string update = sealed(RecordType::Handshake, std::string("\x18\x00\x00\x01\x00", 5));
    clientWrite.update();
    EXPECT_EQ(feed(update + data("new key")).status, Status::NeedsInput);
    EXPECT_EQ(into, "new key");
    EXPECT_EQ(written(), std::nullopt);
}

TEST_F(TlsRecordsTest, AKeyUpdateThatAsksForOursIsAnswered) {
    const std::string update = sealed(RecordType::Handshake, std::string("\x18\x00\x00\x01\x01", 5));
    clientWrite.update();
    EXPECT_EQ(feed(update + data("new key")).status, Status::NeedsInput);
    EXPECT_EQ(into, "new key");
    EXPECT_EQ(written(), (Record{RecordType::Handshake, std::string("\x18\x00\x00\x01\x00", 5)}));
    clientRead.update();
    codec.end(buffers);
    EXPECT_EQ(written(), (Record{RecordType::Alert, std::string("\x01\x00", 2)}));
}

// RFC 8446 §5.5.
TEST_F(TlsRecordsTest, AKeyIsChangedBeforeItIsWornOut) {
    TlsRecords worn(suite, bytesOf(kClientSecret), bytesOf(kServerSecret), TlsRecords::kMaxRecordsPerKey - 1);
    TlsKey reader(suite, bytesOf(kServerSecret), TlsRecords::kMaxRecordsPerKey - 1);
    std::vector<std::string> contents;
    for (int i = 0; i < 2; ++i) {
        std::string text = "text";
        const iovec piece{text.data(), text.size()};
        PlainPieces plain(&piece, 1);
        ASSERT_TRUE(worn.seal(buffers, plain));
    }
    for (int i = 0; i < 3; ++i) {
        const std::string_view output = buffers.output.view();
        ASSERT_GE(output.size(), kRecordHeaderBytes);
        const size_t size = kRecordHeaderBytes + static_cast<uint8_t>(output[4]);
        std::string plain(size, '\0');
        const auto content = reader.open(output.substr(0, size), plain.data());
        ASSERT_TRUE(content) << i;
        contents.push_back(plain.substr(0, content->bytes));
        buffers.output.consume(size);
        if (content->type == RecordType::Handshake) reader.update();
    }
    EXPECT_EQ(contents, (std::vector<std::string>{"text", std::string("\x18\x00\x00\x01\x00", 5), "text"}));
}

TEST_F(TlsRecordsTest, RefusesWhatIsNotAuthentic) {
    std::string record = data("text");
    record.back() = static_cast<char>(record.back() ^ 1);
    expectRefused(record, 20);
}

TEST_F(TlsRecordsTest, RefusesRecordsThatAreNotProtected) {
    for (const char type : {20, 21, 22, 24, 0, 71}) {
        TlsRecords fresh(suite, bytesOf(kClientSecret), bytesOf(kServerSecret), 0);
        SslBuffers own;
        own.input.append(std::string{type, 3, 3, 0, 1, 1});
        char room[64];
        EXPECT_EQ(fresh.open(own, room, sizeof(room)).status, Status::Failed) << static_cast<int>(type);
    }
    expectRefused(std::string{20, 3, 3, 0, 1, 1}, 10);
}

TEST_F(TlsRecordsTest, RefusesTooLongRecordsByTheirHeader) {
    expectRefused(std::string{23, 3, 3, 0x41, 0x01}, 22);  // 2^14 + 257
}

TEST_F(TlsRecordsTest, RefusesTooMuchContent) {
    expectRefused(data(std::string(kMaxRecordPlainBytes + 1, 'x')), 22);
}

TEST_F(TlsRecordsTest, RefusesRecordsThatAreTooShortForATag) {
    expectRefused(std::string{23, 3, 3, 0, 16} + std::string(16, 'x'), 20);
}

TEST_F(TlsRecordsTest, RefusesOtherHandshakeMessages) {
    expectRefused(sealed(RecordType::Handshake, std::string("\x01\x00\x00\x00", 4)), 10);
}

TEST_F(TlsRecordsTest, RefusesAKeyUpdateThatSharesItsRecord) {
    expectRefused(sealed(RecordType::Handshake, std::string("\x18\x00\x00\x01\x00\x18\x00\x00\x01\x00", 10)),
                  10);
}

// RFC 8446 §5.1. It was refused.
TEST_F(TlsRecordsTest, AKeyUpdateMayComeInFragments) {
    std::string records;
    for (const char byte : std::string("\x18\x00\x00\x01\x01", 5))
        records += sealed(RecordType::Handshake, {&byte, 1});
    clientWrite.update();
    EXPECT_EQ(feed(records + data("new key")).status, Status::NeedsInput);
    EXPECT_EQ(into, "new key");
    EXPECT_EQ(written(), (Record{RecordType::Handshake, std::string("\x18\x00\x00\x01\x00", 5)}));
}

TEST_F(TlsRecordsTest, RefusesDataInsideAKeyUpdate) {
    expectRefused(join({sealed(RecordType::Handshake, std::string("\x18\x00", 2)), data("data")}), 10);
}

TEST_F(TlsRecordsTest, RefusesAKeyUpdateOfUnknownKind) {
    expectRefused(sealed(RecordType::Handshake, std::string("\x18\x00\x00\x01\x02", 5)), 47);
}

TEST_F(TlsRecordsTest, RefusesAnEmptyHandshakeRecord) {
    expectRefused(sealed(RecordType::Handshake, ""), 10);
}

TEST_F(TlsRecordsTest, RefusesAMalformedAlert) { expectRefused(sealed(RecordType::Alert, "\x01"), 10); }

TEST_F(TlsRecordsTest, RefusesAFloodOfWarnings) {
    for (int i = 0; i < TlsRecords::kMaxWarnings; ++i)
        ASSERT_EQ(feed(sealed(RecordType::Alert, "\x01\x5a")).status, Status::NeedsInput);
    expectRefused(sealed(RecordType::Alert, "\x01\x5a"), 10);
}

// RFC 8446 §5.4. It was bad_record_mac.
TEST_F(TlsRecordsTest, RefusesARecordWithoutAContentType) {
    expectRefused(sealed(static_cast<RecordType>(0), std::string(10, '\0')), 10);
}

// RFC 8446 §5.4. It was taken.
TEST_F(TlsRecordsTest, RefusesTooMuchPadding) {
    const std::string inner = "short" + std::string(1, '\x17') + std::string(16'600, '\0');
    expectRefused(sealed(static_cast<RecordType>(0), inner), 22);
}

// A turn of 64 records: a flood of KeyUpdates took milliseconds in one round of the loop.
TEST_F(TlsRecordsTest, OpensNoMoreThanItsTurn) {
    std::string records;
    for (uint32_t i = 0; i < 2 * kRecordsTurn.steps; ++i) records += data("x");
    EXPECT_EQ(feed(records).status, Status::NeedsInput);
    EXPECT_EQ(into.size(), kRecordsTurn.steps);
    EXPECT_EQ(open().bytes, 0u) << "the turn is over";
    buffers.turn = Turn(kRecordsTurn);
    EXPECT_EQ(open().bytes, kRecordsTurn.steps);
}

TEST_F(TlsRecordsTest, RefusesAFloodOfEmptyRecords) {
    for (int i = 0; i < TlsRecords::kMaxEmptyRecords; ++i)
        ASSERT_EQ(feed(data("")).status, Status::NeedsInput);
    ASSERT_EQ(feed(data("x")).status, Status::NeedsInput);
    for (int i = 0; i < TlsRecords::kMaxEmptyRecords; ++i)
        ASSERT_EQ(feed(data("")).status, Status::NeedsInput);
    expectRefused(data(""), 10);
}

TEST_F(TlsRecordsTest, WithoutAKernelThatEncryptsItGoesOn) {
    EXPECT_FALSE(codec.handOverWrites(-1));
    codec.end(buffers);
    EXPECT_EQ(written(), (Record{RecordType::Alert, std::string("\x01\x00", 2)}));
}

}  // namespace
}  // namespace tnet
