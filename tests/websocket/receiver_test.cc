// WsReceiver on its own: bytes in, events out.
#include "websocket/receiver.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <ostream>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tests/websocket/autobahn_cases.h"
#include "tests/websocket/ws_fixture.h"
#include "websocket/deflate.h"
#include "websocket/types.h"

namespace tnet {
namespace {

using Event = WsReceiver::Event;

// What happened, with the pieces of a message put together: independent of how the input was cut.
struct Outcome {
    std::vector<std::string> events{};
    std::optional<WsCloseCode> error{};

    bool operator==(const Outcome&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Outcome& outcome) {
    for (const std::string& event : outcome.events) out << event.substr(0, 60) << "\n";
    return out << "error " << (outcome.error ? static_cast<int>(*outcome.error) : 0) << "\n";
}

// Drives a receiver, over input of the exact size, so that a sanitizer sees each step beyond it.
class Drive {
public:
    explicit Drive(const WsReceiver::Settings& settings) : m_receiver(settings) {}

    // False: an error, or a Close.
    bool feed(std::string_view bytes) {
        const std::unique_ptr<char[]> copy(new char[bytes.size()]);
        std::copy(bytes.begin(), bytes.end(), copy.get());
        std::span<char> input(copy.get(), bytes.size());
        for (;;) {
            const Event event = m_receiver.next(input);
            if (event == Event::NeedMore) {
                EXPECT_TRUE(input.empty());
                return true;
            }
            note(event);
            if (event == Event::Error || event == Event::Close) return false;
        }
    }

    bool feedCut(std::string_view bytes, size_t fragment) {
        for (size_t at = 0; at < bytes.size(); at += std::min(fragment, bytes.size() - at)) {
            if (!feed(bytes.substr(at, fragment))) return false;
        }
        return true;
    }

    // The same, and after each event the rest is kept, and the input goes.
    bool feedKeeping(std::string_view bytes) {
        auto copy = std::make_unique<char[]>(bytes.size());
        std::copy(bytes.begin(), bytes.end(), copy.get());
        std::span<char> input(copy.get(), bytes.size());
        for (;;) {
            const Event event = m_receiver.next(input);
            if (event == Event::NeedMore) break;
            note(event);
            if (event == Event::Error || event == Event::Close) return false;
            m_receiver.keep(input);
            copy.reset();
            EXPECT_EQ(m_receiver.hasRest(), !m_receiver.rest().empty() || m_receiver.canGoOn());
            input = m_receiver.rest();
        }
        EXPECT_TRUE(input.empty());
        m_receiver.dropRest();
        EXPECT_FALSE(m_receiver.hasRest());
        return true;
    }

    WsReceiver& receiver() { return m_receiver; }
    const Outcome& outcome() const { return m_outcome; }
    size_t pieces() const { return m_pieces; }
    size_t parts() const { return m_parts; }
    size_t largestPiece() const { return m_largestPiece; }
    const std::string& open() const { return m_open; }  // what came of a message that is not finished

private:
    void note(Event event) {
        if (event == Event::Error) {  // payload() is that of an earlier call
            m_outcome.error = m_receiver.errorCode();
            return;
        }
        const std::string payload(m_receiver.payload());
        const std::string kind = m_receiver.opcode() == WsOpcode::Text ? "text " : "binary ";
        switch (event) {
            case Event::Part: ++m_parts; break;
            case Event::NeedMore:
            case Event::Error: break;
            case Event::Message: m_outcome.events.push_back(kind + payload); break;
            case Event::Piece:
                ++m_pieces;
                m_largestPiece = std::max(m_largestPiece, payload.size());
                m_open += payload;
                if (!m_receiver.isLast()) break;
                m_outcome.events.push_back(kind + m_open);
                m_open.clear();
                break;
            case Event::Ping: m_outcome.events.push_back("ping " + payload); break;
            case Event::Pong: m_outcome.events.push_back("pong " + payload); break;
            case Event::Close:
                m_outcome.events.push_back("close " + std::to_string(m_receiver.close().code) +
                                           std::string(m_receiver.close().reason));
                break;
        }
    }

