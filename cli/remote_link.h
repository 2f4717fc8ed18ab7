#pragma once
#include <fmt/format.h>

#include "cli/client.h"
#include "drivers/modbus/link.h"

namespace wattd::cli {

/// A bus of the running daemon, which asks for us between two turns of its own: a serial line has one master.
class RemoteLink final : public drivers::modbus::Link {
 public:
  RemoteLink(Client& client, std::string bus, std::chrono::milliseconds timeout)
      : client_(client), bus_(std::move(bus)), timeout_(timeout) {}

  Result<std::vector<std::uint16_t>> read(int unit, int function, int address, int count) override {
    const auto answer =
        client_.post(fmt::format("/api/v1/buses/{}/read", escaped(bus_)),
                     fmt::format(R"({{"unit":{},"function":{},"address":{},"count":{},"timeout_ms":{}}})", unit,
                                 function, address, count, timeout_.count()));
    if (!answer) return std::unexpected(answer.error());
    std::vector<std::uint16_t> words;
    for (const auto& word : (*answer)["data"]["words"]) words.push_back(static_cast<std::uint16_t>(word.asUInt()));
    return words;
  }

 private:
  Client& client_;
  std::string bus_;
  std::chrono::milliseconds timeout_;
};

}  // namespace wattd::cli
