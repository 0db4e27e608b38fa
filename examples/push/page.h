// page: the page at /, which shows a topic as it comes. It loads nothing from elsewhere.
#pragma once

namespace tnet {

extern const char* const kPushPage;

}  // namespace tnet
