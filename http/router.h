// HttpRouter: which handler answers which request.
//
//     router.get("/users/:id", [](const HttpRequest& r) { return HttpResponse::text(...r.param("id")...); });
//     router.post("/jobs", [](const HttpRequest&, HttpResponder responder) {...});   // answers later
//     HttpRouter api = router.group("/api");
//     api.use([](const HttpRequest& r, HttpResponder responder, HttpNext next) {     // middleware
//         if (r.header("Authorization").empty()) return void(responder.respond(HttpResponse::error(401)));
//         next(std::move(responder));
//     });
//
// The most specific pattern that has the method wins, whatever the order of registration (see
// RouteTree). HEAD is answered by GET's route without the body; OPTIONS, and 405 with Allow (RFC 9110
// §15.5.6), from the routes that exist. CONNECT, whose target is no path, is never routed: 501.
//
// Middleware runs outermost first, for all routes of its group, registered before or after it. The
// outermost group's also sees requests that no route answers (404, 405, OPTIONS).
//
// A router is a handle: copies and groups share one table. Registration errors (a malformed pattern, a
// route that is there already) make the call return false and are kept: status() has the first one, and
// HttpServer::start refuses with it.
//
// Threads: register from one thread, before the server starts; matching is safe from any.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "http/request.h"
#include "http/responder.h"
#include "http/response.h"
#include "http/types.h"
#include "tnet/result.h"
#include "tnet/types.h"

namespace tnet {

class HttpNext;
struct HttpRoute;

// Returns the answer. What it throws is logged and answered 500.
using HttpHandler_t = std::function<HttpResponse(const HttpRequest& request)>;

// Answers through the responder, now or later. What it throws is logged; 500 if still unanswered.
using HttpAsyncHandler_t = std::function<void(const HttpRequest& request, HttpResponder responder)>;

// Answers, or passes on with next(std::move(responder)), now or later. HttpResponder::onResponse lets
// it see, and change, the response.
using HttpMiddleware_t =
    std::function<void(const HttpRequest& request, HttpResponder responder, HttpNext next)>;

using HttpDrainHook_t = std::function<void(IOLoop& loop)>;

struct HttpRouteOptions {
    std::optional<size_t> maxBodyBytes{};  // instead of HttpLimits::bodyBytes, streamed or not
    bool streamBody = false;  // call the handler at the end of the head; it reads the body in pieces
};

using HttpRoutePtr_t = std::shared_ptr<const HttpRoute>;

// The rest of the chain behind a middleware.
class HttpNext {
public:
    // Calls the next middleware, or the handler. Catches what they throw. Any thread.
    void operator()(HttpResponder responder) const;

private:
    friend class HttpRouter;
    HttpNext(HttpRoutePtr_t route, size_t index) : m_route(std::move(route)), m_index(index) {}

    HttpRoutePtr_t m_route;
    size_t m_index;
};

struct HttpRoute {
    HttpHandler_t handler{};            // } one of
    HttpAsyncHandler_t asyncHandler{};  // } the two
    HttpRouteOptions options{};
    std::string pattern{};                  // for the log
    std::string upgradeToken{};             // of an upgrade route
    std::vector<HttpMiddleware_t> chain{};  // outermost first; complete once the router is frozen
};

class HttpRouter {
public:
    HttpRouter();

    // A router for the patterns under `prefix` ("/api"; no slash at its end), with middleware of its own.
    HttpRouter group(std::string_view prefix) const;

    // Adds middleware to this group.
    void use(HttpMiddleware_t middleware);

