#include "drivers/gpio/lines.h"

#include <fmt/format.h>
#include <gpiod.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <span>

namespace wattd::drivers::gpio {
namespace {

using namespace std::chrono_literals;

constexpr auto* kConsumer = "wattd";

int flags_of(const LineConfig& line) {
  int flags = line.active_low ? GPIOD_LINE_REQUEST_FLAG_ACTIVE_LOW : 0;
  switch (line.bias) {
    case Bias::as_is: break;
    case Bias::none: flags |= GPIOD_LINE_REQUEST_FLAG_BIAS_DISABLE; break;
    case Bias::pull_up: flags |= GPIOD_LINE_REQUEST_FLAG_BIAS_PULL_UP; break;
    case Bias::pull_down: flags |= GPIOD_LINE_REQUEST_FLAG_BIAS_PULL_DOWN; break;
  }
  return flags;
}

class KernelLines final : public Lines {
 public:
  KernelLines(std::string chip, std::vector<LineConfig> lines) : chip_(std::move(chip)), config_(std::move(lines)) {}

  Result<void> open() override {
    const std::scoped_lock lock(mutex_);
    if (handle_) return {};
    lines_.clear();
    handle_.reset(::gpiod_chip_open_lookup(chip_.c_str()));
    if (!handle_) return failed("cannot be opened");
    for (const auto& config : config_) {
      auto* line = ::gpiod_chip_get_line(handle_.get(), static_cast<unsigned>(config.offset));
      if (line == nullptr) return failed(fmt::format("has no line {}", config.offset));
      const int taken = config.is_output
                            ? ::gpiod_line_request_output_flags(line, kConsumer, flags_of(config), 0)
                            : ::gpiod_line_request_both_edges_events_flags(line, kConsumer, flags_of(config));
      if (taken != 0) return failed(fmt::format("does not give line {}; does another program hold it?", config.offset));
      lines_.push_back(line);
    }
    return {};
  }

  Result<bool> value(std::size_t line) override {
    const std::scoped_lock lock(mutex_);
    const int value = handle_ ? ::gpiod_line_get_value(lines_[line]) : -1;
    if (value < 0) return std::unexpected(failed("cannot be read").error());
    return value == 1;
  }

  Result<std::vector<Edge>> wait(Instant until) override {
    std::vector<pollfd> inputs;
    std::vector<std::size_t> which;
    for (std::size_t i = 0; i < lines_.size(); ++i) {
      if (config_[i].is_output) continue;
      inputs.push_back({.fd = ::gpiod_line_event_get_fd(lines_[i]), .events = POLLIN, .revents = 0});
      which.push_back(i);
    }
    const auto patience = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    if (::poll(inputs.data(), inputs.size(), static_cast<int>(std::clamp<std::int64_t>(patience.count(), 0, 60'000))) <
        0)
      return errno == EINTR ? Result<std::vector<Edge>>{} : lost("cannot be waited for");
    std::vector<Edge> edges;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (inputs[i].revents == 0) continue;
      gpiod_line_event events[16];
      const int count = ::gpiod_line_event_read_multiple(lines_[which[i]], events, std::size(events));
      if (count < 0) return lost("cannot be read");
      for (const auto& event : std::span(events, static_cast<std::size_t>(count))) {
        const auto at = std::chrono::seconds{event.ts.tv_sec} + std::chrono::nanoseconds{event.ts.tv_nsec};
        edges.push_back({which[i], event.event_type == GPIOD_LINE_EVENT_RISING_EDGE, Instant{at}});
      }
    }
    return edges;
  }

  Result<void> set(std::size_t line, bool active) override {
    const std::scoped_lock lock(mutex_);
    if (handle_ && ::gpiod_line_set_value(lines_[line], active ? 1 : 0) == 0) return {};
    // Its lines are waited for on another thread, which opens it anew: closing it here would take them from under it.
    return fail(ErrorKind::retry, fmt::format("GPIO chip {} cannot be written: {}", chip_, std::strerror(errno)));
  }

 private:
  struct Close {
    void operator()(gpiod_chip* chip) const { ::gpiod_chip_close(chip); }
  };

  std::unexpected<Error> lost(std::string_view what) {
    const std::scoped_lock lock(mutex_);
    return std::unexpected(failed(what).error());
  }

  /// To be called under mutex_.
  Result<void> failed(std::string_view what) {
    const auto message = fmt::format("GPIO chip {} {}: {}", chip_, what, std::strerror(errno));
    handle_.reset();  // closes its lines, too
    return fail(ErrorKind::retry, message);
  }

  const std::string chip_;
  const std::vector<LineConfig> config_;
  std::mutex mutex_;
  std::unique_ptr<gpiod_chip, Close> handle_;  ///< Guarded by mutex_.
  std::vector<gpiod_line*> lines_;             ///< Changed by open() alone.
};

}  // namespace

std::unique_ptr<Lines> kernel_lines(std::string chip, std::vector<LineConfig> lines) {
  return std::make_unique<KernelLines>(std::move(chip), std::move(lines));
}

}  // namespace wattd::drivers::gpio
