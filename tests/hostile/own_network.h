// own_network: a network namespace of this process's own, with nothing but a loopback interface: attackers can have
// any address there, and nobody else is attacked.
//
// Threads: before the process has a second one. Lifetime: until the process and its children end.
#pragma once

#include <string>

#include "tnet/result.h"

namespace tnet {

// Enters it, with lo up. Errors: the kernel does not allow it; then everything is as before.
Status enterOwnNetwork();

// Gives lo an address as well, as "fd00:1::1".
Status addLoopbackAddress(const std::string& ipv6);

// Packets to 10.0.0.0/8 go to lo, where nobody has these addresses: what is sent there is lost.
Status loseWhatIsSentToTen();

}  // namespace tnet
