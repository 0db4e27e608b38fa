#include "tests/websocket/autobahn_cases.h"

#include <algorithm>
#include <utility>

#include "tests/support/hex.h"
#include "tests/websocket/autobahn_utf8.h"

namespace tnet {
namespace {

constexpr uint16_t kNormal = 1000;
constexpr uint16_t kProtocolError = 1002;
constexpr uint16_t kInvalidPayload = 1007;
constexpr auto kNoStatus = static_cast<uint16_t>(WsCloseCode::NoStatus);
constexpr std::string_view kHello = "Hello, world!";
const std::string kGreek = "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5";  // κόσμε

std::string text(std::string_view payload, bool fin = true) {
    return clientFrame(WsOpcode::Text, payload, fin);
}
std::string binary(std::string_view payload) { return clientFrame(WsOpcode::Binary, payload); }
std::string more(std::string_view payload) { return clientFrame(WsOpcode::Continuation, payload, false); }
std::string last(std::string_view payload) { return clientFrame(WsOpcode::Continuation, payload); }
std::string ping(std::string_view payload = {}) { return clientFrame(WsOpcode::Ping, payload); }
std::string pong(std::string_view payload = {}) { return clientFrame(WsOpcode::Pong, payload); }

WsFrame echo(std::string_view payload, WsOpcode opcode = WsOpcode::Text) {
    return {opcode, std::string(payload)};
}
WsFrame ponged(std::string_view payload) { return {WsOpcode::Pong, std::string(payload)}; }

std::string withRsv(int rsv, WsOpcode opcode, std::string_view payload) {
    return clientFrameOf(static_cast<uint8_t>(0x80 | rsv << 4 | static_cast<int>(opcode)), payload);
}
std::string withOpcode(int opcode, std::string_view payload) {
    return clientFrameOf(static_cast<uint8_t>(0x80 | opcode), payload);
}

// A message in frames of so many bytes.
std::string inFrames(WsOpcode opcode, std::string_view payload, size_t frameBytes) {
    std::string bytes;
    for (size_t at = 0; at == 0 || at < payload.size(); at += frameBytes) {
        const bool isLast = payload.size() - at <= frameBytes;
        bytes +=
            clientFrame(at == 0 ? opcode : WsOpcode::Continuation, payload.substr(at, frameBytes), isLast);
    }
    return bytes;
}

std::string repeated(std::string_view pattern, size_t bytes) {
    std::string whole;
    whole.reserve(bytes + pattern.size());
    while (whole.size() < bytes) whole += pattern;
    whole.resize(bytes);
    return whole;
}

// The front of a frame of fewer than 126 bytes, up to the payload's byte with this index.
std::string upToByte(const std::string& frame, size_t index) { return frame.substr(0, 6 + index + 1); }
std::string fromByte(const std::string& frame, size_t index) { return frame.substr(6 + index); }

class Table {
public:
    // All in order; then the client closes.
    void fine(std::string number, std::string bytes, std::vector<WsFrame> answers, size_t chop = 0) {
        closes(std::move(number), kNormal, std::move(bytes), clientClose(kNormal), {}, std::move(answers));
        m_rows.back().chop = chop;
    }

    // The Close is sent at the last byte of `deciding`, with `code`; what is `behind` has no effect.
    void closes(std::string number, uint16_t code, std::string before, std::string deciding,
                std::string behind, std::vector<WsFrame> answers = {}) {
        std::string bytes = std::move(before) + deciding;
        const size_t decidesAt = bytes.size();
        bytes += behind;
        m_rows.push_back({std::move(number), std::move(bytes), std::move(answers), code, decidesAt});
    }

    // The first `bytesOfIt` bytes of `wrong` decide.
    void violates(std::string number, std::string before, size_t bytesOfIt, const std::string& wrong,
                  std::string behind = {}, std::vector<WsFrame> answers = {}) {
        closes(std::move(number), kProtocolError, std::move(before), wrong.substr(0, bytesOfIt),
               wrong.substr(bytesOfIt) + behind, std::move(answers));
    }

