#include "tests/hostile/own_network.h"

#include <arpa/inet.h>
#include <linux/ipv6.h>
#include <net/if.h>
#include <net/route.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "tnet/socket.h"

namespace tnet {
namespace {

Status callWith(int family, unsigned long request, void* argument, const std::string& what) {
    const FileDescriptor socket(::socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket.valid() || ::ioctl(socket.get(), request, argument) != 0) return makeErrnoError(errno, what);
    return Done{};
}

ifreq loopback() {
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    return request;
}

}  // namespace

Status enterOwnNetwork() {
    if (::unshare(CLONE_NEWNET) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
        return makeErrnoError(errno, "unshare");
    ifreq request = loopback();
    request.ifr_flags = IFF_UP;
    return callWith(AF_INET, SIOCSIFFLAGS, &request, "lo up");
}

Status addLoopbackAddress(const std::string& ipv6) {
    ifreq named = loopback();
    if (const Status found = callWith(AF_INET, SIOCGIFINDEX, &named, "lo"); !found) return found.error();
    in6_ifreq request{};
    request.ifr6_ifindex = named.ifr_ifindex;
    request.ifr6_prefixlen = 128;
    if (::inet_pton(AF_INET6, ipv6.c_str(), &request.ifr6_addr) != 1)
        return makeError(std::errc::invalid_argument, ipv6);
    return callWith(AF_INET6, SIOCSIFADDR, &request, ipv6);
}

Status loseWhatIsSentToTen() {
    const auto put = [](sockaddr& place, const char* text) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        ::inet_pton(AF_INET, text, &address.sin_addr);
        std::memcpy(&place, &address, sizeof(address));
    };
    rtentry route{};
    put(route.rt_dst, "10.0.0.0");
    put(route.rt_genmask, "255.0.0.0");
    route.rt_flags = RTF_UP;
    std::string device = "lo";
    route.rt_dev = device.data();
    return callWith(AF_INET, SIOCADDRT, &route, "route to 10.0.0.0/8");
}

}  // namespace tnet
