// ws_frames: what clients of WebSocket send: the upgrade request, and masked frames.
//
// The mask's key is zero, so that masking costs an attacker nothing; the server cannot know that in advance.
#pragma once

#include <string>
#include <string_view>

#include "websocket/frame.h"
#include "websocket/types.h"

namespace tnet {

// `extension`: what Sec-WebSocket-Extensions offers; empty: nothing.
std::string upgradeRequest(std::string_view path, std::string_view extension = {});

enum class WsFin : uint8_t { Last, More };
enum class WsRsv1 : uint8_t { Plain, Compressed };
std::string maskedFrame(WsOpcode opcode, std::string_view payload, WsFin fin = WsFin::Last,
                        WsRsv1 rsv1 = WsRsv1::Plain);

}  // namespace tnet
