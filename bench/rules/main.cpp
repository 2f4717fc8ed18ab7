// How many threshold checks a second one core makes, and what windows take of memory. `rules evaluate` and `rules
// memory` print one number each.
#include <fmt/format.h>
#include <malloc.h>

#include <random>
#include <string>
#include <vector>

#include "rules/engine.h"

namespace {

using namespace wattd;
using namespace std::chrono_literals;

constexpr int kDevices = 200, kFields = 10;

Rule rule_on(int field, int number, ConditionKind kind, std::chrono::microseconds window) {
  Rule rule;
  rule.id = rule.name = fmt::format("{}-{}", field, number);
  rule.conditions = {
      {.kind = kind, .property = fmt::format("field_{}", field), .threshold = 1000.0 + number, .window = window}};
  return rule;
}

/// Ten fields with a little noise, far from every threshold.
Reading reading_of(int device, Timestamp at, std::minstd_rand& random) {
  Reading reading{.device_id = fmt::format("D{}", device), .at = at, .received = at};
  for (int f = 0; f < kFields; ++f)
    reading.fields.push_back({fmt::format("field_{}", f), 100 + static_cast<double>(random() % 1000) / 10});
  return reading;
}

rules::Engine engine_with(std::vector<Rule> rules, rules::Moment moment) {
  rules::Engine engine({.most_per_device = 1000});
  std::vector<Device> devices(kDevices);
  for (int d = 0; d < kDevices; ++d) devices[static_cast<std::size_t>(d)].id = fmt::format("D{}", d);
  engine.set_devices(std::move(devices), moment);
  engine.set_rules(std::move(rules), moment);
  return engine;
}

/// 50 rules for all of 200 devices, five on each of ten fields: a reading is 50 checks.
double checks_per_second() {
  const auto start = from_unix_us(1'770'463'560'000'000);
  std::vector<Rule> rules;
  for (int f = 0; f < kFields; ++f) {
    for (int n = 0; n < 5; ++n) rules.push_back(rule_on(f, n, ConditionKind::threshold, 0s));
  }
  auto engine = engine_with(std::move(rules), {start, Instant{1h}});
  std::minstd_rand random(7);
  std::vector<Reading> readings;
  for (int d = 0; d < kDevices; ++d) readings.push_back(reading_of(d, start, random));
  rules::Verdict verdict;
  const auto began = std::chrono::steady_clock::now();
  int rounds = 0;
  std::chrono::duration<double> took{};
  while (took < 2s) {
    const auto passed = 1s * ++rounds;
    for (auto& reading : readings) {
      reading.at = start + passed;
      engine.judge(reading, {reading.at, Instant{1h} + passed}, verdict);
    }
    took = std::chrono::steady_clock::now() - began;
  }
  return verdict.changed.empty() ? static_cast<double>(engine.evaluations()) / took.count() : 0;
}

/// 10,000 rules with windows of 15 minutes: five kinds on each of 2,000 series, fed once a second for twenty minutes.
double megabytes_of_windows() {
  const auto start = from_unix_us(1'770'463'560'000'000);
  const auto before = mallinfo2();
  std::vector<Rule> rules;
  for (int d = 0; d < kDevices; ++d) {
    for (int f = 0; f < kFields; ++f) {
      int number = 0;
      for (const auto kind : {ConditionKind::average, ConditionKind::minimum, ConditionKind::maximum,
                              ConditionKind::sum, ConditionKind::rate}) {
        auto rule = rule_on(f, number++, kind, 15min);
        rule.conditions[0].threshold = 1e9;
        rule.id = rule.name = fmt::format("{}-{}", d, rule.id);
        rule.scope = RuleScope::selected_devices;
        rule.device_ids = {fmt::format("D{}", d)};
        rules.push_back(std::move(rule));
      }
    }
  }
  auto engine = engine_with(std::move(rules), {start, Instant{1h}});
  std::minstd_rand random(7);
  rules::Verdict verdict;
  for (int second = 1; second <= 1200; ++second) {
    for (int d = 0; d < kDevices; ++d)
      engine.judge(reading_of(d, start + 1s * second, random), {start + 1s * second, Instant{1h} + 1s * second},
                   verdict);
  }
  const auto after = mallinfo2();
  const auto used = after.uordblks + after.hblkhd - before.uordblks - before.hblkhd;
  return verdict.changed.empty() ? static_cast<double>(used) / 1e6 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc == 2 ? argv[1] : "";
  if (what != "evaluate" && what != "memory") return 2;
  fmt::print("{:.6g}\n", what == "evaluate" ? checks_per_second() : megabytes_of_windows());
  return 0;
}
