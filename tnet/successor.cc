#include "tnet/successor.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace tnet {
namespace {

constexpr int kFirst = 3;                             // of the inherited sockets
constexpr const char* kReadyVariable = "TNET_READY";  // "<descriptor>:<pid of the successor>"
constexpr char kServes = 'S';
constexpr char kNotStarted = 'E';  // errno follows

// Between fork and exec of a process with threads only async-signal-safe functions may be called: everything else
// is prepared here before.
struct Plan {
    std::vector<char*> arguments{};
    std::vector<char*> environment{};
    std::array<char*, 2> pidDigits{};  // where the environment has the successor's pid
    std::vector<int> sockets{};
    int channel = -1;  // where the successor tells; becomes the descriptor behind the sockets
};

bool isVariable(const char* entry, const char* name) {
    const size_t size = std::strlen(name);
    return std::strncmp(entry, name, size) == 0 && entry[size] == '=';
}

void writePid(char* into) {
    pid_t pid = ::getpid();
    std::array<char, 20> digits;
    size_t count = 0;
    do {
        digits[count++] = static_cast<char>('0' + pid % 10);
        pid /= 10;
    } while (pid > 0);
    while (count > 0) *into++ = digits[--count];
    *into = '\0';
}

// Puts `from` at `to`, open in the next program.
bool place(int from, int to) {
    if (from == to) return ::fcntl(to, F_SETFD, 0) == 0;
    return ::dup2(from, to) >= 0;
}

bool placeAll(Plan& plan) {
    // First out of the way of where they go.
    const int behind = kFirst + static_cast<int>(plan.sockets.size()) + 1;
    for (int& socket : plan.sockets) {
        socket = ::fcntl(socket, F_DUPFD_CLOEXEC, behind);
        if (socket < 0) return false;
    }
    plan.channel = ::fcntl(plan.channel, F_DUPFD_CLOEXEC, behind);
    if (plan.channel < 0) return false;
    int to = kFirst;
    for (const int socket : plan.sockets) {
        if (!place(socket, to++)) return false;
    }
    return place(plan.channel, to);
}

[[noreturn]] void becomeSuccessor(Plan& plan) {
    sigset_t none;
    sigemptyset(&none);
    if (placeAll(plan)) {
        for (char* const digits : plan.pidDigits) writePid(digits);
        ::sigprocmask(SIG_SETMASK, &none, nullptr);
        ::execve(plan.arguments[0], plan.arguments.data(), plan.environment.data());
    }
    const int error = errno;
    std::array<char, 1 + sizeof(error)> message{kNotStarted};
    std::memcpy(message.data() + 1, &error, sizeof(error));
    [[maybe_unused]] const ssize_t written =
        ::send(plan.channel, message.data(), message.size(), MSG_NOSIGNAL);
    ::_exit(127);
}

}  // namespace

Result<std::unique_ptr<Successor>> Successor::spawn(IOLoop* loop, const std::vector<std::string>& arguments,
                                                    const std::vector<int>& sockets,
                                                    OutcomeCallback_t callback) {
    if (arguments.empty()) return makeError(std::errc::invalid_argument, "successor: no program is named");
    int ends[2];  // sockets rather than a pipe, which has no MSG_NOSIGNAL
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
        return makeErrnoError(errno, "successor: socketpair");
    FileDescriptor ours(ends[0]);
    FileDescriptor theirs(ends[1]);

    std::vector<std::string> texts = arguments;
    std::string pid = "LISTEN_PID=" + std::string(20, '0');
    std::string count = "LISTEN_FDS=" + std::to_string(sockets.size());
    std::string ready =
        std::string(kReadyVariable) + "=" + std::to_string(kFirst + static_cast<int>(sockets.size())) + ":";
    const size_t readyPid = ready.size();
    ready.append(20, '0');
    Plan plan;
    for (std::string& text : texts) plan.arguments.push_back(text.data());
    plan.arguments.push_back(nullptr);
    // clearenv(3) leaves a null pointer.
    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
        bool isOurs = false;
        for (const char* const name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", kReadyVariable})
            isOurs = isOurs || isVariable(*entry, name);
        if (!isOurs) plan.environment.push_back(*entry);
    }
    for (std::string* const text : {&pid, &count, &ready}) plan.environment.push_back(text->data());
    plan.environment.push_back(nullptr);
    plan.pidDigits = {pid.data() + std::strlen("LISTEN_PID="), ready.data() + readyPid};
    plan.sockets = sockets;
    plan.channel = theirs.get();

    const pid_t child = ::fork();
    if (child < 0) return makeErrnoError(errno, "successor: fork");
    if (child == 0) becomeSuccessor(plan);
    theirs.reset();
    std::unique_ptr<Successor> successor(
        new Successor(loop, arguments[0], child, std::move(ours), std::move(callback)));
    Successor* const self = successor.get();
    const auto error =
        loop->addHandler(self->m_channel.get(), TNET_READ, [self](uint32_t) { self->readOutcome(); });
    if (error) return makeError(error, "successor: watch");
    return successor;
}

Successor::Successor(IOLoop* loop, std::string program, pid_t pid, FileDescriptor channel,
                     OutcomeCallback_t callback)
    : m_loop(loop),
      m_program(std::move(program)),
      m_pid(pid),
      m_channel(std::move(channel)),
      m_callback(std::move(callback)) {}

Successor::~Successor() {
    if (m_channel.valid()) m_loop->removeHandler(m_channel.get());
    ::waitpid(m_pid, nullptr, WNOHANG);
}

void Successor::readOutcome() {
    std::array<char, 1 + sizeof(int)> message{};
    const ssize_t n = ::read(m_channel.get(), message.data(), message.size());
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    m_loop->removeHandler(m_channel.get());
    m_channel.reset();
    Status outcome = Done{};
    if (n == static_cast<ssize_t>(message.size()) && message[0] == kNotStarted) {
        int error = 0;
        std::memcpy(&error, message.data() + 1, sizeof(error));
        outcome = makeErrnoError(error, "successor " + m_program);
    } else if (n < 1 || message[0] != kServes) {
        outcome = makeError(std::errc::owner_dead, "successor " + m_program + " ended before it served");
    }
    if (!outcome) ::waitpid(m_pid, nullptr, WNOHANG);
    // The callback may destroy this object, and with it itself.
    const OutcomeCallback_t callback = std::exchange(m_callback, nullptr);
    callback(outcome);
}

void tellPredecessor() {
    static std::atomic<bool> isTold{false};
    const char* const text = std::getenv(kReadyVariable);
    if (text == nullptr) return;
    // Of an environment that went on to a child of the successor, the pid is another.
    int fd = -1;
    int pid = -1;
    const char* const end = text + std::strlen(text);
    const char* const colon = std::from_chars(text, end, fd).ptr;
    if (colon == end || std::from_chars(colon + 1, end, pid).ptr != end) return;
    if (fd < kFirst || pid != ::getpid() || isTold.exchange(true)) return;
    const FileDescriptor channel(fd);
    [[maybe_unused]] const ssize_t written = ::send(channel.get(), &kServes, 1, MSG_NOSIGNAL);
}

}  // namespace tnet
