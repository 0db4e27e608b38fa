#include "tnet/ignore_sig_pipe.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace tnet {
namespace {

TEST(IgnoreSigPipeTest, WritingToAClosedPipeIsAnError) {
    std::signal(SIGPIPE, SIG_DFL);
    { const IgnoreSigPipe ignoreSigPipe; }
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe(ends.data()), 0);
    ::close(ends[0]);
    EXPECT_EQ(::write(ends[1], "x", 1), -1);
    EXPECT_EQ(errno, EPIPE);
    ::close(ends[1]);
}

}  // namespace
}  // namespace tnet
