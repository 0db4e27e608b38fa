#include "tests/support/peer_security.h"

namespace tnet {
namespace {

PeerSecurity::Factory_t currentFactory = nullptr;

}  // namespace

std::unique_ptr<PeerSecurity> PeerSecurity::create(Connection::Origin origin) {
    return isOn() ? currentFactory(origin) : nullptr;
}

bool PeerSecurity::isOn() { return currentFactory != nullptr; }

void PeerSecurity::setFactory(Factory_t factory) { currentFactory = factory; }

}  // namespace tnet
