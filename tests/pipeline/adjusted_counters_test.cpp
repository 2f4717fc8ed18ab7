#include "pipeline/adjusted_counters.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace wattd::pipeline {
namespace {

using namespace std::chrono_literals;

constexpr auto kField = "energy_import_total";
constexpr auto kSum = "energy_import_total_adjusted";

/// A meter whose readings are stored, and a gateway that may be started anew.
struct Meter {
  CounterRules rules;
  std::vector<Reading> stored;
  Timestamp now = from_unix_us(1'770'463'560'000'000);
  std::unique_ptr<AdjustedCounters> counters = make();

  std::unique_ptr<AdjustedCounters> make() {
    return std::make_unique<AdjustedCounters>(
        [this](std::string_view, std::string_view field) {
          return SeriesFacts{field == kField ? kField : std::string(field), field == kField ? rules : CounterRules{}};
        },
        [this](const std::string&, const std::function<void(const Reading&)>& take) {
          for (const auto& reading : stored) take(reading);
        });
  }
  /// What the adjusted counter says of the next reading, a second later.
  const Field* read(double value, std::string serial = "", Quality quality = Quality::good) {
    now += 1s;
    Reading reading{.device_id = "M", .at = now, .quality = quality, .fields = {{"power_total", 1.0}, {kField, value}}};
    if (!serial.empty()) reading.fields.push_back({"device_serial", std::move(serial)});
    counters->add_to(reading);
    stored.push_back(reading);
    return stored.back().find(kSum);
  }
  double sum(double value, std::string serial = "") {
    const auto* field = read(value, std::move(serial));
    return field == nullptr ? -1 : std::get<double>(field->value);
  }
  void restart() { counters = make(); }
};

TEST(AdjustedCounters, begin_at_the_first_reading_and_rise_with_it) {
  Meter meter;
  EXPECT_EQ(meter.sum(100.25), 100.25);
  EXPECT_EQ(meter.sum(100.75), 100.75);
  EXPECT_EQ(meter.stored.back().find(kField)->value, Value(100.75));
}

TEST(AdjustedCounters, keep_the_old_value_while_a_digit_trembles) {
  Meter meter;
  meter.sum(100.25);
  const auto* field = meter.read(100.24);
  ASSERT_NE(field, nullptr);
  EXPECT_EQ(field->value, Value(100.25));
  EXPECT_EQ(field->quality, Quality::substituted);
  EXPECT_EQ(meter.sum(100.25), 100.25);
}

TEST(AdjustedCounters, say_nothing_of_a_blip_and_count_nothing_for_it) {
  Meter meter;
  meter.sum(100);
  EXPECT_EQ(meter.read(0), nullptr);
  EXPECT_EQ(meter.sum(100.5), 100.5);
}

TEST(AdjustedCounters, go_on_rising_over_a_reset) {
  Meter meter{.rules = {.most_an_hour = 7200}};
  meter.sum(1000);
  EXPECT_EQ(meter.read(0.5), nullptr);
  EXPECT_EQ(meter.read(1), nullptr);
  const auto* field = meter.read(1.5);
  ASSERT_NE(field, nullptr);
  EXPECT_EQ(field->value, Value(1001.5));
  EXPECT_EQ(field->quality, Quality::reset);
}

TEST(AdjustedCounters, go_on_rising_over_a_rollover) {
  Meter meter{.rules = {.modulus = 10000}};
  meter.sum(9999.5);
  const auto* field = meter.read(0.5);
  ASSERT_NE(field, nullptr);
  EXPECT_EQ(field->value, Value(10000.5));
  EXPECT_EQ(field->quality, Quality::rollover);
}

TEST(AdjustedCounters, begin_anew_at_once_where_the_serial_number_is_another) {
  Meter meter;
  meter.sum(5000, "A1");
  EXPECT_EQ(meter.sum(5001, "A1"), 5001);
  EXPECT_EQ(meter.sum(20000, "B7"), 5001) << "what another meter shows was not counted here";
  EXPECT_EQ(meter.stored.back().find(kField)->quality, Quality::reset);
  EXPECT_EQ(meter.sum(20001, "B7"), 5002);
}

TEST(AdjustedCounters, know_the_serial_number_of_before_a_restart) {
  Meter meter;
  meter.sum(5000, "A1");
  meter.restart();
  EXPECT_EQ(meter.sum(20000, "B7"), 5000);
}

TEST(AdjustedCounters, say_nothing_of_readings_that_come_late_or_by_an_untrusted_clock) {
  Meter meter;
  meter.sum(100);
  EXPECT_EQ(meter.read(101, "", Quality::clock_unsynced), nullptr);
  EXPECT_EQ(meter.sum(102), 102);
  Reading late{.device_id = "M", .at = meter.now - 1500ms, .fields = {{kField, 100.5}}};
  meter.counters->add_to(late);
  EXPECT_EQ(late.find(kSum), nullptr);
  EXPECT_EQ(meter.sum(103), 103);
}

TEST(AdjustedCounters, have_not_come_back_where_they_had_counted_past_it_before_a_restart) {
  // A drop that was believed, up beyond where it stood; then around, and a jump.
  Meter once{.rules = {.modulus = 1000, .most_an_hour = 3600.0 * 50}};
  Meter often{.rules = once.rules};
  for (const double value : {484.75, 884.75, 0.0, 888.64, 892.3, 900.0, 0.0, 400.0, 800.0, 801.0}) {
    often.restart();
    const auto *a = once.read(value), *b = often.read(value);
    ASSERT_EQ(a == nullptr, b == nullptr) << value;
    if (a != nullptr) {
      EXPECT_EQ(a->value, b->value) << value;
    }
  }
}

RC_GTEST_PROP(AdjustedCounters, say_the_same_whenever_the_gateway_is_started_anew, ()) {
  Meter once{.rules = {.modulus = 1000, .most_an_hour = 3600.0 * 50}};
  Meter often{.rules = once.rules};
  double value = *rc::gen::inRange(0, 100'000) / 100.0;
  for (int i = 0; i < 60; ++i) {
    const auto kind = *rc::gen::inRange(0, 10);
    double shown = value;
    if (kind < 5) shown = value += *rc::gen::inRange(0, 500) / 100.0;
    else if (kind == 5) shown = value - .01;
    else if (kind == 6) shown = 0;
    else if (kind == 7) shown = value = *rc::gen::inRange(0, 1000) / 100.0;
    else if (kind == 8) shown = value = value > 500 ? value - 500 : value + 400;
    if (*rc::gen::inRange(0, 4) == 0) often.restart();
    const auto* a = once.read(shown);
    const auto* b = often.read(shown);
    RC_ASSERT((a == nullptr) == (b == nullptr));
    if (a != nullptr) RC_ASSERT(a->value == b->value);
  }
}

RC_GTEST_PROP(AdjustedCounters, never_fall, ()) {
  Meter meter;
  double last = -1;
  for (int i = 0; i < 40; ++i) {
    const auto* field = meter.read(*rc::gen::inRange(0, 100'000) / 10.0);
    if (field == nullptr) continue;
    RC_ASSERT(std::get<double>(field->value) >= last);
    last = std::get<double>(field->value);
  }
}

}  // namespace
}  // namespace wattd::pipeline