    WsReceiver m_receiver;
    Outcome m_outcome{};
    std::string m_open{};
    size_t m_pieces = 0;
    size_t m_parts = 0;
    size_t m_largestPiece = 0;
};

Outcome outcomeOf(const WsReceiver::Settings& settings, std::string_view bytes,
                  size_t fragment = ScriptedPeer::kWhole) {
    Drive drive(settings);
    drive.feedCut(bytes, fragment);
    return drive.outcome();
}

std::optional<WsCloseCode> errorOf(const WsReceiver::Settings& settings, std::string_view bytes) {
    return outcomeOf(settings, bytes).error;
}

// Only the header of a binary frame that announces so much.
std::string announce(uint64_t payloadBytes) {
    std::string header = clientFrame(WsOpcode::Binary, {});
    header[1] = static_cast<char>(0xFF);
    std::string length(8, '\0');
    for (size_t i = 0; i < 8; ++i) length[i] = static_cast<char>(payloadBytes >> (8 * (7 - i)));
    return header.insert(2, length);
}

std::string compressed(std::string_view message) {
    WsDeflater deflater({});
    std::string out;
    EXPECT_TRUE(deflater.deflate(message, true, out));
    return out;
}

WsReceiver::Settings inflating() {
    WsReceiver::Settings settings;
    settings.inflate = WsInflater::Settings{};
    return settings;
}

// --- Messages ---

TEST(WsReceiverTest, AWholeMessageStaysInPlace) {
    WsReceiver receiver({});
    std::string bytes =
        clientFrame(WsOpcode::Text, "hello") + clientFrame(WsOpcode::Binary, patternOf(70'000));
    std::span<char> input(bytes);
    ASSERT_EQ(receiver.next(input), Event::Message);
    EXPECT_EQ(receiver.payload(), "hello");
    EXPECT_EQ(receiver.payload().data(), bytes.data() + 6);
    ASSERT_EQ(receiver.next(input), Event::Message);
    EXPECT_EQ(receiver.opcode(), WsOpcode::Binary);
    EXPECT_EQ(receiver.payload(), patternOf(70'000));
    EXPECT_EQ(receiver.payload().data() + receiver.payload().size(), bytes.data() + bytes.size());
    EXPECT_EQ(receiver.memoryBytes(), sizeof(WsReceiver));
}

TEST(WsReceiverTest, CutMessagesAreThoseThatWereSent) {
    const std::string bytes = clientFrame(WsOpcode::Text, patternOf(300)) +
                              clientFrame(WsOpcode::Binary, "one ", false) +
                              clientFrame(WsOpcode::Ping, "?") +
                              clientFrame(WsOpcode::Continuation, "message") + clientClose(1000, "bye");
    const Outcome expected{{"text " + patternOf(300), "ping ?", "binary one message", "close 1000bye"}, {}};
    for (const size_t fragment : kFragments) EXPECT_EQ(outcomeOf({}, bytes, fragment), expected) << fragment;
}

TEST(WsReceiverTest, PiecesComeAsTheyArrive) {
    WsReceiver::Settings settings;
    settings.inPieces = true;
    Drive drive(settings);
    const std::string frame = clientFrame(WsOpcode::Text, "hello");
    drive.feed(frame.substr(0, 8));
    EXPECT_EQ(drive.open(), "he");
    drive.feed(frame.substr(8, 1));
    EXPECT_EQ(drive.open(), "hel");
    EXPECT_TRUE(drive.outcome().events.empty());
    drive.feed(frame.substr(9));
    EXPECT_EQ(drive.outcome().events, std::vector<std::string>{"text hello"});
    EXPECT_EQ(drive.receiver().memoryBytes(), sizeof(WsReceiver));
}

TEST(WsReceiverTest, PiecesEndWithAnEmptyOneIfNeedBe) {
    WsReceiver::Settings settings;
    settings.inPieces = true;
    Drive drive(settings);
    drive.feed(clientFrame(WsOpcode::Text, "a", false) + clientFrame(WsOpcode::Continuation, "", false) +
               clientFrame(WsOpcode::Continuation, "") + clientFrame(WsOpcode::Binary, ""));
    EXPECT_EQ(drive.outcome(), (Outcome{{"text a", "binary "}, {}}));
    EXPECT_EQ(drive.pieces(), 3U);  // an empty one in the middle says nothing
}

// --- Limits ---

TEST(WsReceiverTest, AnAnnouncedSizeIsRefusedBeforeItComes) {
    WsReceiver::Settings settings;
    settings.maxFrameBytes = 70'000;
    settings.maxMessageBytes = 80'000;
    EXPECT_EQ(errorOf(settings, announce(70'001)), WsCloseCode::MessageTooBig);
    EXPECT_EQ(errorOf(settings, announce(70'000)), std::nullopt);
    EXPECT_EQ(errorOf(settings, announce(INT64_MAX)), WsCloseCode::MessageTooBig);
    settings.maxFrameBytes = 100'000;
    EXPECT_EQ(errorOf(settings, announce(80'001)), WsCloseCode::MessageTooBig);
    EXPECT_EQ(errorOf(settings, announce(80'000)), std::nullopt);
}

TEST(WsReceiverTest, FragmentsAddUpToTheMessageLimit) {
    WsReceiver::Settings settings;
    settings.maxMessageBytes = 10;
    const std::string six = clientFrame(WsOpcode::Text, "123456", false);
    EXPECT_EQ(errorOf(settings, six + clientFrame(WsOpcode::Continuation, "7890")), std::nullopt);
    const std::string five = clientFrame(WsOpcode::Continuation, "78901");
    EXPECT_EQ(errorOf(settings, six + five.substr(0, 6)), WsCloseCode::MessageTooBig);
    // For the next message it counts anew.
    const std::string ten = six + clientFrame(WsOpcode::Continuation, "7890");
    EXPECT_EQ(errorOf(settings, ten + ten), std::nullopt);
}

TEST(WsReceiverTest, FragmentsAreCounted) {
    constexpr size_t kFragmentsAllowed = 65'536;
    WsReceiver::Settings settings;
    settings.maxFragments = kFragmentsAllowed;
    std::string bytes = clientFrame(WsOpcode::Text, "", false);
    for (size_t i = 1; i < kFragmentsAllowed - 1; ++i)
        bytes += clientFrame(WsOpcode::Continuation, "x", false);
    const std::string end = clientFrame(WsOpcode::Continuation, "!");
    EXPECT_EQ(outcomeOf(settings, bytes + end),
              (Outcome{{"text " + std::string(kFragmentsAllowed - 2, 'x') + "!"}, {}}));
    bytes += clientFrame(WsOpcode::Continuation, "", false);
    EXPECT_EQ(errorOf(settings, bytes), std::nullopt);
    EXPECT_EQ(errorOf(settings, bytes + end), WsCloseCode::PolicyViolation);
    EXPECT_EQ(errorOf({}, bytes + end), std::nullopt);  // by default there may be more
}

TEST(WsReceiverTest, ACompressionBombStopsAtTheLimit) {
    constexpr size_t kLimit = 100'000;
    const std::string bomb =
        clientFrame(WsOpcode::Binary, compressed(std::string(50 << 20, '\0')), true, true);
    ASSERT_LT(bomb.size(), kLimit);
    for (const bool inPieces : {false, true}) {
        WsReceiver::Settings settings = inflating();
        settings.inPieces = inPieces;
        settings.maxMessageBytes = kLimit;
        Drive drive(settings);
        EXPECT_FALSE(drive.feed(bomb));
        EXPECT_EQ(drive.outcome().error, WsCloseCode::MessageTooBig);
        EXPECT_LT(drive.receiver().memoryBytes(), 4 * kLimit);
        EXPECT_LE(drive.open().size(), kLimit);
        EXPECT_LE(drive.largestPiece(), 16U << 10);
    }
}

TEST(WsReceiverTest, ACompressedMessageMayBeAsLargeAsTheLimit) {
    WsReceiver::Settings settings = inflating();
    settings.maxMessageBytes = 100'000;
    for (const size_t fragment : kFragments) {
        for (const size_t size : {size_t{100'000}, size_t{100'001}}) {
            const std::string frame =
                clientFrame(WsOpcode::Binary, compressed(std::string(size, 'a')), true, true);
            const Outcome outcome = outcomeOf(settings, frame, fragment);
            EXPECT_EQ(outcome.error.has_value(), size > 100'000) << fragment;
            EXPECT_EQ(outcome.events.size(), size > 100'000 ? 0U : 1U) << fragment;
        }
    }
}

// --- Compression ---

TEST(WsReceiverTest, CompressedTextIsChecked) {
    const auto frame = [](std::string_view text) {
        return clientFrame(WsOpcode::Text, compressed(text), true, true);
    };
    EXPECT_EQ(outcomeOf(inflating(), frame("h\xc3\xa9")), (Outcome{{"text h\xc3\xa9"}, {}}));
    EXPECT_EQ(errorOf(inflating(), frame("h\xff")), WsCloseCode::InvalidPayload);
    EXPECT_EQ(errorOf(inflating(), frame("h\xc3")), WsCloseCode::InvalidPayload);
    EXPECT_EQ(errorOf(inflating(), clientFrame(WsOpcode::Text, "\xff\xff\xff\xff", true, true)),
              WsCloseCode::InvalidPayload);
}

TEST(WsReceiverTest, CompressedAndPlainMessagesAndControlFramesMix) {
    const std::string deflated = compressed(patternOf(2000));
    const std::string_view view = deflated;
    const std::string bytes =
        clientFrame(WsOpcode::Text, view.substr(0, 7), false, true) + clientFrame(WsOpcode::Ping, "?") +
        clientFrame(WsOpcode::Continuation, "", false) + clientFrame(WsOpcode::Continuation, view.substr(7)) +
        clientFrame(WsOpcode::Text, "plain") + clientFrame(WsOpcode::Text, "", true, true);
    const Outcome expected{{"ping ?", "text " + patternOf(2000), "text plain", "text "}, {}};
    for (const bool inPieces : {false, true}) {
        WsReceiver::Settings settings = inflating();
        settings.inPieces = inPieces;
        for (const size_t fragment : kFragments)
            EXPECT_EQ(outcomeOf(settings, bytes, fragment), expected) << fragment;
    }
}

// --- Idleness ---

// The caller asks for the next event until there is none, so after each read the receiver was asked with no
// input left. It took that for a header of which nothing had come yet, and was never idle again: each
// connection kept a receiver of its own.
TEST(WsReceiverTest, IsIdleBetweenMessages) {
    Drive drive({});
    EXPECT_TRUE(drive.receiver().isIdle());
    EXPECT_TRUE(drive.feed(clientFrame(WsOpcode::Text, "hi")));
    EXPECT_TRUE(drive.receiver().isIdle());
    EXPECT_TRUE(drive.feed({}));
    EXPECT_TRUE(drive.receiver().isIdle());
    EXPECT_TRUE(drive.feed(clientFrame(WsOpcode::Ping, "hi")));
    EXPECT_TRUE(drive.receiver().isIdle());
}

TEST(WsReceiverTest, IsNotIdleInsideAFrameOrAMessage) {
    const std::string bytes = clientFrame(WsOpcode::Text, "ab", false) + clientFrame(WsOpcode::Ping, "?") +
                              clientFrame(WsOpcode::Continuation, "c");
    for (size_t cut = 1; cut < bytes.size(); ++cut) {
        Drive drive({});
        EXPECT_TRUE(drive.feed(std::string_view(bytes).substr(0, cut)));
        EXPECT_TRUE(drive.feed({}));
        EXPECT_FALSE(drive.receiver().isIdle()) << cut;
        EXPECT_TRUE(drive.feed(std::string_view(bytes).substr(cut)));
        EXPECT_TRUE(drive.receiver().isIdle()) << cut;
    }
}

TEST(WsReceiverTest, CompactKeepsTheHistory) {
    Drive drive(inflating());
    WsDeflater deflater({});
    std::vector<std::string> expected;
    size_t before = 0;
    for (int i = 0; i < 5; ++i) {
        std::string out;
        ASSERT_TRUE(deflater.deflate(patternOf(3000), true, out));
        if (i > 0) {
            EXPECT_LT(out.size(), 100U);  // it refers to the one before
        }
        EXPECT_TRUE(drive.feedCut(clientFrame(WsOpcode::Text, out, true, true), 10));
        expected.push_back("text " + patternOf(3000));
        before = drive.receiver().memoryBytes();
        ASSERT_TRUE(drive.receiver().isIdle());
        drive.receiver().compact();
        EXPECT_LT(drive.receiver().memoryBytes(), before);
    }
    EXPECT_EQ(drive.outcome(), (Outcome{expected, {}}));
}

// --- Any bytes ---

std::string mutated(std::string bytes, std::mt19937& random) {
    const size_t count = 1 + random() % 4;
    for (size_t i = 0; i < count && !bytes.empty(); ++i) {
        const size_t at = random() % bytes.size();
        switch (random() % 5) {
            case 0: bytes[at] = static_cast<char>(random()); break;
            case 1: bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8)); break;
            case 2: bytes.erase(at, 1 + random() % 4); break;
            case 3: bytes.insert(at, 1 + random() % 4, static_cast<char>(random())); break;
            case 4: bytes.resize(at); break;
        }
    }
    return bytes;
}

TEST(WsReceiverTest, MutatedTranscriptsHaveTheSameOutcomeAtEveryCut) {
    constexpr size_t kLongest = 2000;
    std::vector<std::string> seeds;
    for (const AutobahnCase& row : autobahnCases()) {
        if (row.bytes.size() <= kLongest) seeds.push_back(row.bytes);
    }
    const std::string deflated = compressed(patternOf(500));
    seeds.push_back(clientFrame(WsOpcode::Text, deflated, true, true) + clientFrame(WsOpcode::Text, "x"));
    seeds.push_back(clientFrame(WsOpcode::Text, std::string_view(deflated).substr(0, 9), false, true) +
                    clientFrame(WsOpcode::Continuation, std::string_view(deflated).substr(9)));
    std::mt19937 random(20260101);
    for (int round = 0; round < 6000; ++round) {
        const std::string bytes = mutated(seeds[random() % seeds.size()], random);
        WsReceiver::Settings settings = round % 2 == 0 ? WsReceiver::Settings{} : inflating();
        settings.inPieces = round % 4 > 1;
        settings.maxMessageBytes = 400;
        const Outcome whole = outcomeOf(settings, bytes);
        for (const size_t fragment : kFragments) {
            ASSERT_EQ(outcomeOf(settings, bytes, fragment), whole) << "round " << round << " at " << fragment;
        }
    }
}

// --- Keeping the rest ---

TEST(WsReceiverTest, WhatIsKeptGoesOnWhereItStopped) {
    std::string text;  // three pieces long, and some hundred bytes when it is compressed
    while (text.size() < 40'000) text += std::to_string(text.size() % 7) + std::string(1000, 'x');
    const std::string payload = compressed(text);
    const std::string bytes = clientFrame(WsOpcode::Text, payload.substr(0, 5), false, true) +
                              clientFrame(WsOpcode::Ping, "ping") +
                              clientFrame(WsOpcode::Continuation, payload.substr(5)) +
                              clientFrame(WsOpcode::Binary, "plain") + clientClose(1001);
    for (const bool inPieces : {true, false}) {
        WsReceiver::Settings settings = inflating();
        settings.inPieces = inPieces;
        const Outcome expected = outcomeOf(settings, bytes);
        EXPECT_EQ(expected.events.size(), 4U);
        for (size_t cut = 0; cut <= bytes.size(); ++cut) {
            Drive drive(settings);
            if (drive.feedKeeping(bytes.substr(0, cut))) drive.feedKeeping(bytes.substr(cut));
            ASSERT_EQ(drive.outcome(), expected) << cut;
        }
    }
}

// A message that is decompressed takes turns although nothing of it can be handed out.
TEST(WsReceiverTest, PartsOfACompressedMessageAreTold) {
    Drive drive(inflating());
    drive.feed(clientFrame(WsOpcode::Binary, compressed(std::string(1 << 20, 'x')), true, true));
    EXPECT_GE(drive.parts(), 63U);
    EXPECT_EQ(drive.outcome().events.size(), 1U);
}

}  // namespace
}  // namespace tnet
