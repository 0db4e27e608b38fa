#include "tnet/transport.h"

#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <ctime>

namespace tnet {
namespace {

IoResult failed(int error) { return {IoStatus::Failed, 0, std::error_code(error, std::generic_category())}; }

IoResult ok(ssize_t bytes) { return {IoStatus::Ok, static_cast<size_t>(bytes), {}}; }

bool wouldBlock(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

// sendfile(2) knows no MSG_NOSIGNAL: keeps the SIGPIPE that a vanished peer means from the process.
class PipeSignalBlock {
public:
    PipeSignalBlock() {
        sigemptyset(&m_pipe);
        sigaddset(&m_pipe, SIGPIPE);
        pthread_sigmask(SIG_BLOCK, &m_pipe, &m_before);
    }
    ~PipeSignalBlock() { pthread_sigmask(SIG_SETMASK, &m_before, nullptr); }
    PipeSignalBlock(const PipeSignalBlock&) = delete;
    PipeSignalBlock& operator=(const PipeSignalBlock&) = delete;

    // Takes back the one that was just sent to this thread, if any.
    void take() const {
        const timespec now{};
        sigtimedwait(&m_pipe, nullptr, &now);
    }

private:
    sigset_t m_pipe;
    sigset_t m_before;
};

class PlainTransport final : public Transport {
public:
    IoResult handshake(int) override { return {}; }

    IoResult read(int fd, char* into, size_t size) override {
        for (;;) {
            const ssize_t n = receive(fd, into, size);
            if (n > 0) return ok(n);
            if (n == 0) return {IoStatus::End, 0, {}};
            if (wouldBlock(errno)) return {IoStatus::WantRead, 0, {}};
            if (errno != EINTR) return failed(errno);
        }
    }

    // sendto and sendmsg rather than write and writev: MSG_NOSIGNAL makes a vanished peer an error here,
    // not a SIGPIPE for the process, whether or not the program ignores that signal.
    IoResult write(int fd, const iovec* pieces, int count) override {
        for (;;) {
            const ssize_t n = count == 1 ? sendOne(fd, *pieces) : sendMany(fd, pieces, count);
            if (n >= 0) return ok(n);
            if (wouldBlock(errno)) return {IoStatus::WantWrite, 0, {}};
            if (errno != EINTR) return failed(errno);
        }
    }

    IoResult sendFile(int fd, int file, off_t offset, size_t size) override {
        const PipeSignalBlock block;
        for (;;) {
            const ssize_t n = ::sendfile(fd, file, &offset, size);
            const int error = errno;
            if (n > 0) return ok(n);
            if (n == 0) return failed(EIO);  // shorter than promised: the length already went out
            if (wouldBlock(error)) return {IoStatus::WantWrite, 0, {}};
            if (error == EPIPE) block.take();
            if (error != EINTR) return failed(error);
        }
    }

    IoResult endWrite(int fd) override {
        if (::shutdown(fd, SHUT_WR) == 0) return {};
        return failed(errno);
    }

    bool hasPendingInput() const override { return false; }
    bool wantsGracefulEnd() const override { return false; }
    void release() noexcept override {}

private:
    // The two calls of every request go past libc's wrappers, which make each a cancellation point at
    // some thirty instructions; a loop's thread is never cancelled.
    static ssize_t receive(int fd, char* into, size_t size) {
        return ::syscall(SYS_recvfrom, fd, into, size, 0, nullptr, nullptr);
    }

    static ssize_t sendOne(int fd, const iovec& piece) {
        return ::syscall(SYS_sendto, fd, piece.iov_base, piece.iov_len, MSG_NOSIGNAL, nullptr, 0);
    }

    static ssize_t sendMany(int fd, const iovec* pieces, int count) {
        msghdr message{};
        message.msg_iov = const_cast<iovec*>(pieces);  // sendmsg does not write through it
        message.msg_iovlen = static_cast<size_t>(count);
        return ::sendmsg(fd, &message, MSG_NOSIGNAL);
    }
};

}  // namespace

TransportPtr_t plainTransport() {
    static PlainTransport instance;
    return TransportPtr_t(&instance);
}

}  // namespace tnet
