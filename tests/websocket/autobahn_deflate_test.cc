// Autobahn's groups 12 and 13: messages through permessage-deflate (RFC 7692), five kinds of data, 18 sizes of
// messages and fragments, seven sets of parameters.
//
// Each case is played against shared windows and dedicated ones. Autobahn sends 1000 messages of each, which
// here are as many as make 128 KiB, at least 2 and at most 20; in pieces of a few bytes, the sizes are 1/64.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/websocket/ws_fixture.h"
#include "websocket/deflate.h"

namespace tnet {
namespace {

constexpr size_t kPiecesDivisor = 64;
constexpr size_t kMessageBytesPerCase = 128 << 10;
constexpr size_t kDataBytes = 300'000;

// --- The tables ---

struct Sizes {
    size_t messageBytes;
    size_t frameBytes;  // zero: one frame
};

constexpr Sizes kSizes[] = {
    {16, 0},      {64, 0},      {256, 0},      {1024, 0},      {4096, 0},      {8192, 0},
    {16384, 0},   {32768, 0},   {65536, 0},    {131072, 0},    {8192, 256},    {16384, 256},
    {32768, 256}, {65536, 256}, {131072, 256}, {131072, 1024}, {131072, 4096}, {131072, 32768},
};

// What the client offers, and the window that our route then asks the client for.
struct Parameters {
    std::string_view offer;
    int clientMaxWindowBits;
};

constexpr std::string_view kDefaultOffer =
    "permessage-deflate; client_no_context_takeover; client_max_window_bits";

constexpr Parameters kParameters[] = {
    {kDefaultOffer, 15},
    {"permessage-deflate; client_no_context_takeover; client_max_window_bits; server_no_context_takeover",
     15},
    {"permessage-deflate; client_max_window_bits; server_max_window_bits=9", 9},
    {"permessage-deflate; client_max_window_bits; server_max_window_bits=15", 15},
    {"permessage-deflate; client_no_context_takeover; client_max_window_bits; server_no_context_takeover; "
     "server_max_window_bits=9",
     9},
    {"permessage-deflate; client_no_context_takeover; client_max_window_bits; server_no_context_takeover; "
     "server_max_window_bits=15",
     15},
    {"permessage-deflate; client_max_window_bits; server_no_context_takeover; server_max_window_bits=9, "
     "permessage-deflate; client_max_window_bits; server_no_context_takeover, "
     "permessage-deflate; client_max_window_bits",
     9},
};

struct Data {
    std::string bytes;
    WsOpcode opcode;
};

std::string repeatedWith(std::mt19937& random, const std::vector<std::string>& words) {
    std::string text;
    while (text.size() < kDataBytes) text += words[random() % words.size()];
    return text;
}

// JSON, a picture, prose, HTML, and what is compressed already, as Autobahn's files; ASCII where it is text.
const std::vector<Data>& dataSets() {
    static const std::vector<Data> sets = [] {
        std::mt19937 random(12);
        std::vector<Data> all;
        all.push_back(
            {repeatedWith(random, {"{\"id\": 17, ", "\"name\": \"x\"}, ", "[1, 2.5, null], ", "true, "}),
             WsOpcode::Text});
        std::string picture;
        for (size_t i = 0; i < kDataBytes; ++i)
            picture += static_cast<char>(i / 7 + i / 512 % 31 + (random() & 3));
        all.push_back({picture, WsOpcode::Binary});
        all.push_back(
            {repeatedWith(random, {"Habe ", "nun, ", "ach! ", "Philosophie, ", "Juristerei ", "und "}),
             WsOpcode::Binary});
        all.push_back({repeatedWith(random, {"<p>", "</p>\n", "<td class=\"a\">", "</td>", "text ", "0123 "}),
                       WsOpcode::Text});
        std::string noise;
        for (size_t i = 0; i < kDataBytes; ++i) noise += static_cast<char>(random());
        all.push_back({noise, WsOpcode::Binary});
        return all;
    }();
    return sets;
}

// --- The client ---

// The number behind `name` in the server's answer, or `otherwise`.
int bitsOf(const std::string& answer, std::string_view name, int otherwise) {
    const size_t at = answer.find(std::string(name) + "=");
    return at == std::string::npos ? otherwise : std::stoi(answer.substr(at + name.size() + 1));
}

bool has(const std::string& answer, std::string_view name) { return answer.find(name) != std::string::npos; }

// A client's side of the compression, as the answer says.
class Codec {
public:
    explicit Codec(const std::string& answer)
        : m_deflater({.windowBits = std::max(bitsOf(answer, "client_max_window_bits", 15), 9),
                      .noContextTakeover = has(answer, "client_no_context_takeover")}),
          m_inflater({.windowBits = bitsOf(answer, "server_max_window_bits", 15),
                      .noContextTakeover = has(answer, "server_no_context_takeover")}) {}

    std::string frames(std::string_view message, WsOpcode opcode, size_t frameBytes) {
        std::string payload;
        EXPECT_TRUE(m_deflater.deflate(message, true, payload));
        if (frameBytes == 0) return clientFrame(opcode, payload, true, true);
        std::string bytes;
        const std::string_view view = payload;
        for (size_t at = 0; at < view.size(); at += frameBytes) {
            bytes += clientFrame(at == 0 ? opcode : WsOpcode::Continuation, view.substr(at, frameBytes),
                                 view.size() - at <= frameBytes, at == 0);
        }
        return bytes;
    }

