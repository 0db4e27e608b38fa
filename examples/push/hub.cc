#include "examples/push/hub.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "websocket/topic_tree.h"

namespace tnet {
namespace {

using Json = nlohmann::ordered_json;

// Ids begin at the time in microseconds, so that they are greater than those of the process before: whoever
// comes back with an id of that one gets all there is. They stay exact in JavaScript, below 2^53, until 2255.
uint64_t firstId() {
    using namespace std::chrono;
    return static_cast<uint64_t>(duration_cast<microseconds>(system_clock::now().time_since_epoch()).count());
}

SharedBytesPtr_t eventOf(const PushMessage& message) {
    return std::make_shared<const std::string>("id: " + std::to_string(message.id) +
                                               "\ndata: " + message.text + "\n\n");
}

std::string openingOf(const PushHistory::Replay& replay, uint64_t lastId) {
    std::string opening = "retry: 2000\n";
    if (!replay.isComplete) opening += ": incomplete\n";
    // An event without data: the client shows nothing, but takes the id to come back with.
    if (replay.messages.empty()) opening += "id: " + std::to_string(lastId) + "\n";
    return opening + "\n";
}

}  // namespace

PushHub::PushHub(IOLoop& loop, WsTopicsPtr_t topics, PushMetrics& metrics, Settings settings)
    : m_loop(loop),
      m_topics(std::move(topics)),
      m_metrics(metrics),
      m_settings(settings),
      m_lastId(firstId()),
      m_history(settings.history, m_lastId) {
    m_loop.runEvery(m_settings.keepAlive, [this] { keepAlive(); });
}

// --- Publish ---

void PushHub::publish(std::string topic, std::string data, HttpResponder responder) {
    m_loop.addCallback([this, topic = std::move(topic), data = std::move(data), received = Clock::now(),
                        to = std::make_shared<HttpResponder>(std::move(responder))]() mutable {
        publishHere(std::move(topic), data, received, *to);
    });
}

void PushHub::publishHere(std::string topic, const std::string& data, Clock::time_point received,
                          HttpResponder& to) {
    const uint64_t id = m_lastId + 1;
    std::string text = Json{{"id", id}, {"topic", topic}, {"data", data}}.dump();
    const auto message =
        std::make_shared<const PushMessage>(PushMessage{id, std::move(topic), std::move(text)});
    if (m_topics->publish(message->topic, message->text) == WsPublishStatus::Full) {
        ++m_metrics.overloaded;
        to.respond(HttpResponse::error(503).header("Retry-After", "1"));
        return;
    }
    m_lastId = id;
    m_history.add(message);
    sendToStreams(*message);
    ++m_metrics.published;
    m_metrics.publishedBytes += data.size();
    m_metrics.notePublish(Clock::now() - received);
    to.respond(HttpResponse::json(Json{{"id", id}}.dump()));
}

void PushHub::sendToStreams(const PushMessage& message) {
    const auto found = m_streams.find(message.topic);
    if (found == m_streams.end()) return;
    const SharedBytesPtr_t event = eventOf(message);
    std::erase_if(found->second, [&](const EventStreamPtr_t& stream) { return !stream->send(event); });
    if (found->second.empty()) m_streams.erase(found);
}

// --- WebSocket subscribers ---

void PushHub::subscribe(WsConnectionPtr_t connection, std::vector<std::string> filters,
                        std::optional<uint64_t> after) {
    m_loop.addCallback([this, connection = std::move(connection), filters = std::move(filters), after] {
        subscribeHere(*connection, filters, after);
    });
}

// Replay, confirmation, subscription: in this order into the inbox of the connection's loop.
void PushHub::subscribeHere(WsConnection& connection, const std::vector<std::string>& filters,
                            std::optional<uint64_t> after) {
    PushHistory::Replay replay;
    if (after) {
        std::vector<std::string> topics;
        std::copy_if(filters.begin(), filters.end(), std::back_inserter(topics), isValidTopic);
        // Half of the queue, or the replay alone would make it overflow.
        replay = m_history.after(*after, topics, m_settings.stream.maxQueuedBytes / 2);
    }
    for (const PushMessagePtr_t& message : replay.messages) connection.send(message->text);
    for (const std::string& filter : filters) {
        Json confirmation{{"subscribed", filter}, {"id", m_lastId}};
        if (after && isValidTopic(filter)) confirmation["complete"] = replay.isComplete;
        connection.send(confirmation.dump());
        connection.subscribe(filter);
    }
}

void PushHub::unsubscribe(WsConnectionPtr_t connection, std::string filter) {
    m_loop.addCallback([connection = std::move(connection), filter = std::move(filter)] {
        connection->unsubscribe(filter);
        connection->send(Json{{"unsubscribed", filter}}.dump());
    });
}

void PushHub::add(WsConnectionPtr_t connection) {
    m_loop.addCallback([this, connection = std::move(connection)] { m_connections.insert(connection); });
}

void PushHub::remove(WsConnectionPtr_t connection) {
    m_loop.addCallback([this, connection = std::move(connection)] { m_connections.erase(connection); });
}

// --- Event streams ---

void PushHub::stream(std::string topic, std::optional<uint64_t> after, HttpResponse head,
                     HttpResponder responder) {
    const auto box =
        std::make_shared<std::pair<HttpResponse, HttpResponder>>(std::move(head), std::move(responder));
    m_loop.addCallback([this, topic = std::move(topic), after, box] {
        streamHere(topic, after, std::move(box->first), box->second);
    });
}

void PushHub::streamHere(const std::string& topic, std::optional<uint64_t> after, HttpResponse head,
                         HttpResponder& to) {
    if (m_draining) return void(to.respond(HttpResponse::error(503)));
    // Neither callback keeps the stream: the client may go, and its memory with it.
    const auto weak = std::make_shared<std::weak_ptr<EventStream>>();
    to.onClientGone([this, weak] {
        m_loop.addCallback([this, weak] {
            if (const EventStreamPtr_t stream = weak->lock()) end(stream);
        });
    });
    PushHistory::Replay replay;
    if (after) replay = m_history.after(*after, {topic}, m_settings.stream.maxQueuedBytes / 2);
    HttpBodyWriter writer = to.stream(std::move(head));
    writer.write(openingOf(replay, m_lastId));
    const auto stream = std::make_shared<EventStream>(std::move(writer), topic, m_settings.stream, m_metrics);
    *weak = stream;
    stream->onDrain([this, weak] {
        m_loop.addCallback([weak] {
            if (const EventStreamPtr_t open = weak->lock()) open->resume();
        });
    });
    bool isOpen = true;
    for (const PushMessagePtr_t& message : replay.messages)
        isOpen = isOpen && stream->send(eventOf(*message));
    if (isOpen) m_streams[topic].insert(stream);
}

void PushHub::end(const EventStreamPtr_t& stream) {
    const auto found = m_streams.find(stream->topic());
    if (found == m_streams.end()) return;
    found->second.erase(stream);
    if (found->second.empty()) m_streams.erase(found);
}

void PushHub::keepAlive() {
    for (const EventStreamPtr_t& stream : allStreams()) {
        if (!stream->keepAlive()) end(stream);
    }
}

std::vector<EventStreamPtr_t> PushHub::allStreams() const {
    std::vector<EventStreamPtr_t> all;
    for (const auto& [topic, streams] : m_streams) all.insert(all.end(), streams.begin(), streams.end());
    return all;
}

void PushHub::drain(std::chrono::milliseconds spread) {
    m_draining = true;
    const std::vector<EventStreamPtr_t> open = allStreams();
    for (size_t i = 0; i < open.size(); ++i) {
        const auto delay = spread * static_cast<int64_t>(i) / static_cast<int64_t>(open.size());
        m_loop.runAfter(delay, [this, stream = open[i]] {
            stream->finish();
            end(stream);
        });
    }
}

// --- Health and metrics ---

void PushHub::reportHealth(HttpResponder responder) {
    m_loop.addCallback([this, to = std::make_shared<HttpResponder>(std::move(responder))] {
        to->respond(m_draining ? HttpResponse::text("draining\n", 503) : HttpResponse::text("ok\n"));
    });
}

void PushHub::report(HttpResponder responder) {
    m_loop.addCallback([this, to = std::make_shared<HttpResponder>(std::move(responder))] {
        to->respond(HttpResponse::text(metricsText())
                        .header("Content-Type", "text/plain; version=0.0.4; charset=utf-8"));
    });
}

std::string PushHub::metricsText() const {
    const WsTopics::Stats stats = m_topics->stats();
    PushMetrics::Gauges now;
    now.sockets = m_topics->connections();
    now.subscriptions = stats.subscriptions;
    now.socketsDelivered = stats.delivered;
    now.socketsDropped = stats.dropped;
    for (const WsConnectionPtr_t& connection : m_connections) now.socketBytes += connection->queuedBytes();
    for (const EventStreamPtr_t& stream : allStreams()) {
        ++now.streams;
        now.streamBytes += stream->queuedBytes();
    }
    now.historyTopics = m_history.topics();
    now.historyMessages = m_history.messages();
    now.historyBytes = m_history.bytes();
    return m_metrics.text(now);
}

}  // namespace tnet