    // Each returns false, and does nothing but note the error, if the route cannot be registered.
    // A handler is `HttpResponse(const HttpRequest&)` or `void(const HttpRequest&, HttpResponder)`, and may
    // be copied; all copies are the router's. Every method but CONNECT, whose target is no path.
    template <class Handler>
    bool route(HttpMethod method, std::string_view pattern, Handler handler, HttpRouteOptions options = {}) {
        return add(method, pattern, makeRoute(std::move(handler), options));
    }
    template <class Handler>
    bool get(std::string_view pattern, Handler handler, HttpRouteOptions options = {}) {
        return route(HttpMethod::Get, pattern, std::move(handler), options);
    }
    template <class Handler>
    bool post(std::string_view pattern, Handler handler, HttpRouteOptions options = {}) {
        return route(HttpMethod::Post, pattern, std::move(handler), options);
    }
    template <class Handler>
    bool put(std::string_view pattern, Handler handler, HttpRouteOptions options = {}) {
        return route(HttpMethod::Put, pattern, std::move(handler), options);
    }
    template <class Handler>
    bool patch(std::string_view pattern, Handler handler, HttpRouteOptions options = {}) {
        return route(HttpMethod::Patch, pattern, std::move(handler), options);
    }
    template <class Handler>
    bool del(std::string_view pattern, Handler handler, HttpRouteOptions options = {}) {
        return route(HttpMethod::Delete, pattern, std::move(handler), options);
    }
    // Every method but CONNECT, with one handler.
    template <class Handler>
    bool any(std::string_view pattern, Handler handler, HttpRouteOptions options = {}) {
        return addAny(pattern, makeRoute(std::move(handler), options));
    }

    // Answers GET requests of HTTP/1.1 that offer to upgrade to `token` (RFC 9110 §7.8), with
    // HttpResponder::upgrade or with an ordinary response. Other offers are ignored: such a request is
    // answered by the GET route of the path, or 426 if there is none.
    bool upgrade(std::string_view pattern, std::string_view token, HttpAsyncHandler_t handler);

    // For a layer that upgrades: called on each loop of a server that drains, once, before idle connections are
    // closed. Upgraded connections are the hook's to end. Must not throw.
    void onDrain(HttpDrainHook_t hook);

    // Notes an error of a registration, as the calls above do; for layers that check more. Returns false.
    bool reject(Error error);

    // The first registration error, if any.
    Status status() const;

    // --- For the connection ---

    // Ends registration: every route gets its chain of middleware.
    void freeze();

    void tellDrain(IOLoop& loop) const;

    struct Match {
        const HttpRoutePtr_t* route = nullptr;  // null: no route answers it
        bool isMalformed = false;               // the path cannot be matched safely: 400
    };
    // Finds the route and fills the request's parameters. Valid as long as the router.
    Match match(HttpRequest& request) const;

    // The answer to a request that no route answers: 400, 404, 405, 426, 501, or 204 for OPTIONS.
    HttpResponse answerWithoutRoute(HttpRequest& request, const Match& match) const;

    // A route that runs the outermost middleware and then answers `response`; null if there is none.
    HttpRoutePtr_t wrapped(HttpResponse response) const;

    // Runs the chain of `route` and its handler.
    static void run(const HttpRoutePtr_t& route, HttpResponder responder);

private:
    struct Group;
    struct Endpoint;
    struct Table;

    HttpRouter(std::shared_ptr<Table> table, std::shared_ptr<Group> group);

    template <class Handler>
    static HttpRoute makeRoute(Handler handler, HttpRouteOptions options) {
        constexpr bool kAnswers = std::is_invocable_r_v<HttpResponse, Handler&, const HttpRequest&>;
        constexpr bool kAnswersLater = std::is_invocable_v<Handler&, const HttpRequest&, HttpResponder>;
        constexpr bool kMayBeCopied = std::is_copy_constructible_v<Handler>;
        // What is wrong is said once, in words, and not by what std::function is made of.
        static_assert(
            kAnswers || kAnswersLater,
            "a handler is HttpResponse(const HttpRequest&), or void(const HttpRequest&, HttpResponder)");
        static_assert(kMayBeCopied,
                      "a handler has to be copyable: keep in a shared_ptr what can only be moved");
        HttpRoute route;
        route.options = options;
        if constexpr (kAnswers && kMayBeCopied) {
            route.handler = std::move(handler);
        } else if constexpr (kAnswersLater && kMayBeCopied) {
            route.asyncHandler = std::move(handler);
        }
        return route;
    }
    bool add(HttpMethod method, std::string_view pattern, HttpRoute route);
    bool addAny(std::string_view pattern, HttpRoute route);
    bool addShared(HttpMethod method, std::string_view pattern, std::shared_ptr<HttpRoute> route);
    Endpoint* endpoint(std::string_view pattern);
    static const HttpRoutePtr_t* routeAt(const Endpoint& endpoint, const HttpRequest& request);

    std::shared_ptr<Table> m_table;
    std::shared_ptr<Group> m_group;
};

}  // namespace tnet
