#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>

#include <chrono>
#include <optional>

#include "cli/commands.h"
#include "cli/pcap.h"
#include "drivers/modbus/trace.h"

namespace wattd::cli {
namespace {

using namespace std::chrono_literals;
using drivers::modbus::Bytes;
using drivers::modbus::Framing;

Bytes bytes_from(const std::string& hex) {
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(static_cast<std::uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

std::string clock_time(const std::string& iso) {
  const auto begin = iso.find('T');
  return iso.substr(begin == std::string::npos ? 0 : begin + 1);
}

/// Prints, and keeps, what one look at the bus has brought.
class Tracing {
 public:
  Tracing(Context& context, const BusTarget& target) : context_(context), target_(target) {}

  /// Errors: as of Client and PcapFile.
  Result<void> look(bool last) {
    const auto answer = context_.client.post(fmt::format("/api/v1/buses/{}/trace", escaped(target_.bus)),
                                             fmt::format(R"({{"after":{}}})", seen_));
    if (!answer) return std::unexpected(answer.error());
    const auto& data = (*answer)["data"];
    framing_ = data["framing"].asString() == "tcp" ? Framing::tcp : Framing::rtu;
    if (!target_.pcap.empty() && !pcap_) {
      auto created = PcapFile::create(target_.pcap, framing_);
      if (!created) return std::unexpected(created.error());
      pcap_ = std::move(*created);
    }
    const auto& frames = data["frames"];
    for (Json::ArrayIndex i = 0; i < frames.size(); ++i) {
      // What was received last may go on until something is sent.
      const bool may_grow = i + 1 == frames.size() && !frames[i]["sent"].asBool();
      if (may_grow && !last) break;
      if (auto shown = show(frames[i]); !shown) return shown;
    }
    return {};
  }
  std::uint64_t missed() const { return missed_; }

 private:
  Result<void> show(const Json::Value& frame) {
    const auto number = frame["number"].asUInt64();
    if (seen_ > 0) missed_ += number - seen_ - 1;
    seen_ = number;
    const auto bytes = bytes_from(frame["bytes"].asString());
    const bool sent = frame["sent"].asBool();
    const auto what = describe(framing_, sent, bytes);
    const auto at = frame["at"].asString();
    if (context_.format == Format::json) {
      Json::Value line = frame;
      line["says"] = what;
      print_json(line);
    } else {
      fmt::print("{} {} {}\n    {:02x}\n", clock_time(at), sent ? "->" : "<-", what, fmt::join(bytes, " "));
    }
    std::fflush(stdout);
    if (pcap_) return pcap_->add(parse_iso8601(at).value_or(Timestamp{}), sent, bytes);
    return {};
  }

  Context& context_;
  const BusTarget& target_;
  std::optional<PcapFile> pcap_;
  Framing framing_ = Framing::rtu;
  std::uint64_t seen_ = 0;
  std::uint64_t missed_ = 0;
};

}  // namespace

int trace_bus(Context& context, const BusTarget& target) {
  Tracing tracing(context, target);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{target.seconds};
  for (bool last = false; !last;) {
    last = std::chrono::steady_clock::now() >= end;
    if (const auto looked = tracing.look(last); !looked) return complain(looked.error());
    if (!last) poll(nullptr, 0, 200);
  }
  if (tracing.missed() > 0) fmt::print(stderr, "{} frames came too fast and are missing\n", tracing.missed());
  return 0;
}

}  // namespace wattd::cli
