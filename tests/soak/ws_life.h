// WsLife: a WebSocket connection of the soak's load: echoes, fragments, pings, publications, and a dozen ways to end.
#pragma once

#include <optional>
#include <string>

#include "tests/soak/life.h"

namespace tnet {

class WsLife final : public Life {
public:
    explicit WsLife(Soak& soak);

private:
    enum class Phase : uint8_t { Upgrading, Open, Dying };

    void connected() override;
    void use() override;
    void die(size_t death) override;
    void take(std::string_view bytes) override;
    bool owesNothing() const override { return !m_closeCode; }

    bool takeUpgrade();
    bool takeFrame();
    void meet(unsigned opcode, std::string_view payload);
    void meetTick(std::string_view text);
    void meetClose(std::string_view payload);
    void sendFrame(unsigned firstByte, std::string_view payload);
    void expectClose(int code);

    std::string m_input;               // what is not complete yet
    std::string_view m_owed{};         // of the echo
    uint64_t m_lastTick = 0;           // zero: none came
    std::optional<int> m_closeCode{};  // of the Close frame that has to come
    Phase m_phase = Phase::Upgrading;
    bool m_isDeaf = false;  // answers no ping
};

}  // namespace tnet
