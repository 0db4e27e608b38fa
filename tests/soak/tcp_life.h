// TcpLife: a connection to an echo on the bare base package, which ConnChecker looks after.
#pragma once

#include "tests/soak/life.h"

namespace tnet {

class TcpLife final : public Life {
public:
    explicit TcpLife(Soak& soak);

private:
    void connected() override { useOrDie(); }
    void use() override;
    void die(size_t death) override;
    void take(std::string_view bytes) override;
    bool owesNothing() const override { return m_owed.empty(); }

    std::string_view m_owed{};
};

}  // namespace tnet