    std::vector<AutobahnCase> take() { return std::move(m_rows); }

private:
    std::vector<AutobahnCase> m_rows;
};

// Text and binary messages.
void addFraming(Table& table) {
    constexpr size_t kSizes[] = {0, 125, 126, 127, 128, 65535, 65536, 65536};
    for (size_t i = 0; i < std::size(kSizes); ++i) {
        const std::string stars(kSizes[i], '*');
        const std::string bytes(kSizes[i], '\xfe');
        const size_t chop = i == 7 ? 997 : 0;
        table.fine("1.1." + std::to_string(i + 1), text(stars), {echo(stars)}, chop);
        table.fine("1.2." + std::to_string(i + 1), binary(bytes), {echo(bytes, WsOpcode::Binary)}, chop);
    }
}

// Pings and pongs.
void addPings(Table& table) {
    const std::string longest(125, '\xfe');
    const std::string odd("\x00\xff\xfe\xfd\xfc\xfb\x00\xff", 8);
    table.fine("2.1", ping(), {ponged("")});
    table.fine("2.2", ping("Hello, world!"), {ponged("Hello, world!")});
    table.fine("2.3", ping(odd), {ponged(odd)});
    table.fine("2.4", ping(longest), {ponged(longest)});
    table.violates("2.5", {}, 2, ping(longest + "\xfe"));
    table.fine("2.6", ping(longest), {ponged(longest)});
    table.fine("2.7", pong(), {});
    table.fine("2.8", pong("unsolicited pong payload"), {});
    table.fine("2.9", pong("unsolicited pong payload") + ping("ping payload"), {ponged("ping payload")});
    for (const char* const number : {"2.10", "2.11"}) {
        std::string pings;
        std::vector<WsFrame> pongs;
        for (int i = 0; i < 10; ++i) {
            const std::string payload = "payload-" + std::to_string(i);
            pings += ping(payload);
            pongs.push_back(ponged(payload));
        }
        table.fine(number, pings, pongs);
    }
}

// Reserved bits, and reserved opcodes. The first byte of the frame says it all.
void addReserved(Table& table) {
    const std::string odd("\x00\xff\xfe\xfd\xfc\xfb\x00\xff", 8);
    table.violates("3.1", {}, 1, withRsv(1, WsOpcode::Text, kHello));
    for (int rsv = 2; rsv <= 4; ++rsv) {
        table.violates("3." + std::to_string(rsv), text(kHello), 1, withRsv(rsv, WsOpcode::Text, kHello),
                       ping(), {echo(kHello)});
    }
    table.violates("3.5", {}, 1, withRsv(5, WsOpcode::Binary, odd));
    table.violates("3.6", {}, 1, withRsv(6, WsOpcode::Ping, kHello));
    table.violates("3.7", {}, 1, withRsv(7, WsOpcode::Close, {}));

    for (const auto& [group, first] : {std::pair{"4.1.", 3}, std::pair{"4.2.", 11}}) {
        table.violates(group + std::string("1"), {}, 1, withOpcode(first, {}));
        table.violates(group + std::string("2"), {}, 1, withOpcode(first + 1, "reserved opcode payload"));
        for (int i = 2; i < 5; ++i) {
            table.violates(group + std::to_string(i + 1), text(kHello), 1,
                           withOpcode(first + i, i == 2 ? std::string_view() : kHello), ping(),
                           {echo(kHello)});
        }
    }
}

// Fragmented messages, and control frames between fragments.
void addFragments(Table& table) {
    const std::string whole = "fragment1fragment2";
    table.violates("5.1", {}, 1, clientFrame(WsOpcode::Ping, "fragment1", false), last("fragment2"));
    table.violates("5.2", {}, 1, clientFrame(WsOpcode::Pong, "fragment1", false), last("fragment2"));
    for (const char* const number : {"5.3", "5.4", "5.5"})
        table.fine(number, text("fragment1", false) + last("fragment2"), {echo(whole)});
    for (const char* const number : {"5.6", "5.7", "5.8"}) {
        table.fine(number, text("fragment1", false) + ping("ping payload") + last("fragment2"),
                   {ponged("ping payload"), echo(whole)});
    }
    for (const char* const number : {"5.9", "5.10", "5.11"})
        table.violates(number, {}, 1, last("non-continuation payload"), text(kHello));
    for (const char* const number : {"5.12", "5.13", "5.14"})
        table.violates(number, {}, 1, more("non-continuation payload"), text(kHello));
    table.violates("5.15", text("fragment1", false) + last("fragment2"), 1, more("fragment3"),
                   text("fragment4"), {echo(whole)});
    const std::string behind = text("fragment2", false) + last("fragment3");
    table.violates("5.16", {}, 1, more("fragment1"), behind + more("fragment1") + behind);
    table.violates("5.17", {}, 1, last("fragment1"), behind + last("fragment1") + behind);
    table.violates("5.18", text("fragment1", false), 1, text("fragment2"));
    for (const char* const number : {"5.19", "5.20"}) {
        table.fine(number,
                   text("fragment1", false) + more("fragment2") + ping("pongme 1!") + more("fragment3") +
                       more("fragment4") + ping("pongme 2!") + last("fragment5"),
                   {ponged("pongme 1!"), ponged("pongme 2!"),
                    echo("fragment1fragment2fragment3fragment4fragment5")});
    }
}

// UTF-8 in one frame and in several, and the byte at which it goes wrong (RFC 6455 §8.1).
void addText(Table& table) {
    table.fine("6.1.1", text(""), {echo("")});
    table.fine("6.1.2", text("", false) + more("") + last(""), {echo("")});
    table.fine("6.1.3", text("", false) + more("middle frame payload") + last(""),
               {echo("middle frame payload")});

    const std::string front = "Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4";
    const std::string back = "\xc3\xbc\xc3\xa0\xc3\xa1-UTF-8!!";
    table.fine("6.2.1", text(front + back), {echo(front + back)});
    table.fine("6.2.2", text(front, false) + last(back), {echo(front + back)});
    table.fine("6.2.3", inFrames(WsOpcode::Text, front + back, 1), {echo(front + back)});
    table.fine("6.2.4", inFrames(WsOpcode::Text, kGreek, 1), {echo(kGreek)});

    // ED is a start; A0 behind it, byte 12, would make a surrogate.
    const std::string surrogate = kGreek + "\xed\xa0\x80" + "edited";
    table.closes("6.3.1", kInvalidPayload, {}, upToByte(text(surrogate), 12), fromByte(text(surrogate), 13));
    const std::string bytewise = inFrames(WsOpcode::Text, surrogate, 1);
    constexpr size_t kFrame = 7;
    table.closes("6.3.2", kInvalidPayload, {}, bytewise.substr(0, 13 * kFrame), bytewise.substr(13 * kFrame));

    // F4 is a start; 90 behind it, byte 12, would lead beyond 10FFFF. In three frames and in three pieces of
    // one: whatever comes behind is not needed for the verdict.
    const std::string beyond = "\xf4\x90\x80\x80";
    table.closes("6.4.1", kInvalidPayload, text(kGreek, false), upToByte(more(beyond), 1),
                 fromByte(more(beyond), 2) + last("edited"));
    table.closes("6.4.2", kInvalidPayload, text(kGreek + "\xf4", false), more("\x90"),
                 last("\x80\x80"
                      "edited"));
    const std::string one = text(kGreek + beyond + "edited");
    for (const char* const number : {"6.4.3", "6.4.4"})
        table.closes(number, kInvalidPayload, {}, upToByte(one, 12), fromByte(one, 13));

    for (const AutobahnText& row : autobahnTexts()) {
        const std::string payload = fromHex(row.hex);
        const std::string frame = text(payload);
        const std::string number(row.number);
        if (row.wrongByte == AutobahnText::kValid) {
            table.fine(number, frame, {echo(payload)});
        } else if (row.wrongByte == AutobahnText::kEndsInside) {
            table.closes(number, kInvalidPayload, {}, frame, {});
        } else {
            const auto wrong = static_cast<size_t>(row.wrongByte);
            table.closes(number, kInvalidPayload, {}, upToByte(frame, wrong), fromByte(frame, wrong + 1));
        }
    }
}

// The closing handshake.
void addCloses(Table& table) {
    const std::string normal = clientClose(kNormal);
    const std::string large = repeated("BAsd7&jh23", 256 << 10);
    table.closes("7.1.1", kNormal, text("Hello World!"), normal, {}, {echo("Hello World!")});
    table.closes("7.1.2", kNormal, {}, normal, clientClose(kNoStatus));
    table.closes("7.1.3", kNormal, {}, normal, ping());
    table.closes("7.1.4", kNormal, {}, normal, text("Hello World!"));
    table.closes("7.1.5", kNormal, text("fragment1", false), normal, last("fragment2"));
    table.closes("7.1.6", kNormal, text(large) + text("Hello World!"), normal, ping(),
                 {echo(large), echo("Hello World!")});

    table.closes("7.3.1", kNoStatus, {}, clientClose(kNoStatus), {});
    table.closes("7.3.2", kProtocolError, {}, clientFrame(WsOpcode::Close, "a"), {});
    table.closes("7.3.3", kNormal, {}, normal, {});
    table.closes("7.3.4", kNormal, {}, clientClose(kNormal, "Hello World!"), {});
    table.closes("7.3.5", kNormal, {}, clientClose(kNormal, std::string(123, '*')), {});
    table.violates("7.3.6", {}, 2, clientClose(kNormal, std::string(124, '*')));

    table.closes("7.5.1", kInvalidPayload, {}, clientClose(kNormal, kGreek + "\xed\xa0\x80" + "edited"), {});

    constexpr uint16_t kValid[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009,
                                   1010, 1011, 3000, 3999, 4000, 4999};
    for (size_t i = 0; i < std::size(kValid); ++i)
        table.closes("7.7." + std::to_string(i + 1), kValid[i], {}, clientClose(kValid[i]), {});

    // Code 1005 stands for "no code" in clientClose.
    const auto withCode = [](int code) {
        const char payload[] = {static_cast<char>(code >> 8), static_cast<char>(code)};
        return clientFrame(WsOpcode::Close, {payload, 2});
    };
    constexpr int kInvalid[] = {0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999};
    for (size_t i = 0; i < std::size(kInvalid); ++i)
        table.closes("7.9." + std::to_string(i + 1), kProtocolError, {}, withCode(kInvalid[i]), {});
    table.closes("7.13.1", kProtocolError, {}, withCode(5000), {});
    table.closes("7.13.2", kProtocolError, {}, withCode(65535), {});
}

}  // namespace

const std::vector<AutobahnCase>& autobahnCases() {
    static const std::vector<AutobahnCase> cases = [] {
        Table table;
        addFraming(table);
        addPings(table);
        addReserved(table);
        addFragments(table);
        addText(table);
        addCloses(table);
        const std::string stars(65536, '*');
        table.fine("10.1.1", inFrames(WsOpcode::Text, stars, 1300), {echo(stars)});
        return table.take();
    }();
    return cases;
}

const std::vector<AutobahnLarge>& autobahnLargeCases() {
    static const std::vector<AutobahnLarge> rows = [] {
        constexpr size_t kKib = 1 << 10;
        constexpr size_t kMib = 1 << 20;
        std::vector<AutobahnLarge> all;
        for (const WsOpcode opcode : {WsOpcode::Text, WsOpcode::Binary}) {
            const bool isText = opcode == WsOpcode::Text;
            const std::string_view pattern =
                isText ? "BAsd7&jh23" : std::string_view("\x00\xfe\x23\xfa\xf0", 5);
            const std::string_view filler = isText ? "*" : "\xfe";
            int number = 0;
            const auto add = [&](const char* group, std::string_view what, size_t bytes, size_t frame,
                                 size_t chop, size_t count) {
                all.push_back({group + std::to_string(++number), opcode, what, bytes, frame, chop, count});
            };
            for (const size_t bytes : {64 * kKib, 256 * kKib, kMib, 4 * kMib, 8 * kMib, 16 * kMib})
                add(isText ? "9.1." : "9.2.", pattern, bytes, 0, 0, 1);
            number = 0;
            for (size_t frame = 64; frame <= 4 * kMib; frame *= 4)
                add(isText ? "9.3." : "9.4.", filler, 4 * kMib, frame, 0, 1);
            number = 0;
            for (size_t chop = 64; chop <= 2048; chop *= 2)
                add(isText ? "9.5." : "9.6.", pattern, kMib, 0, chop, 1);
            number = 0;
            for (const size_t bytes : {0, 16, 64, 256, 1024, 4096})
                add(isText ? "9.7." : "9.8.", filler, bytes, 0, 0, 1000);
        }
        return all;
    }();
    return rows;
}

AutobahnCase autobahnLargeCase(const AutobahnLarge& row, size_t divisor) {
    const auto scaled = [divisor](size_t value) {
        return value == 0 ? 0 : std::max<size_t>(value / divisor, 1);
    };
    const std::string message = repeated(row.pattern, scaled(row.messageBytes));
    const size_t frameBytes = row.frameBytes == 0 ? message.size() + 1 : scaled(row.frameBytes);
    const std::string frames = inFrames(row.opcode, message, frameBytes);
    AutobahnCase result{row.number, {}, {}, kNormal, 0, row.chop};
    const size_t count = row.messages == 1 ? 1 : std::max<size_t>(scaled(row.messages), 3);
    for (size_t i = 0; i < count; ++i) {
        result.bytes += frames;
        result.answers.push_back(echo(message, row.opcode));
    }
    result.bytes += clientClose(kNormal);
    result.decidesAt = result.bytes.size();
    return result;
}

}  // namespace tnet
