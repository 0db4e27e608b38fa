// routes: the service's HTTP side: publishing, event streams, health, metrics, the page.
//
//     POST /publish/:topic    GET /events/:topic    GET /healthz    GET /metrics    GET /
#pragma once

#include <cstddef>

#include "examples/push/access.h"
#include "examples/push/hub.h"
#include "examples/push/metrics.h"
#include "http/router.h"

namespace tnet {

// Borrows hub, metrics and access for as long as the server runs. `maxMessageBytes`: of a publication's body.
void addPushRoutes(HttpRouter& router, PushHub& hub, PushMetrics& metrics, const PushAccess& access,
                   size_t maxMessageBytes);

}  // namespace tnet