    std::string message(const WsFrame& frame, size_t room) {
        if (!frame.rsv1) return frame.payload;
        std::string message(room + 1, '\0');
        std::string_view input = frame.payload;
        const WsInflater::Step step = m_inflater.inflate(input, true, message.data(), message.size());
        EXPECT_EQ(step.state, WsInflater::State::MessageEnd);
        message.resize(step.written);
        return message;
    }

private:
    WsDeflater m_deflater;
    WsInflater m_inflater;
};

class AutobahnDeflateTest : public WsTest, public ::testing::WithParamInterface<size_t> {
protected:
    static constexpr WsCompression kModes[] = {WsCompression::Shared, WsCompression::Dedicated};

    AutobahnDeflateTest() {
        for (const WsCompression mode : kModes) {
            for (const int bits : {9, 15}) {
                WsRoute route = echoRoute();
                route.compression = mode;
                route.clientMaxWindowBits = bits;
                route.compressFromBytes = 0;
                EXPECT_TRUE(ws().route(pathOf(mode, bits), std::move(route)));
            }
        }
    }

    static std::string pathOf(WsCompression mode, int clientMaxWindowBits) {
        return (mode == WsCompression::Shared ? "/shared" : "/dedicated") +
               std::to_string(clientMaxWindowBits);
    }

    static size_t scaled(size_t value) {
        if (GetParam() == ScriptedPeer::kWhole || value == 0) return value;
        return std::max<size_t>(value / kPiecesDivisor, 8);
    }

    static void checkAnswer(const std::string& answer, WsCompression mode, const Parameters& parameters) {
        const bool isShared = mode == WsCompression::Shared;
        const std::string offer(parameters.offer.substr(0, parameters.offer.find(',')));
        ASSERT_TRUE(answer.starts_with("permessage-deflate")) << answer;
        for (const std::string_view name : {"server_no_context_takeover", "client_no_context_takeover"})
            EXPECT_EQ(has(answer, name), isShared || has(offer, name)) << answer;
        EXPECT_EQ(bitsOf(answer, "server_max_window_bits", 0), bitsOf(offer, "server_max_window_bits", 0));
        EXPECT_EQ(bitsOf(answer, "client_max_window_bits", 0),
                  isShared ? 15 : parameters.clientMaxWindowBits);
    }

    void play(const std::string& number, const Data& data, const Sizes& sizes, const Parameters& parameters) {
        for (const WsCompression mode : kModes) {
            const std::string path = pathOf(mode, parameters.clientMaxWindowBits);
            SCOPED_TRACE(number + " on " + path);
            const auto peer =
                open(path, std::string("Sec-WebSocket-Extensions: ").append(parameters.offer).append("\r\n"));
            const std::string answer = peer->reply().header("Sec-WebSocket-Extensions");
            checkAnswer(answer, mode, parameters);
            Codec codec(answer);
            const size_t bytes = scaled(sizes.messageBytes);
            const size_t count = std::clamp<size_t>(scaled(kMessageBytesPerCase) / bytes, 2, 20);
            for (size_t i = 0; i < count && !HasFailure(); ++i) {
                const std::string message = data.bytes.substr(i * bytes % (kDataBytes - bytes), bytes);
                peer->feed(codec.frames(message, data.opcode, scaled(sizes.frameBytes)), GetParam());
                const WsFrames frames = peer->collect();
                ASSERT_EQ(frames.size(), 1U) << frames;
                EXPECT_EQ(frames[0].opcode, data.opcode);
                EXPECT_TRUE(codec.message(frames[0], bytes) == message) << "message " << i;
            }
            peer->feed(clientClose(1000), GetParam());
            const WsFrames end = peer->collect();
            EXPECT_TRUE(end.isClean()) << end;
            EXPECT_EQ(end.closeCode(), 1000);
            EXPECT_TRUE(peer->isEnded());
        }
    }
};

TEST_P(AutobahnDeflateTest, EveryKindOfDataComesBack) {
    for (size_t j = 0; j < dataSets().size(); ++j) {
        for (size_t i = 0; i < std::size(kSizes) && !HasFailure(); ++i) {
            play("12." + std::to_string(j + 1) + "." + std::to_string(i + 1), dataSets()[j], kSizes[i],
                 kParameters[0]);
        }
    }
}

TEST_P(AutobahnDeflateTest, EverySetOfParametersIsKept) {
    for (size_t j = 0; j < std::size(kParameters); ++j) {
        for (size_t i = 0; i < std::size(kSizes) && !HasFailure(); ++i) {
            play("13." + std::to_string(j + 1) + "." + std::to_string(i + 1), dataSets()[0], kSizes[i],
                 kParameters[j]);
        }
    }
}

// A test per size of the pieces, so that they can run side by side.
INSTANTIATE_TEST_SUITE_P(Fragments, AutobahnDeflateTest, ::testing::ValuesIn(fragmentsOfLongTables()),
                         [](const ::testing::TestParamInfo<size_t>& size) {
                             return size.param == ScriptedPeer::kWhole ? "whole" : std::to_string(size.param);
                         });

}  // namespace
}  // namespace tnet
