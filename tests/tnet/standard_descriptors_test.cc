#include "tnet/standard_descriptors.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace tnet {
namespace {

// Programs that were started so had their epoll descriptor and event counter there, and printed into them.
TEST(StandardDescriptorsTest, ClosedOnesLeadToDevNullAndOpenOnesStay) {
    for (const int closed : {0, 1, 2, 3, 4, 5, 6, 7}) {  // bits: which are closed
        const pid_t child = ::fork();
        if (child == 0) {
            struct stat before[3];
            for (int fd = 0; fd < 3; ++fd) {
                ::fstat(fd, &before[fd]);
                if ((closed >> fd & 1) != 0) ::close(fd);
            }
            if (!openStandardDescriptors()) ::_exit(1);
            struct stat null {};
            ::stat("/dev/null", &null);
            for (int fd = 0; fd < 3; ++fd) {
                struct stat now {};
                if (::fstat(fd, &now) != 0) ::_exit(2);
                const struct stat& right = (closed >> fd & 1) != 0 ? null : before[fd];
                if (now.st_dev != right.st_dev || now.st_ino != right.st_ino) ::_exit(3);
            }
            const int next = ::dup(0);
            ::_exit(next > 2 ? 0 : 4);
        }
        int status = 0;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        EXPECT_TRUE(WIFEXITED(status));
        EXPECT_EQ(WEXITSTATUS(status), 0) << "closed " << closed;
    }
}

}  // namespace
}  // namespace tnet
