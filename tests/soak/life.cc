#include "tests/soak/life.h"

#include <utility>

namespace tnet {
namespace {

using Milliseconds = SoakTimes::Milliseconds;

constexpr Milliseconds kEarly{
    100};  // the server may hear from a connection before the load believes to have been heard
constexpr uint64_t kMostUses = 10;  // of a connection: none to this many

}  // namespace

Life::~Life() {
    if (m_timer.isValid()) m_soak.loop->cancel(m_timer);
}

void Life::begin(const std::shared_ptr<Life>& life, FileDescriptor socket, std::error_code connected) {
    const bool atOnce = !connected;
    if (connected == std::errc::operation_in_progress) connected = {};
    const auto connection =
        std::make_shared<Connection>(life->m_soak.loop, std::move(socket), plainTransport(),
                                     atOnce ? Connection::Origin::Connected : Connection::Origin::Connecting);
    life->m_connection = connection.get();
    life->m_lastSent = life->now();
    ++life->m_soak.tally.living;
    connection->setEventCallback([life](const ConnectionPtr_t&, ConnEvent event, const void* context) {
        life->onEvent(event, context);
    });
    life->setTimer(kPatience, [life = life.get()] { life->wrong("is not connected"); });
    connection->startLater(connected);
}

void Life::leaveIfQuiet() {
    if (m_end == End::None && m_isPausing) leave();
}

void Life::draw(const Death* deaths, size_t count) {
    uint64_t sum = 0;
    for (size_t i = 0; i < count; ++i) sum += deaths[i].weight;
    uint64_t drawn = random(sum);
    while (drawn >= deaths[m_death].weight) drawn -= deaths[m_death++].weight;
    m_deathName = deaths[m_death].name;
    m_usesLeft = static_cast<uint16_t>(random(kMostUses + 1));
}

void Life::useOrDie() {
    if (m_usesLeft > 0 || !m_soak.mayDie) {
        m_usesLeft -= m_usesLeft > 0;
        use();
    } else {
        die(m_death);
    }
}

void Life::pauseThenGoOn() {
    m_isPausing = true;
    ++m_soak.tally.uses;
    if (!m_isReady) ++m_soak.tally.ready;
    m_isReady = true;
    const auto half = static_cast<uint64_t>(m_soak.times.pause.count()) / 2;
    setTimer(Milliseconds(half + random(2 * half + 1)), [this] {
        if (!m_soak.mayUse) return;
        m_isPausing = false;
        useOrDie();
    });
}

void Life::awaitAnswer() {
    setTimer(kPatience, [this] { wrong("is not answered"); });
}

void Life::send(std::string_view bytes) {
    m_lastSent = now();
    m_connection->send(bytes);
}

void Life::leave() {
    m_end = End::Ours;
    m_connection->shutDown();
}

void Life::reset() {
    m_end = End::Ours;
    m_connection->abort();
}

void Life::expectEnd(Milliseconds earliest, Milliseconds tolerance) { expectEnd(now(), earliest, tolerance); }

void Life::expectEnd(TimePoint since, Milliseconds earliest, Milliseconds tolerance) {
    m_end = End::Theirs;
    m_earliestEnd = since + earliest;
    setTimer(m_earliestEnd + tolerance - now(), [this] { wrong("is still open"); });
}

void Life::wrong(const std::string& what) {
    m_soak.tally.addMistake(std::string(m_deathName) + ": " + what);
    m_end = End::Wrong;
    m_connection->abort();
}

void Life::setTimer(Duration after, std::function<void()> then) {
    if (m_timer.isValid()) m_soak.loop->cancel(m_timer);
    m_timer = m_soak.loop->runAfter(after, std::move(then));
}

void Life::onEvent(ConnEvent event, const void* context) {
    switch (event) {
        case Conn_ConnectEvent:
            m_wasConnected = true;
            ++m_soak.tally.connects;
            connected();
            break;
        case Conn_ReadEvent:
            if (m_end == End::None || m_end == End::Theirs)
                take(static_cast<const StackBuffer*>(context)->view());
            break;
        case Conn_ErrorEvent: m_error = *static_cast<const std::error_code*>(context); break;
        case Conn_CloseEvent: judge(); break;
        default: break;
    }
}

void Life::judge() {
    if (m_timer.isValid()) m_soak.loop->cancel(m_timer);
    if (m_end == End::Wrong) {
        // It is told.
    } else if (!m_wasConnected) {
        m_soak.tally.addMistake("cannot connect: " + m_error.message());
    } else if (m_end == End::None) {
        m_soak.tally.addMistake(std::string(m_deathName) +
                                ": ended by the server too early: " + (m_error ? m_error.message() : "FIN"));
    } else if (m_end == End::Theirs && now() + kEarly < m_earliestEnd) {
        m_soak.tally.addMistake(std::string(m_deathName) + ": ended by the server before its time");
    } else if (m_end == End::Theirs && !owesNothing()) {
        m_soak.tally.addMistake(std::string(m_deathName) + ": ended without its answer");
    } else {
        const auto late = m_end == End::Theirs ? now() - m_earliestEnd : Duration::zero();
        m_soak.tally.addEnd(m_deathName, std::chrono::duration_cast<Milliseconds>(late));
    }
    --m_soak.tally.living;
    m_soak.tally.ready -= m_isReady;
    m_soak.onOver(this);
}

}  // namespace tnet
