// Life: one connection of the soak's load, from its connect to an end that was drawn at its beginning.
//
//     connect -> begin -> use -> (answer) -> pause -> use -> ... -> die -> the connection's end, by us or by the server
//
// A kind (HttpLife, WsLife, TcpLife) says what using and dying mean. Everything that comes back is compared with what
// has to; an end that was not expected, or comes too early or too late, is a mistake, and is told to the Tally.
//
// Threads: the loop's. Lifetime: owned by its connection's callback.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <system_error>

#include "tests/soak/tally.h"
#include "tests/soak/times.h"
#include "tnet/connection.h"
#include "tnet/io_loop.h"

namespace tnet {

// A way of dying; of two, the one with twice the weight is drawn twice as often.
struct Death {
    const char* name;
    unsigned weight;
};

// What all lives of a load share.
struct Soak {
    IOLoop* loop;
    const SoakTimes times;
    const uint64_t connections;  // wanted
    Tally tally{};
    std::mt19937_64 random{};
    bool mayDie = true;
    bool mayUse = true;                         // false: a pause does not end
    std::function<void(class Life*)> onOver{};  // before it is destroyed
};

class Life {
public:
    explicit Life(Soak& soak) : m_soak(soak) {}
    virtual ~Life();
    Life(const Life&) = delete;
    Life& operator=(const Life&) = delete;

    // `connected`: what connect(2) said; its success may still be under way.
    static void begin(const std::shared_ptr<Life>& life, FileDescriptor socket, std::error_code connected);

    // The load ends: leaves, if nothing else is under way that ends by itself.
    void leaveIfQuiet();

protected:
    // What the kind does. All of them may end with wrong().
    virtual void connected() = 0;
    virtual void use() = 0;
    virtual void die(size_t death) = 0;
    virtual void take(std::string_view bytes) = 0;
    virtual bool owesNothing() const = 0;  // no answer is outstanding

    void draw(const Death* deaths, size_t count);  // in the constructor of the kind
    size_t death() const { return m_death; }

    void useOrDie();
    void pauseThenGoOn();
    void awaitAnswer();  // it has to come within kPatience

    void send(std::string_view bytes);
    // What the server has heard from it since, it has heard later.
    TimePoint lastSent() const { return m_lastSent; }
    void leave();  // delivers, then FIN
    void reset();
    // The server is to end the connection, `earliest` from now and not later than `tolerance` after that.
    void expectEnd(SoakTimes::Milliseconds earliest, SoakTimes::Milliseconds tolerance);
    // The same, `earliest` from `since`, when the server heard from it last.
    void expectEnd(TimePoint since, SoakTimes::Milliseconds earliest, SoakTimes::Milliseconds tolerance);
    void wrong(const std::string& what);

    void setTimer(Duration after, std::function<void()> then);
    uint64_t random(uint64_t below) { return m_soak.random() % below; }
    Connection& connection() { return *m_connection; }
    TimePoint now() const { return m_soak.loop->now(); }
    Soak& soak() { return m_soak; }

    static constexpr SoakTimes::Milliseconds kPatience{30'000};
    static constexpr SoakTimes::Milliseconds kTolerance{5'000};  // of a busy machine

private:
    enum class End : uint8_t { None, Ours, Theirs, Wrong };

    void onEvent(ConnEvent event, const void* context);
    void judge();

    Soak& m_soak;
    Connection* m_connection = nullptr;  // whose callback owns this
    const char* m_deathName = "";
    TimerId m_timer{};
    TimePoint m_lastSent{};  // or began to connect
    TimePoint m_earliestEnd{};
    std::error_code m_error{};
    uint32_t m_death = 0;
    uint16_t m_usesLeft = 0;
    End m_end = End::None;
    bool m_isPausing = false;
    bool m_isReady = false;  // was used
    bool m_wasConnected = false;
};

}  // namespace tnet
