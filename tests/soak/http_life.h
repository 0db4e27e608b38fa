// HttpLife: a keep-alive connection of the soak's load: downloads, echoes, pipelined requests, and a dozen ways to end.
#pragma once

#include "tests/soak/http_answers.h"
#include "tests/soak/life.h"

namespace tnet {

class HttpLife final : public Life {
public:
    explicit HttpLife(Soak& soak);

private:
    void connected() override { useOrDie(); }
    void use() override;
    void die(size_t death) override;
    void take(std::string_view bytes) override;
    bool owesNothing() const override { return m_answers.isComplete() || m_isDeaf; }

    void download(std::string_view fields = {});
    void echo();
    void echoInChunks();
    void stopReading();

    HttpAnswers m_answers;
    bool m_isDying = false;
    bool m_isDeaf = false;  // what comes is not looked at
};

}  // namespace tnet
