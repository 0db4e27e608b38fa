#include "examples/push/subscriber.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "examples/push/message.h"
#include "http/uri.h"
#include "websocket/connection.h"
#include "websocket/topic_tree.h"

namespace tnet {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxErrors = 5;  // in a row
constexpr const char* kTooMany = "too many subscriptions";

struct Client {
    std::set<std::string> filters{};
    size_t errors = 0;
};

struct Command {
    enum class Kind { Invalid, Subscribe, Unsubscribe };
    Kind kind = Kind::Invalid;
    std::string filter{};
    std::optional<uint64_t> after{};
};

Command parse(std::string_view text) {
    const Json json = Json::parse(text, nullptr, false);
    if (!json.is_object()) return {};
    Command command;
    const bool subscribes = json.contains("subscribe");
    const auto filter = json.find(subscribes ? "subscribe" : "unsubscribe");
    if (filter == json.end() || !filter->is_string() || json.size() > (subscribes ? 2 : 1)) return {};
    command.filter = filter->get<std::string>();
    if (const auto after = json.find("after"); after != json.end()) {
        if (!after->is_number_unsigned()) return {};
        command.after = after->get<uint64_t>();
    } else if (json.size() != 1) {
        return {};
    }
    if (!isValidTopicFilter(command.filter)) return {};
    command.kind = subscribes ? Command::Kind::Subscribe : Command::Kind::Unsubscribe;
    return command;
}

class Subscribers {
public:
    Subscribers(PushHub& hub, PushMetrics& metrics, SubscriberSettings settings)
        : m_hub(hub), m_metrics(metrics), m_settings(settings) {}

    void onOpen(const WsConnectionPtr_t& connection) const {
        Client& client = connection->setData<Client>();
        m_hub.add(connection);
        std::vector<std::string> filters;
        for (const QueryParam& param : QueryParams(connection->request().query())) {
            std::string filter;
            if (param.name != "topic") continue;
            if (!percentDecode(param.value, filter, PlusRule::Space) || !isValidTopicFilter(filter))
                return connection->close(WsCloseCode::PolicyViolation, "malformed topic");
            if (client.filters.insert(filter).second) filters.push_back(std::move(filter));
            if (filters.size() > m_settings.subscriptions)
                return connection->close(WsCloseCode::PolicyViolation, kTooMany);
        }
        std::optional<uint64_t> after;
        if (const auto text = connection->request().queryParam("after")) {
            after = parseMessageId(*text);
            if (!after) return connection->close(WsCloseCode::PolicyViolation, "malformed id");
        }
        if (!filters.empty()) m_hub.subscribe(connection, std::move(filters), after);
    }

    void onMessage(const WsConnectionPtr_t& connection, std::string_view text) const {
        Client& client = *connection->data<Client>();
        Command command = parse(text);
        const char* const error = refuse(client, command);
        if (error != nullptr) return complain(connection, client, error);
        client.errors = 0;
        if (command.kind == Command::Kind::Subscribe) {
            client.filters.insert(command.filter);
            m_hub.subscribe(connection, {std::move(command.filter)}, command.after);
        } else {
            client.filters.erase(command.filter);
            m_hub.unsubscribe(connection, std::move(command.filter));
        }
    }

    void onClose(const WsConnectionPtr_t& connection, std::string_view reason) const {
        if (reason == "too slow") ++m_metrics.slowSockets;  // as the connection says itself
        m_hub.remove(connection);
    }

private:
    // Null: nothing is wrong with it.
    const char* refuse(const Client& client, const Command& command) const {
        const bool isThere = client.filters.contains(command.filter);
        switch (command.kind) {
            case Command::Kind::Invalid: return R"(neither {"subscribe":topic} nor {"unsubscribe":topic})";
            case Command::Kind::Unsubscribe: return isThere ? nullptr : "not subscribed";
            case Command::Kind::Subscribe: break;
        }
        if (isThere) return "already subscribed";
        return client.filters.size() < m_settings.subscriptions ? nullptr : kTooMany;
    }

    void complain(const WsConnectionPtr_t& connection, Client& client, const char* error) const {
        ++m_metrics.clientErrors;
        connection->send(Json{{"error", error}}.dump());
        if (++client.errors >= kMaxErrors) connection->close(WsCloseCode::PolicyViolation, "too many errors");
    }

    PushHub& m_hub;
    PushMetrics& m_metrics;
    const SubscriberSettings m_settings;
};

}  // namespace

WsRoute subscriberRoute(PushHub& hub, PushMetrics& metrics, const PushAccess& access,
                        SubscriberSettings settings) {
    const Subscribers subscribers(hub, metrics, settings);
    return {
        .maxMessageBytes = 4096,
        .maxFrameBytes = 4096,
        .maxFragments = 16,
        .maxMessagesPerSecond = 50,
        .maxQueuedBytes = settings.maxQueuedBytes,
        .overflow = settings.overflow,
        .checkOrigin = [&access](std::string_view, const HttpRequest& r) { return access.allowsOrigin(r); },
        .keepRequest = false,
        .onOpen = [=](const WsConnectionPtr_t& c) { subscribers.onOpen(c); },
        .onMessage = [=](const WsConnectionPtr_t& c, std::string_view text,
                         WsOpcode) { subscribers.onMessage(c, text); },
        .onClose = [=](const WsConnectionPtr_t& c, WsCloseCode,
                       std::string_view reason) { subscribers.onClose(c, reason); },
    };
}

}  // namespace tnet
