// subscriber: what the WebSocket connections of /ws do: they say what they want to hear.
//
//     {"subscribe":"t"}  {"subscribe":"t","after":17}  {"unsubscribe":"t"}
//
// What is wrong is answered with {"error":"..."}; too much of it in a row, with a close (1008).
#pragma once

#include <cstddef>

#include "examples/push/access.h"
#include "examples/push/hub.h"
#include "examples/push/metrics.h"
#include "websocket/route.h"

namespace tnet {

struct SubscriberSettings {
    size_t subscriptions = 32;  // per connection
    size_t maxQueuedBytes = 1 << 20;
    WsOverflow overflow = WsOverflow::Close;
};

// Borrows all but the settings, for as long as the server runs.
WsRoute subscriberRoute(PushHub& hub, PushMetrics& metrics, const PushAccess& access,
                        SubscriberSettings settings);

}  // namespace tnet
