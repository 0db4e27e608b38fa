// Address: where a socket listens or connects to: IPv4, IPv6 or a Unix-domain socket.
//
//     127.0.0.1:8080    [::1]:8080    [fe80::1%eth0]:80    unix:/run/app.sock    unix:@abstract-name
//     localhost:8080
//
// Numbers only: no name is ever resolved, since that blocks for seconds. (The one thing looked up
// is an interface's number, which is a local system call.) The one name is "localhost", in any case of letters: it is
// 127.0.0.1 by definition (RFC 6761 §6.3). Resolve others first, with getaddrinfo or a resolver of your own, and
// hand in the result by fromSockaddr().
//
// Threads: a value; as safe as an int.
// Lifetime: owns its bytes and allocates nothing; data() is valid as long as the Address stays.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "tnet/result.h"

namespace tnet {

class Address {
public:
    // No address at all: family() is AF_UNSPEC.
    Address();

    // The forms above, strictly: the port is 0 to 65535 in decimal without sign or leading zeros,
    // IPv6 stands in brackets, a Unix path has 1 to 107 bytes (an abstract name likewise).
    // Errors: invalid_argument; no_such_device for an interface name that does not exist. The
    // message quotes `text`.
    static Result<Address> parse(std::string_view text);

    // A copy of what the system filled in. A family not named above, or a length too short for its
    // family, gives an Address of AF_UNSPEC.
    static Address fromSockaddr(const sockaddr* address, socklen_t length);

    static Address loopback(uint16_t port);  // 127.0.0.1
    static Address any(uint16_t port);       // 0.0.0.0

    // The same address with another port; a Unix address is returned as it is.
    Address withPort(uint16_t port) const;

    // For the system calls.
    const sockaddr* data() const { return &m_storage.base; }
    socklen_t size() const { return m_size; }

    int family() const { return m_storage.base.sa_family; }  // AF_INET, AF_INET6, AF_UNIX, AF_UNSPEC
    bool isUnix() const { return family() == AF_UNIX; }
    bool isAbstract() const;       // a Unix address with no file behind it
    std::string unixPath() const;  // of a Unix address that is not abstract; otherwise empty
    uint16_t port() const;         // 0 for a Unix address

    // The form that parse() takes. An unnamed Unix socket (a client's usually is) gives "unix:",
    // AF_UNSPEC gives "unspecified".
    std::string toString() const;

    // Without port and brackets: "127.0.0.1", "::1", "fe80::1%eth0". For others, toString().
    std::string host() const;

    // Same family, address, port and scope; the IPv6 flow label is not compared.
    friend bool operator==(const Address& a, const Address& b);

private:
    static Result<Address> parseUnix(std::string_view text, std::string_view name);

    union Storage {
        sockaddr base;
        sockaddr_in v4;
        sockaddr_in6 v6;
        sockaddr_un local;
    };
    Storage m_storage;
    socklen_t m_size;
};

}  // namespace tnet
