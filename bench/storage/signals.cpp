#include "bench/storage/signals.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <stdexcept>

#include "telemetry/value.h"

namespace wattd::bench {
namespace {

using namespace std::chrono_literals;

Device device(const std::string& id) { return {.id = id, .name = id, .type = "meter", .version = 1}; }

double round_to(double value, double places) { return std::nearbyint(value * places) / places; }

class Bulb final : public Signals {
 public:
  Bulb(std::uint64_t seed, Timestamp start) : random_(seed), at_(start - 5s) {}
  std::vector<Device> devices() const override { return {device("D1")}; }
  std::chrono::microseconds interval() const override { return 5s; }
  void next(std::int64_t /*tick*/, std::vector<Reading>& readings) override {
    // sleep(5) wakes up late, and what it does in between takes time, too.
    at_ += 5s + std::chrono::microseconds{std::llround(gauss(260, 110))};
    const double voltage = 230 + gauss(0, 5);
    const double current = .85 + gauss(0, .05);
    const double power = voltage * current * std::uniform_real_distribution(.95, 1.0)(random_);
    const double temperature = 40 + (power - 195) * .05 + gauss(0, 2);
    readings.push_back({.device_id = "D1",
                        .at = at_,
                        .received = at_ + 1ms,
                        .device_version = 1,
                        .fields = {{"voltage", round_to(std::clamp(voltage, 200., 250.), 100)},
                                   {"current", round_to(std::clamp(current, 0., 2.), 100)},
                                   {"power", round_to(std::clamp(power, 0., 500.), 100)},
                                   {"temperature", round_to(std::clamp(temperature, 20., 80.), 100)}}});
  }

 private:
  double gauss(double mean, double deviation) { return std::normal_distribution(mean, deviation)(random_); }
  std::mt19937_64 random_;
  Timestamp at_;
};

/// Voltage in tenths, current in hundredths, power and temperature in tenths, energy in thousandths: walks that come
/// back to their middle.
class Meters final : public Signals {
 public:
  Meters(std::uint64_t seed, int count, bool floats, std::chrono::seconds interval, Timestamp start)
      : random_(seed), floats_(floats), interval_(interval), start_(start) {
    for (int i = 0; i < count; ++i) {
      ids_.push_back(fmt::format("meter-{:02}", i + 1));
      states_.push_back({2300, 900.0 + 50 * i, 19'000.0 + 900 * i, 310.0 + i, 1'234'567.0 + 10'000 * i});
    }
  }
  std::vector<Device> devices() const override {
    std::vector<Device> all;
    for (const auto& id : ids_) all.push_back(device(id));
    return all;
  }
  std::chrono::microseconds interval() const override { return interval_; }
  void next(std::int64_t tick, std::vector<Reading>& readings) override {
    for (std::size_t i = 0; i < ids_.size(); ++i) {
      auto& [voltage, current, power, temperature, energy] = states_[i];
      walk(voltage, 2300, 1.5);
      walk(current, 900.0 + 50 * static_cast<double>(i), 10);
      walk(power, 19'000 + 900 * static_cast<double>(i), 200);
      walk(temperature, 310, .5);
      energy += power / 10 / 3600 * static_cast<double>(interval_.count());
      const auto at = start_ + tick * interval_ + std::chrono::milliseconds{std::llround(gauss(3))};
      readings.push_back({.device_id = ids_[i],
                          .at = at,
                          .received = at + 2ms,
                          .device_version = 1,
                          .fields = {{"voltage_l1_n", said(voltage, 10)},
                                     {"current_l1", said(current, 100)},
                                     {"power_total", said(power, 10)},
                                     {"temperature_internal", said(temperature, 10)},
                                     {"energy_import_total", said(energy, 1000)}}});
    }
  }

 private:
  double gauss(double deviation) { return std::normal_distribution(0.0, deviation)(random_); }
  void walk(double& value, double middle, double step) {
    value = std::max(0.0, value + gauss(step) - (value - middle) * .0005);
  }
  double said(double value, double places) const {
    return floats_ ? shortest_double(static_cast<float>(value / places)) : std::nearbyint(value) / places;
  }

  struct State {
    double voltage, current, power, temperature, energy;
  };
  std::mt19937_64 random_;
  bool floats_;
  std::chrono::seconds interval_;
  Timestamp start_;
  std::vector<std::string> ids_;
  std::vector<State> states_;
};

/// A file of comma separated numbers with a line of names; the stamp is the line's number in hours.
class Household final : public Signals {
 public:
  Household(const std::string& file, Timestamp start) : start_(start) {
    const std::unique_ptr<gzFile_s, int (*)(gzFile)> in(gzopen(file.c_str(), "rb"), gzclose);
    if (!in) throw std::runtime_error(file + " cannot be read");
    std::array<char, 4096> line{};
    while (gzgets(in.get(), line.data(), line.size()) != nullptr) {
      std::vector<std::string> cells(1);
      for (const char* c = line.data(); *c != '\0' && *c != '\n' && *c != '\r'; ++c) {
        if (*c == ',') cells.emplace_back();
        else cells.back() += *c;
      }
      if (names_.empty()) names_ = cells;
      else rows_.push_back(cells);
    }
  }
  std::vector<Device> devices() const override { return {device("household")}; }
  std::chrono::microseconds interval() const override { return 10s; }
  void next(std::int64_t tick, std::vector<Reading>& readings) override {
    const auto at = start_ + tick * 10s;
    Reading reading{.device_id = "household", .at = at, .received = at, .device_version = 1, .fields = {}};
    const auto& row = rows_[static_cast<std::size_t>(tick) % rows_.size()];
    for (std::size_t i = 1; i < std::min(row.size(), names_.size()); ++i) {
      char* end = nullptr;
      const double value = std::strtod(row[i].c_str(), &end);
      if (!row[i].empty() && *end == '\0') reading.fields.push_back({names_[i], value});
    }
    readings.push_back(std::move(reading));
  }

 private:
  Timestamp start_;
  std::vector<std::string> names_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace

std::unique_ptr<Signals> make_signals(const std::string& name, std::uint64_t seed, const std::string& file,
                                      Timestamp start) {
  if (name == "d1_5s") return std::make_unique<Bulb>(seed, start);
  if (name == "meter_1s") return std::make_unique<Meters>(seed, 20, false, 1s, start);
  if (name == "meter_5s") return std::make_unique<Meters>(seed, 20, false, 5s, start);
  if (name == "float32_1s") return std::make_unique<Meters>(seed, 20, true, 1s, start);
  if (name == "series_1000") return std::make_unique<Meters>(seed, 200, false, 1s, start);
  if (name == "household") return std::make_unique<Household>(file, start);
  throw std::runtime_error("no signals are called " + name);
}

}  // namespace wattd::bench
