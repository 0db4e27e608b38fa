// PushAccess: who may publish, and which pages may connect.
//
// Threads: any, once it is made.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "http/request.h"
#include "tnet/result.h"

namespace tnet {

struct PushAccess {
    std::string token{};                 // empty: none
    bool openPublish = false;            // without a token, everybody may publish
    std::vector<std::string> origins{};  // "https://a.example", or "*" for all; beside the service's own

    // Errors, with the file's name: it cannot be read, or has no token in it.
    Status readToken(const std::string& file);

    // Whether a page may use the service: one of its own origin or of a listed one; and whoever is no page.
    bool allowsOrigin(const HttpRequest& request) const;

    // 0: it may publish. 401: no token came, 403: not the right one, or nobody may, or not from this page.
    int refusePublish(const HttpRequest& request) const;
};

}  // namespace tnet
