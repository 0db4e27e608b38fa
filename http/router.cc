#include "http/router.h"

#include <algorithm>
#include <bitset>
#include <cassert>
#include <exception>
#include <string>
#include <unordered_map>
#include <utility>

#include "http/field_list.h"
#include "http/route_tree.h"
#include "http/uri.h"
#include "tnet/log.h"

namespace tnet {
namespace {

using MethodSet = std::bitset<kHttpMethodCount>;

size_t indexOf(HttpMethod method) { return static_cast<size_t>(method); }

// RFC 9110 §10.2.1. HEAD comes with GET's routes, OPTIONS with everything; an upgrade is asked for with GET.
std::string allowList(MethodSet methods, bool hasUpgrade) {
    if (methods.test(indexOf(HttpMethod::Get))) methods.set(indexOf(HttpMethod::Head));
    if (hasUpgrade) methods.set(indexOf(HttpMethod::Get));
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

    struct HashText {
        using is_transparent = void;
        // FNV-1a: paths are short, and the keys are the program's own, so nobody can aim at collisions.
        size_t operator()(std::string_view text) const {
            uint64_t hash = 0xcbf29ce484222325U;
            for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
            return hash;
        }
    };

    RouteTree tree{};
    std::unordered_map<std::string, size_t, HashText, std::equal_to<>>
        exact{};                        // patterns without parameters
    std::vector<Endpoint> endpoints{};  // by the tree's index
    std::vector<Registered> registered{};
    std::vector<HttpDrainHook_t> drainHooks{};
    std::shared_ptr<Group> outermost = std::make_shared<Group>();
    std::optional<Error> firstError{};
    MethodSet allMethods{};
    bool hasUpgrade = false;
};

// --- Running ---

void HttpNext::operator()(HttpResponder responder) const {
    const HttpExchangePtr_t alive =
        responder.exchange();  // the request stays, whatever becomes of the responder
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
        alive->handlerThrew();
    } catch (...) {
        logThrown(request, "something that is no std::exception");
        alive->handlerThrew();
    }
}

void HttpRouter::tellDrain(IOLoop& loop) const {
    for (const HttpDrainHook_t& hook : m_table->drainHooks) hook(loop);
}

void HttpRouter::run(const HttpRoutePtr_t& route, HttpResponder responder) {
    HttpNext(route, 0)(std::move(responder));
}

HttpRoutePtr_t HttpRouter::wrapped(HttpResponse response) const {
    if (m_table->outermost->middleware.empty()) return nullptr;
    auto route = std::make_shared<HttpRoute>();
    route->chain = m_table->outermost->middleware;
    route->handler = [response = std::move(response)](const HttpRequest&) { return response; };
    return route;
}

// --- Matching ---

const HttpRoutePtr_t* HttpRouter::routeAt(const Endpoint& endpoint, const HttpRequest& request) {
    if (request.m_upgradeOffered && request.method() == HttpMethod::Get) {
        for (const Endpoint::ByToken& entry : endpoint.upgrades) {
            if (listContains(request.headers(), "Upgrade", entry.token)) return &entry.route;
        }
    }
    const HttpRoutePtr_t* const route = endpoint.find(request.method());
    if (route != nullptr || request.method() != HttpMethod::Head) return route;
    return endpoint.find(HttpMethod::Get);
}

HttpRouter::Match HttpRouter::match(HttpRequest& request) const {
    // A path that is a pattern without parameters, to the letter, has no more specific match.
    const auto exact = m_table->exact.find(request.path());
    if (exact != m_table->exact.end()) {
        if (const HttpRoutePtr_t* const route = routeAt(m_table->endpoints[exact->second], request))
            return {route};
    }
    // An escaped slash ends a segment for whoever decodes before he splits; the tree looks at the others.
    if (request.path().starts_with('/') && request.path().find('%') != std::string_view::npos &&
        hasDotSegments(request.path())) {
        return {nullptr, true};
    }
    Match found;
    const auto visit = [&](size_t index) {
        found.route = routeAt(m_table->endpoints[index], request);
        return found.route != nullptr;
    };
    const MatchResult result =
        m_table->tree.match(request.path(), request.m_params, request.m_decoded, visit);
    found.isMalformed =
        result == MatchResult::Malformed && request.path() != "*" && request.method() != HttpMethod::Connect;
    return found;
}

// RFC 9110 §9.3.6 (CONNECT), §9.3.7 (OPTIONS), §15.5.6 (405), §15.5.22 (426).
HttpResponse HttpRouter::answerWithoutRoute(HttpRequest& request, const Match& match) const {
    if (match.isMalformed) return HttpResponse::error(400);
    if (request.method() == HttpMethod::Connect) return HttpResponse::error(501);
    MethodSet allowed;
    std::string tokens;
    const auto note = [&](size_t index) {
        for (const Endpoint::ByMethod& entry : m_table->endpoints[index].methods)
            allowed.set(indexOf(entry.method));
        for (const Endpoint::ByToken& entry : m_table->endpoints[index].upgrades) {
            if (!listContains(tokens, entry.token)) tokens += (tokens.empty() ? "" : ", ") + entry.token;
        }
        return false;
    };
    const bool isOptions = request.method() == HttpMethod::Options;
    if (isOptions && request.path() == "*")  // about the server, which is there whatever is routed
        return HttpResponse(204).header("Allow", allowList(m_table->allMethods, m_table->hasUpgrade));
    m_table->tree.match(request.path(), request.m_params, request.m_decoded, note);
    const bool hasUpgrade = !tokens.empty();
    if (allowed.none() && !hasUpgrade) return HttpResponse::error(404);
    if (isOptions) return HttpResponse(204).header("Allow", allowList(allowed, hasUpgrade));
    if (hasUpgrade && (allowed.none() || request.method() == HttpMethod::Get))
        return HttpResponse::error(426).header("Upgrade", tokens);
    return HttpResponse::error(405).header("Allow", allowList(allowed, hasUpgrade));
}

// --- Registering ---

void HttpRouter::onDrain(HttpDrainHook_t hook) { m_table->drainHooks.push_back(std::move(hook)); }

HttpRouter::HttpRouter() : m_table(std::make_shared<Table>()), m_group(m_table->outermost) {}

HttpRouter::HttpRouter(std::shared_ptr<Table> table, std::shared_ptr<Group> group)
    : m_table(std::move(table)), m_group(std::move(group)) {}

HttpRouter HttpRouter::group(std::string_view prefix) const {
    auto child = std::make_shared<Group>(Group{m_group, m_group->prefix + std::string(prefix)});
    return HttpRouter(m_table, std::move(child));
}

void HttpRouter::use(HttpMiddleware_t middleware) { m_group->middleware.push_back(std::move(middleware)); }

bool HttpRouter::add(HttpMethod method, std::string_view pattern, HttpRoute route) {
    return addShared(method, pattern, std::make_shared<HttpRoute>(std::move(route)));
}

bool HttpRouter::addAny(std::string_view pattern, HttpRoute route) {
    const auto shared = std::make_shared<HttpRoute>(std::move(route));
    bool added = true;
    for (size_t i = 0; i < kHttpMethodCount && added; ++i) {
        const auto method = static_cast<HttpMethod>(i);
        if (method != HttpMethod::Connect) added = addShared(method, pattern, shared);
    }
    return added;
}

bool HttpRouter::upgrade(std::string_view pattern, std::string_view token, HttpAsyncHandler_t handler) {
    Endpoint* const at = endpoint(pattern);
    if (at == nullptr) return false;
    for (const Endpoint::ByToken& entry : at->upgrades) {
        if (!equalsIgnoreCase(entry.token, token)) continue;
        return reject(makeError(std::errc::file_exists, "upgrade " + std::string(token) + " " +
                                                            m_group->prefix + std::string(pattern)));
    }
    auto route = std::make_shared<HttpRoute>(makeRoute(std::move(handler), {}));
    route->pattern = m_group->prefix + std::string(pattern);
    route->upgradeToken = token;
    m_table->hasUpgrade = true;
    m_table->registered.push_back({route, m_group});
    at->upgrades.push_back({std::string(token), std::move(route)});
    return true;
}

bool HttpRouter::addShared(HttpMethod method, std::string_view pattern, std::shared_ptr<HttpRoute> route) {
    if (method == HttpMethod::Connect)
        return reject(
            makeError(std::errc::invalid_argument,
                      "route CONNECT " + std::string(pattern) + ": its target is no path (RFC 9110 §9.3.6)"));
    Endpoint* const at = endpoint(pattern);
    if (at == nullptr) return false;
    if (at->find(method) != nullptr) {
        const std::string name(methodName(method));
        return reject(makeError(std::errc::file_exists,
                                "route " + name + " " + m_group->prefix + std::string(pattern)));
    }
    m_table->allMethods.set(indexOf(method));
    route->pattern = m_group->prefix + std::string(pattern);
    m_table->registered.push_back({route, m_group});
    at->methods.push_back({method, std::move(route)});
    return true;
}

HttpRouter::Endpoint* HttpRouter::endpoint(std::string_view pattern) {
    const std::string whole = m_group->prefix + std::string(pattern);
    const auto index = m_table->tree.insert(whole);
    if (!index) {
        reject(index.error());
        return nullptr;
    }
    if (whole.find("/:") == std::string::npos && whole.find("/*") == std::string::npos)
        m_table->exact[whole] = *index;
    if (*index >= m_table->endpoints.size()) m_table->endpoints.resize(*index + 1);
    return &m_table->endpoints[*index];
}

bool HttpRouter::reject(Error error) {
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
