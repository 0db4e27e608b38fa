// The table of hostile requests, through the whole stack, whole and in pieces.
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "tests/http/hostile_requests.h"
#include "tests/http/http_fixture.h"

namespace tnet {
namespace {

class HostileRequestTest : public HttpTest {
protected:
    HostileRequestTest() {
        limits().requestLineBytes = 2048;
        limits().headerBytes = 4096;
        limits().headerCount = 64;
        limits().bodyBytes = 65536;
        limits().chunkLineBytes = 256;
        limits().chunkExtensionBytes = 4096;
        const auto fine = [this](const HttpRequest&) {
            ++handled;
            return HttpResponse(200);
        };
        router().get("/", fine);
        router().any("/echo", fine);
        router().get("/hello/:name", fine);
        router().post("/post", fine);
    }

    void check(const HostileRequest& row, size_t fragment) {
        SCOPED_TRACE(row.name + ", " + row.why + ", in pieces of " +
                     (fragment == ScriptedPeer::kWhole ? "all" : std::to_string(fragment)));
        handled = 0;
        const auto peer = connect();
        peer->feed(row.bytes, fragment, ScriptedPeer::Arrival::Buffered);
        const Replies replies = parseReplies(peer->collect());
        EXPECT_TRUE(replies.isClean()) << replies;
        EXPECT_EQ(replies.finalStatuses(), row.statuses) << replies;
        EXPECT_EQ(peer->isEnded(), row.closes);
        size_t answered = 0;
        for (const int status : row.statuses) answered += status == 200 ? 1U : 0U;
        EXPECT_LE(handled, answered);
        if (row.closes && replies.size() > 0) {
            EXPECT_EQ(replies.all.back().header("Connection"), "close");
        }
    }

    void checkAll(const std::vector<HostileRequest>& rows, size_t fragment) {
        for (const HostileRequest& row : rows) {
            check(row, fragment);
            if (HasFailure() && ++m_failedRows > 20) return;
        }
    }

    size_t handled = 0;

private:
    size_t m_failedRows = 0;
};

TEST(HostileRequestTableTest, HasEnoughRowsWithNamesOfTheirOwn) {
    EXPECT_GE(hostileRequests().size(), 120U);
    std::set<std::string> names;
    for (const auto* const table : {&hostileRequests(), &unusualButValidRequests()}) {
        for (const HostileRequest& row : *table) {
            EXPECT_TRUE(names.insert(row.name).second) << row.name;
            EXPECT_FALSE(row.why.empty()) << row.name;
            EXPECT_FALSE(row.statuses.empty()) << row.name;
        }
    }
}

// A test per size of the pieces, so that they can run side by side.
class HostileFragmentTest : public HostileRequestTest, public ::testing::WithParamInterface<size_t> {};

TEST_P(HostileFragmentTest, HostileRequestsAreRefused) { checkAll(hostileRequests(), GetParam()); }

TEST_P(HostileFragmentTest, UnusualRequestsAreNot) { checkAll(unusualButValidRequests(), GetParam()); }

INSTANTIATE_TEST_SUITE_P(Fragments, HostileFragmentTest, ::testing::ValuesIn(fragmentsOfLongTables()),
                         [](const ::testing::TestParamInfo<size_t>& size) {
                             return size.param == ScriptedPeer::kWhole ? "whole" : std::to_string(size.param);
                         });

}  // namespace
}  // namespace tnet
