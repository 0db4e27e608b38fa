// WsDeflater and WsInflater: permessage-deflate's compression of messages (RFC 7692 §7.2), on zlib.
//
//     message, in pieces -> WsDeflater -> payload, without the 00 00 FF FF at its end
//     payload, in pieces -> WsInflater -> message, in steps of the caller's size
//
// With context takeover each belongs to one connection: its window is the history that the next message
// refers to. Without, one can serve all connections of a loop, for one message after another: a deflater those
// that agreed on its window or a larger one, an inflater of 15 bits all. A message whose pieces come over time
// needs one of its own while it lasts.
//
// zlib's memory is taken when the first message comes, and is counted: memoryBytes(). In KiB, of Debian 12's
// zlib (DeflateMemoryTest.WhatAWindowTakes):
//
//     window bits               9    10    11    12    13    14    15
//     WsDeflater, memLevel 8  137   139   143   151   167   199   263
//     WsDeflater, memLevel 1   10    12    16    24    40    72   136
//     WsInflater                8     9    10    12    16    24    40
//
// Threads: one thread at a time.
// Lifetime: values that stay where they are; they know nobody.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "tnet/cpp20.h"

namespace tnet {

class WsZlib;  // zlib's state and what it takes

class WsDeflater {
public:
    struct Settings {
        int windowBits = 15;  // 9 to 15
        bool noContextTakeover = false;
        int level = 6;     // 0: stored, 1: fastest, to 9: smallest
        int memLevel = 8;  // 1 to 9: beside the window it takes 2 to the power of (memLevel + 9) bytes
    };

    explicit WsDeflater(const Settings& settings);
    WsDeflater(const WsDeflater&) = delete;
    WsDeflater& operator=(const WsDeflater&) = delete;
    ~WsDeflater();

    // Compresses the next piece of a message, of any size, and appends to `out` all that a receiver needs to
    // have all of the piece. `last` ends the message. An empty piece appends nothing, or 00 if it is the last
    // one (RFC 7692 §7.2.3.6).
    //
    // False: no memory, which only the first piece after construction or release() can meet. `out` is as it
    // was; what has not begun can be sent uncompressed, and what has begun cannot be finished.
    [[nodiscard]] bool deflate(std::string_view piece, bool last, std::string& out);

    // Gives zlib's memory back. What comes next refers to no history, which is legal at any time, also in the
    // middle of a message. A message that is given up halfway needs this, or the next one refers to it.
    void release();

    size_t memoryBytes() const;

private:
    bool open();
    void compress(std::string_view piece, std::string& out);

    const Settings m_settings;
    std::unique_ptr<WsZlib> m_zlib;  // null: nothing to refer to
};

class WsInflater {
public:
    struct Settings {
        int windowBits = 15;  // 8 to 15; a sender with a larger window may be taken for a broken one
        bool noContextTakeover = false;
    };

    enum class State : uint8_t {
        NeedInput,   // `input` is used up; if `room` is, too, some of the output may come with the next call
        NeedRoom,    // `room` is used up, and behind it is at least one more byte, or a fault
        MessageEnd,  // `last` was said, and all of the message has been written
        Malformed,   // no deflate data, or it ends too early: close 1007
        NoMemory,
    };
    struct Step {
        State state;
        size_t written;  // bytes at `out`, in every state
    };

    explicit WsInflater(const Settings& settings);
    WsInflater(const WsInflater&) = delete;
    WsInflater& operator=(const WsInflater&) = delete;
    ~WsInflater();

    // Decompresses from the front of `input`, which is advanced, to `out` (not null). `last` says that the
    // message ends with `input`. After NeedRoom call it again with what is left of `input` and the same `last`.
    // `room` may be zero, which asks whether there is more: whoever has given as much room as the message may
    // have bytes learns here that it is too large, before another byte of it has been made.
    //
    // After Malformed and NoMemory the message and the history are forgotten: a connection with context
    // takeover cannot go on.
    //
    // Accepted beyond the letter of §7.2.1: a message that lacks the empty block at its end, if it ends behind
    // a whole block and at a byte's boundary, and so an empty payload.
    Step inflate(std::string_view& input, bool last, char* out, size_t room);

    // Gives zlib's memory back between two messages and keeps the history only, of the bytes that are there;
    // none without context takeover. Does nothing if there is no memory for that, or in the middle of a
    // message.
    void compact();

    // Gives everything back. For a message that is given up halfway, with those that came before it.
    void release();

    size_t memoryBytes() const;

private:
    bool open();
    Step feed(std::string_view& bytes, char* out, size_t room);
    Step feedTail(char* out, size_t room);
    void endMessage();

    const Settings m_settings;
    std::unique_ptr<WsZlib> m_zlib;     // null: between two messages
    std::unique_ptr<char[]> m_history;  // only while m_zlib is null
    uint32_t m_historyBytes = 0;
    uint8_t m_tailBytes = 0;  // how much of the 00 00 FF FF has been appended
    bool m_isInMessage = false;
};

}  // namespace tnet
