#pragma once
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "telemetry/error.h"
#include "telemetry/time.h"

namespace wattd::drivers::gpio {

enum class Bias { as_is, none, pull_up, pull_down };

/// One line of a chip.
struct LineConfig {
  int offset = 0;
  bool active_low = false;
  Bias bias = Bias::as_is;
  bool is_output = false;
  bool operator==(const LineConfig&) const = default;
};

/// A line that has changed.
struct Edge {
  std::size_t line = 0;  ///< Which of those that were asked for.
  bool active = false;
  Instant at{};  ///< As the kernel has stamped it.
};

/// The lines of one chip. Threads: one, but set() any.
/// Errors of every call: retry; the chip is opened anew then.
class Lines {
 public:
  virtual ~Lines() = default;
  virtual Result<void> open() = 0;
  virtual Result<bool> value(std::size_t line) = 0;
  /// Edges of inputs in order of time, of each line by itself; none when none came until then.
  virtual Result<std::vector<Edge>> wait(Instant until) = 0;
  virtual Result<void> set(std::size_t line, bool active) = 0;
};

/// The kernel's. `chip` is a path, a name, a label or a number, as libgpiod finds it.
std::unique_ptr<Lines> kernel_lines(std::string chip, std::vector<LineConfig> lines);

}  // namespace wattd::drivers::gpio
