// IOHandler: what a loop calls for a descriptor; the loop shares its ownership while it is registered.
//
// Threads: called on the loop's thread only. Calls must not throw.
#pragma once

#include <cstdint>
#include <memory>

#include "tnet/cpp20.h"

namespace tnet {

class IOHandler {
public:
    virtual ~IOHandler() = default;

    // `events`: TNET_* bits that were asked for, and TNET_ERROR.
    virtual void handleEvents(uint32_t events) = 0;

    // Called once, from the top of the loop, for each IOLoop::defer since the last call.
    virtual void handleDeferred() {}

    // The loop is being destroyed; close what it watches. The registration is gone afterwards.
    virtual void handleLoopExit() {}

protected:
    IOHandler() = default;
    IOHandler(const IOHandler&) = delete;
    IOHandler& operator=(const IOHandler&) = delete;
};

using IOHandlerPtr_t = std::shared_ptr<IOHandler>;

}  // namespace tnet
