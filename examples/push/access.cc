#include "examples/push/access.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "http/origin.h"

namespace tnet {
namespace {

constexpr size_t kMaxTokenBytes = 4096;

// In a time that says nothing about where they differ.
bool isSameSecret(std::string_view given, std::string_view secret) {
    unsigned difference = given.size() == secret.size() ? 0 : 1;
    for (size_t i = 0; i < given.size(); ++i)
        difference |=
            static_cast<unsigned char>(given[i]) ^ static_cast<unsigned char>(secret[i % secret.size()]);
    return difference == 0;
}

}  // namespace

Status PushAccess::readToken(const std::string& file) {
    FILE* const from = std::fopen(file.c_str(), "re");
    if (from == nullptr) return makeErrnoError(errno, "token file " + file);
    std::string text(kMaxTokenBytes + 1, '\0');
    text.resize(std::fread(text.data(), 1, text.size(), from));
    const int error = std::ferror(from) != 0 ? errno : 0;
    std::fclose(from);
    if (error != 0) return makeErrnoError(error, "token file " + file);
    text.erase(std::find_if(text.begin(), text.end(), [](char c) { return c == '\n' || c == '\r'; }),
               text.end());
    if (text.empty())
        return makeError(std::errc::invalid_argument, "token file " + file + ": its first line is empty");
    if (text.size() > kMaxTokenBytes) return makeError(std::errc::file_too_large, "token file " + file);
    token = std::move(text);
    return Done{};
}

bool PushAccess::allowsOrigin(const HttpRequest& request) const {
    const std::string_view origin = request.header("Origin");
    if (isOwnOrigin(origin, request)) return true;
    return std::any_of(origins.begin(), origins.end(), [origin](const std::string& allowed) {
        return allowed == "*" || allowed == origin || isSameOrigin(allowed, origin);
    });
}

int PushAccess::refusePublish(const HttpRequest& request) const {
    if (!allowsOrigin(request)) return 403;
    if (token.empty()) return openPublish ? 0 : 403;
    constexpr std::string_view kScheme = "Bearer ";  // RFC 6750 §2.1
    const std::string_view field = request.header("Authorization");
    if (!equalsIgnoreCase(field.substr(0, kScheme.size()), kScheme)) return 401;
    return isSameSecret(field.substr(kScheme.size()), token) ? 0 : 403;
}

}  // namespace tnet
