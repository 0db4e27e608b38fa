#include "tests/hostile/server_process.h"

#include <dirent.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>

namespace tnet {
namespace {

Result<Address> takeAddress(FILE* from) {
    std::array<char, 256> line{};
    const char* const text = std::fgets(line.data(), line.size(), from);
    const char* const begin = text != nullptr ? std::strstr(text, "://") : nullptr;
    if (begin == nullptr) return makeError(std::errc::io_error, "the server does not say where it listens");
    const std::string_view address(begin + 3);
    return Address::parse(address.substr(0, address.find('\n')));
}

}  // namespace

Result<std::unique_ptr<ServerProcess>> ServerProcess::start(std::vector<std::string> arguments) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return makeErrnoError(errno, "pipe2");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    std::vector<char*> texts;
    for (std::string& each : arguments) texts.push_back(each.data());
    texts.push_back(nullptr);
    pid_t pid = 0;
    const int error = ::posix_spawn(&pid, texts[0], &actions, nullptr, texts.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    FILE* const output = ::fdopen(ends[0], "r");
    std::unique_ptr<ServerProcess> process;
    Result<Address> plain = makeErrnoError(error, arguments[0]);
    if (error == 0) {
        process.reset(new ServerProcess(pid, true));
        plain = takeAddress(output);
    }
    Result<Address> secure = plain ? takeAddress(output) : plain;
    // Not closed while it runs: what is logged there meets a pipe that is full, and not one that is gone.
    if (!process)
        std::fclose(output);
    else
        process->m_output = output;
    if (!plain) return plain.error();
    if (!secure) return secure.error();
    process->m_plain = *plain;
    process->m_secure = *secure;
    return process;
}

std::unique_ptr<ServerProcess> ServerProcess::of(pid_t pid, const Address& plain, const Address& secure) {
    std::unique_ptr<ServerProcess> process(new ServerProcess(pid, false));
    process->m_plain = plain;
    process->m_secure = secure;
    return process;
}

ServerProcess::~ServerProcess() {
    if (!m_isOurs) return;
    ::kill(m_pid, SIGTERM);
    // One whose loop is caught does not see the signal; the siege has said so.
    for (int i = 0; i < 100 && isAlive(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    if (isAlive()) ::kill(m_pid, SIGKILL);
    int status = 0;
    ::waitpid(m_pid, &status, 0);
    if (m_output != nullptr) std::fclose(m_output);
}

bool ServerProcess::isAlive() const {
    if (!m_isOurs) return ::kill(m_pid, 0) == 0;
    siginfo_t info{};
    return ::waitid(P_PID, static_cast<id_t>(m_pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == 0;
}

std::string ServerProcess::file(const char* name) const {
    return "/proc/" + std::to_string(m_pid) + "/" + name;
}

size_t ServerProcess::statusKilobytes(const char* field) const {
    std::ifstream status(file("status"));
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with(field)) return std::strtoull(line.c_str() + std::strlen(field), nullptr, 10);
    }
    return 0;
}

size_t ServerProcess::memoryBytes() const { return statusKilobytes("VmRSS:") << 10; }
size_t ServerProcess::peakMemoryBytes() const { return statusKilobytes("VmHWM:") << 10; }

// proc(5): 5 sets the peak to what there is now.
void ServerProcess::resetPeak() const { std::ofstream(file("clear_refs")) << "5"; }

// proc(5): the 14th and 15th word of stat; the second may have blanks, and is in parentheses.
double ServerProcess::cpuSeconds() const {
    std::ifstream stat(file("stat"));
    std::string line;
    std::getline(stat, line);
    const size_t behindName = line.rfind(')');
    if (behindName == std::string::npos) return 0;
    std::istringstream words(line.substr(behindName + 1));
    std::string skipped;
    for (int i = 0; i < 11; ++i) words >> skipped;
    double user = 0;
    double system = 0;
    words >> user >> system;
    return (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

size_t ServerProcess::sockets() const {
    DIR* const directory = ::opendir(file("fd").c_str());
    if (directory == nullptr) return 0;
    size_t count = 0;
    while (const dirent* const entry = ::readdir(directory)) {
        std::array<char, PATH_MAX> target{};
        const std::string path = file("fd/") + entry->d_name;
        if (::readlink(path.c_str(), target.data(), target.size() - 1) > 0 &&
            std::strncmp(target.data(), "socket:", 7) == 0)
            ++count;
    }
    ::closedir(directory);
    return count;
}

}  // namespace tnet
