// replies: reads the responses back that a server wrote, strictly, and knows nothing of //http.
//
//     const Replies replies = parseReplies(peer.collect());
//     ASSERT_EQ(replies.statuses(), (std::vector<int>{200, 404}));
//     EXPECT_EQ(replies[0].body, "Hello, World!");
//
// Threads: a value. Lifetime: copies what it keeps.
#pragma once

#include <cstddef>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tnet {

struct Reply {
    using Fields = std::vector<std::pair<std::string, std::string>>;

    int status = 0;
    std::string head{};  // as it came, with its empty line
    Fields fields{};
    std::string body{};  // without chunk framing
    size_t chunks = 0;   // but for the last; zero if it is not chunked
    Fields trailers{};
    bool untilClose = false;  // framed by the end of the stream alone

    bool has(std::string_view name) const { return count(name) > 0; }
    size_t count(std::string_view name) const;
    std::string header(std::string_view name) const;  // the first of that name; empty if there is none
    std::string trailer(std::string_view name) const;
};

struct Replies {
    std::vector<Reply> all{};
    std::string problem{};  // what is wrong with the bytes; empty: nothing
    std::string rest{};     // bytes behind the last whole reply: none, or an incomplete one

    const Reply& operator[](size_t index) const { return all.at(index); }
    size_t size() const { return all.size(); }
    std::vector<int> statuses() const;
    std::vector<int> finalStatuses() const;  // without 1xx
    // Whole replies, nothing else.
    bool isClean() const { return problem.empty() && rest.empty(); }
};

// `heads`: which final replies answer HEAD, by index. A reply without length that is not chunked has the
// rest of the stream for its body, but for 1xx, 204 and 304.
Replies parseReplies(std::string_view bytes, const std::vector<size_t>& heads = {});

// For messages of failed tests.
std::ostream& operator<<(std::ostream& out, const Replies& replies);

}  // namespace tnet
