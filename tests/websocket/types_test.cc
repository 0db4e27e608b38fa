#include "websocket/types.h"

#include <gtest/gtest.h>

#include <set>

namespace tnet {
namespace {

TEST(WsOpcodeTest, ControlFramesAreCloseAndPingAndPong) {
    for (const WsOpcode opcode : {WsOpcode::Continuation, WsOpcode::Text, WsOpcode::Binary}) {
        EXPECT_FALSE(isControl(opcode)) << static_cast<int>(opcode);
    }
    for (const WsOpcode opcode : {WsOpcode::Close, WsOpcode::Ping, WsOpcode::Pong}) {
        EXPECT_TRUE(isControl(opcode)) << static_cast<int>(opcode);
    }
}

// Every code there is, against the list of RFC 6455 §7.4 and its registry.
TEST(WsCloseCodeTest, ValidOnTheWireAreTheRegisteredAndThoseOfApplications) {
    const std::set<int> registered = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014};
    for (int code = 0; code <= 0xFFFF; ++code) {
        const bool ofApplications = code >= 3000 && code <= 4999;
        EXPECT_EQ(isValidCloseCode(static_cast<uint16_t>(code)), registered.contains(code) || ofApplications)
            << code;
    }
}

TEST(WsCloseCodeTest, NamedCodesAreValidButForThoseThatOnlyReport) {
    using enum WsCloseCode;
    for (const WsCloseCode code :
         {Normal, GoingAway, ProtocolError, UnsupportedData, InvalidPayload, PolicyViolation, MessageTooBig,
          MandatoryExtension, InternalError, ServiceRestart, TryAgainLater, BadGateway}) {
        EXPECT_TRUE(isValidCloseCode(static_cast<uint16_t>(code))) << static_cast<int>(code);
    }
    for (const WsCloseCode code : {NoStatus, Abnormal}) {
        EXPECT_FALSE(isValidCloseCode(static_cast<uint16_t>(code))) << static_cast<int>(code);
    }
}

}  // namespace
}  // namespace tnet
