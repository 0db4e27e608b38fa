#include "http/router.h"

#include <algorithm>
#include <bitset>
#include <cassert>
#include <exception>
#include <utility>

#include "http/route_tree.h"
#include "tnet/log.h"

namespace tnet {
namespace {

using MethodSet = std::bitset<kHttpMethodCount>;

size_t indexOf(HttpMethod method) {
    return static_cast<size_t>(method);
}

// RFC 9110 §10.2.1. HEAD comes with GET, OPTIONS with everything.
std::string allowList(MethodSet methods) {
    if (methods.test(indexOf(HttpMethod::Get))) methods.set(indexOf(HttpMethod::Head));
    methods.set(indexOf(HttpMethod::Options));
    std::string list;
    for (size_t i = 0; i < kHttpMethodCount; ++i) {
        if (!methods.test(i)) continue;
        if (!list.empty()) list += ", ";
        list += methodName(static_cast<HttpMethod>(i));
    }
    return list;
}

void logThrown(const HttpRequest& request, const char* what) {
    logger().error("handler of {} {} threw: {}", methodName(request.method()), request.path(), what);
}

}  // namespace

struct HttpRouter::Group {
    std::shared_ptr<Group> parent;  // null: the outermost
    std::string prefix;
    std::vector<HttpMiddleware_t> middleware{};
};

// What is registered at one pattern.
struct HttpRouter::Endpoint {
    struct ByMethod {
        HttpMethod method;
        HttpRoutePtr_t route;
    };
    struct ByToken {
        std::string token;
        HttpRoutePtr_t route;
    };
    std::vector<ByMethod> methods{};
    std::vector<ByToken> upgrades{};

    const HttpRoutePtr_t* find(HttpMethod method) const {
        for (const ByMethod& entry : methods) {
            if (entry.method == method) return &entry.route;
        }
        return nullptr;
    }
};

struct HttpRouter::Table {
    struct Registered {
        std::shared_ptr<HttpRoute> route;
        std::shared_ptr<Group> group;
    };

