// PushMessage: what was published, as subscribers get it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace tnet {

struct PushMessage {
    uint64_t id;  // greater than that of every message before it, whatever their topics
    std::string topic;
    std::string text;  // {"id":1,"topic":"t","data":"..."}
};

using PushMessagePtr_t = std::shared_ptr<const PushMessage>;

// As clients write it: decimal digits and nothing else.
std::optional<uint64_t> parseMessageId(std::string_view text);

}  // namespace tnet
