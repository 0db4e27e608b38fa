// ServerProcess: a server that is attacked, as the kernel sees it: one of our own, or one that runs already.
//
// Threads: any one at a time. Lifetime: a process that was started here ends with this.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "tnet/address.h"
#include "tnet/result.h"

namespace tnet {

class ServerProcess {
public:
    // Starts arguments[0], which says on its first two lines where it listens, plainly and with TLS.
    static Result<std::unique_ptr<ServerProcess>> start(std::vector<std::string> arguments);
    // One that runs. Without TLS if `secure` is no address.
    static std::unique_ptr<ServerProcess> of(pid_t pid, const Address& plain, const Address& secure);
    ~ServerProcess();
    ServerProcess(const ServerProcess&) = delete;
    ServerProcess& operator=(const ServerProcess&) = delete;

    const Address& plain() const { return m_plain; }
    const Address& secure() const { return m_secure; }
    bool isAlive() const;

    size_t memoryBytes() const;      // resident
    size_t peakMemoryBytes() const;  // since resetPeak(), where the kernel lets us
    void resetPeak() const;
    double cpuSeconds() const;
    size_t sockets() const;  // that it has open, those that listen included

private:
    ServerProcess(pid_t pid, bool isOurs) : m_pid(pid), m_isOurs(isOurs) {}

    std::string file(const char* name) const;
    size_t statusKilobytes(const char* field) const;

    pid_t m_pid;
    bool m_isOurs;
    FILE* m_output = nullptr;  // its standard output, which nobody reads after the first two lines
    Address m_plain{};
    Address m_secure{};
};

}  // namespace tnet