    RouteTree tree{};
    std::vector<Endpoint> endpoints{};  // by the tree's index
    std::vector<Registered> registered{};
    std::shared_ptr<Group> outermost = std::make_shared<Group>();
    std::optional<Error> firstError{};
    MethodSet allMethods{};
};

// --- Running ---

void HttpNext::operator()(HttpResponder responder) const {
    const HttpExchangePtr_t alive = responder.exchange();  // the request stays, whatever becomes of the responder
    if (!alive) return;
    const HttpRequest& request = alive->request;
    try {
        if (m_index < m_route->chain.size()) {
            m_route->chain[m_index](request, std::move(responder), HttpNext(m_route, m_index + 1));
        } else if (m_route->handler) {
            responder.respond(m_route->handler(request));
        } else {
            m_route->asyncHandler(request, std::move(responder));
        }
    } catch (const std::exception& error) {
        logThrown(request, error.what());
    } catch (...) {
        logThrown(request, "something that is no std::exception");
    }
}

void HttpRouter::run(const HttpRoutePtr_t& route, HttpResponder responder) {
    HttpNext(route, 0)(std::move(responder));
}

HttpResponse HttpRouter::answerWithoutRoute(const Match& match) {
    HttpResponse response = match.status == 204 ? HttpResponse(204) : HttpResponse::error(match.status);
    if (match.status == 426) {
        response.header("Upgrade", match.allow);
    } else if (!match.allow.empty()) {
        response.header("Allow", match.allow);
    }
    return response;
}

HttpRoutePtr_t HttpRouter::wrapped(HttpResponse response) const {
    if (m_table->outermost->middleware.empty()) return nullptr;
    auto route = std::make_shared<HttpRoute>();
    route->chain = m_table->outermost->middleware;
    route->handler = [response = std::move(response)](const HttpRequest&) { return response; };
    return route;
}

// --- Matching ---

HttpRouter::Match HttpRouter::match(HttpRequest& request) const {
    const HttpMethod method = request.method();
    if (method == HttpMethod::Options && request.path() == "*") return {nullptr, 204, allowList(m_table->allMethods)};
    const bool mayUpgrade = request.m_upgradeOffered && method == HttpMethod::Get;
    Match found;
    MethodSet allowed;
    std::string tokens;
    const auto visit = [&](size_t index) {
        const Endpoint& endpoint = m_table->endpoints[index];
        for (const Endpoint::ByToken& entry : endpoint.upgrades) {
            if (mayUpgrade && listContains(request.header("Upgrade"), entry.token)) {
                found.route = &entry.route;
                return true;
            }
            tokens += (tokens.empty() ? "" : ", ") + entry.token;
        }
        found.route = endpoint.find(method);
        if (found.route == nullptr && method == HttpMethod::Head) found.route = endpoint.find(HttpMethod::Get);
        if (found.route != nullptr) return true;
        for (const Endpoint::ByMethod& entry : endpoint.methods) allowed.set(indexOf(entry.method));
        return false;
    };
    const MatchResult result = m_table->tree.match(request.path(), request.m_params, request.m_decoded, visit);
    if (result == MatchResult::Matched) return found;
    if (result == MatchResult::Malformed) return {nullptr, 400, {}};
    if (method == HttpMethod::Get && allowed.none() && !tokens.empty()) return {nullptr, 426, tokens};
    if (allowed.none()) return {nullptr, 404, {}};
    return {nullptr, method == HttpMethod::Options ? 204 : 405, allowList(allowed)};
}

// --- Registering ---

HttpRouter::HttpRouter() : m_table(std::make_shared<Table>()), m_group(m_table->outermost) {}

HttpRouter::HttpRouter(std::shared_ptr<Table> table, std::shared_ptr<Group> group)
    : m_table(std::move(table)), m_group(std::move(group)) {}

HttpRouter HttpRouter::group(std::string_view prefix) const {
    auto child = std::make_shared<Group>(Group{m_group, m_group->prefix + std::string(prefix)});
    return HttpRouter(m_table, std::move(child));
}

void HttpRouter::use(HttpMiddleware_t middleware) {
    m_group->middleware.push_back(std::move(middleware));
}

bool HttpRouter::route(HttpMethod method, std::string_view pattern, HttpHandler_t handler, HttpRouteOptions options) {
    return add(method, pattern, std::make_shared<HttpRoute>(makeRoute(std::move(handler), options)));
}

bool HttpRouter::route(HttpMethod method, std::string_view pattern, HttpAsyncHandler_t handler,
                       HttpRouteOptions options) {
    return add(method, pattern, std::make_shared<HttpRoute>(makeRoute(std::move(handler), options)));
}

HttpRoute HttpRouter::makeRoute(HttpHandler_t handler, HttpRouteOptions options) {
    HttpRoute route;
    route.handler = std::move(handler);
    route.options = options;
    return route;
}

HttpRoute HttpRouter::makeRoute(HttpAsyncHandler_t handler, HttpRouteOptions options) {
    HttpRoute route;
    route.asyncHandler = std::move(handler);
    route.options = options;
    return route;
}

bool HttpRouter::routeAny(std::string_view pattern, HttpRoute route) {
    const auto shared = std::make_shared<HttpRoute>(std::move(route));
    bool added = true;
    for (size_t i = 0; i < kHttpMethodCount && added; ++i) {
        const auto method = static_cast<HttpMethod>(i);
        if (method != HttpMethod::Connect) added = add(method, pattern, shared);
    }
    return added;
}

bool HttpRouter::upgrade(std::string_view pattern, std::string_view token, HttpAsyncHandler_t handler) {
    Endpoint* const at = endpoint(pattern);
    if (at == nullptr) return false;
    for (const Endpoint::ByToken& entry : at->upgrades) {
        if (!equalsIgnoreCase(entry.token, token)) continue;
        return fail(makeError(std::errc::file_exists, "upgrade " + std::string(token) + " " + m_group->prefix + std::string(pattern)));
    }
    auto route = std::make_shared<HttpRoute>(makeRoute(std::move(handler), {}));
    m_table->registered.push_back({route, m_group});
    at->upgrades.push_back({std::string(token), std::move(route)});
    return true;
}

bool HttpRouter::add(HttpMethod method, std::string_view pattern, std::shared_ptr<HttpRoute> route) {
    Endpoint* const at = endpoint(pattern);
    if (at == nullptr) return false;
    if (at->find(method) != nullptr) {
        const std::string name(methodName(method));
        return fail(makeError(std::errc::file_exists, "route " + name + " " + m_group->prefix + std::string(pattern)));
    }
    m_table->allMethods.set(indexOf(method));
    m_table->registered.push_back({route, m_group});
    at->methods.push_back({method, std::move(route)});
    return true;
}

HttpRouter::Endpoint* HttpRouter::endpoint(std::string_view pattern) {
    const auto index = m_table->tree.insert(m_group->prefix + std::string(pattern));
    if (!index) {
        fail(index.error());
        return nullptr;
    }
    if (*index >= m_table->endpoints.size()) m_table->endpoints.resize(*index + 1);
    return &m_table->endpoints[*index];
}

bool HttpRouter::fail(Error error) {
    if (!m_table->firstError) m_table->firstError = std::move(error);
    return false;
}

Status HttpRouter::status() const {
    if (m_table->firstError) return *m_table->firstError;
    return Done{};
}

void HttpRouter::freeze() {
    for (const Table::Registered& entry : m_table->registered) {
        std::vector<HttpMiddleware_t> chain;
        for (const Group* group = entry.group.get(); group != nullptr; group = group->parent.get()) {
            chain.insert(chain.begin(), group->middleware.begin(), group->middleware.end());
        }
        entry.route->chain = std::move(chain);
    }
    m_table->registered.clear();
}

}  // namespace tnet
