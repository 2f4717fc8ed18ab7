#include "drivers/modbus/trace.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace wattd::drivers::modbus {
namespace {

using namespace std::chrono_literals;

constexpr auto kWanted = 10s;
constexpr std::size_t kMostFrames = 2000;
constexpr std::size_t kMostBytes = 1024;  // of one frame; the longest of Modbus have 260
constexpr std::size_t kHeader = 7;        // of Modbus TCP: transaction, protocol, length, unit

class TracedPort final : public Port {
 public:
  TracedPort(std::unique_ptr<Port> port, std::shared_ptr<Trace> trace, const Clock& clock)
      : port_(std::move(port)), trace_(std::move(trace)), clock_(clock) {}

  Result<bool> open() override { return port_->open(); }
  void close() override { port_->close(); }
  Result<void> write(std::span<const std::uint8_t> bytes) override {
    trace_->note(true, bytes, clock_.now(), clock_.monotonic());
    return port_->write(bytes);
  }
  Result<std::vector<std::uint8_t>> read(Instant until) override {
    auto bytes = port_->read(until);
    if (bytes && !bytes->empty()) trace_->note(false, *bytes, clock_.now(), clock_.monotonic());
    return bytes;
  }
  void rest(Instant until) override { port_->rest(until); }

 private:
  std::unique_ptr<Port> port_;
  std::shared_ptr<Trace> trace_;
  const Clock& clock_;
};

int word_at(std::span<const std::uint8_t> bytes, std::size_t at) { return bytes[at] << 8 | bytes[at + 1]; }

/// Unit and what follows it, without header and checksum.
std::string describe_pdu(bool sent, std::span<const std::uint8_t> pdu) {
  const int unit = pdu[0], function = pdu[1];
  if (sent && pdu.size() == 6)
    return fmt::format("unit {}: read {} {} registers from {}", unit, word_at(pdu, 4),
                       function == 3   ? "holding"
                       : function == 4 ? "input"
                                       : fmt::format("(function {})", function),
                       word_at(pdu, 2));
  if ((function & 0x80) != 0 && pdu.size() == 3)
    return fmt::format("unit {}: exception {} to function {}", unit, pdu[2], function & 0x7F);
  if (pdu.size() < 3 || pdu.size() != 3u + pdu[2]) return fmt::format("unit {}: function {}, broken", unit, function);
  std::vector<std::string> words;
  for (std::size_t at = 3; at + 1 < pdu.size(); at += 2) words.push_back(fmt::format("{:04x}", word_at(pdu, at)));
  return fmt::format("unit {}: {}", unit, fmt::join(words, " "));
}

std::string describe_tcp(bool sent, std::span<const std::uint8_t> bytes) {
  std::vector<std::string> all;
  while (!bytes.empty()) {
    const auto length = bytes.size() < kHeader + 1 ? 0u : 6u + static_cast<unsigned>(word_at(bytes, 4));
    if (length < kHeader + 1 || length > bytes.size()) {
      all.push_back(fmt::format("{} bytes that are no frame", bytes.size()));
      break;
    }
    all.push_back(fmt::format("#{} {}", word_at(bytes, 0), describe_pdu(sent, bytes.subspan(6, length - 6))));
    bytes = bytes.subspan(length);
  }
  return fmt::format("{}", fmt::join(all, "; "));
}

}  // namespace

std::vector<TracedFrame> Trace::since(std::uint64_t number, Instant now) {
  wanted_until_ = (now + kWanted).time_since_epoch().count();
  const std::scoped_lock lock(mutex_);
  std::vector<TracedFrame> found;
  for (const auto& frame : frames_) {
    if (frame.number > number) found.push_back(frame);
  }
  return found;
}

void Trace::note(bool sent, std::span<const std::uint8_t> bytes, Timestamp at, Instant now) {
  if (now.time_since_epoch().count() > wanted_until_.load(std::memory_order_relaxed)) {
    if (wanted_until_.exchange(0) == 0) return;
    const std::scoped_lock lock(mutex_);
    frames_.clear();
    return;
  }
  const std::scoped_lock lock(mutex_);
  const bool goes_on = !sent && !frames_.empty() && !frames_.back().sent;
  if (!goes_on || frames_.back().bytes.size() + bytes.size() > kMostBytes) {
    frames_.push_back({.number = ++last_, .at = at, .sent = sent, .bytes = {}});
    if (frames_.size() > kMostFrames) frames_.pop_front();
  }
  auto& kept = frames_.back().bytes;
  kept.insert(kept.end(), bytes.begin(), bytes.end());
}

std::unique_ptr<Port> traced(std::unique_ptr<Port> port, std::shared_ptr<Trace> trace, const Clock& clock) {
  return std::make_unique<TracedPort>(std::move(port), std::move(trace), clock);
}

std::string describe(Framing framing, bool sent, std::span<const std::uint8_t> bytes) {
  if (framing == Framing::tcp) return describe_tcp(sent, bytes);
  if (bytes.size() < 4) return fmt::format("{} bytes that are no frame", bytes.size());
  const auto body = bytes.first(bytes.size() - 2);
  if (crc16(body) != (bytes[bytes.size() - 1] << 8 | bytes[bytes.size() - 2]))
    return fmt::format("{} bytes with a wrong checksum", bytes.size());
  return describe_pdu(sent, body);
}

}  // namespace wattd::drivers::modbus
