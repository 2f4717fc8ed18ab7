#include "pipeline/pipeline.h"

#include <fmt/format.h>

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "storage/history.h"
#include "storage/reader.h"

namespace wattd::pipeline {
namespace {

using namespace std::chrono_literals;

struct PipelineTest : testing::Test {
  PipelineTest() { start({}); }
  ~PipelineTest() override { std::filesystem::remove_all(directory); }

  void start(RegistryConfig config, std::vector<Rule> rules = {}) {
    pipeline.reset();
    registry.reset();
    store = std::make_unique<storage::Store>(storage::Options{.directory = directory});
    ASSERT_TRUE(store->provision_rules(rules, clock.now()));
    registry = std::make_unique<Registry>(std::move(config), store->devices(), clock.now());
    pipeline = std::make_unique<Pipeline>(Options{}, *store, *registry, clock);
  }

  static RegistryConfig with_bulb() {
    return {.devices = {{.id = "D1",
                         .name = "Bulb",
                         .type = "bulb",
                         .location = "Plant-A",
                         .enrichment = EnrichmentStatus::success}}};
  }

  Message message(std::string payload, std::uint16_t packet_id = 0, std::uint32_t epoch = 1,
                  std::string device = "D1") {
    return {.source = "mqtt",
            .topic = "devices/" + device + "/telemetry",
            .payload = std::move(payload),
            .received = clock.now(),
            .packet_id = packet_id,
            .epoch = epoch};
  }
  std::string bulb(double temperature = 45.2, double voltage = 230.5) {
    return fmt::format(
        R"({{"device_id":"D1","timestamp":"{}","voltage":{},"current":0.85,"power":195.9,"temperature":{}}})",
        format_iso8601(clock.now()), voltage, temperature);
  }
  /// Totals of what cannot be asked for again.
  struct Pulses final : Tally {
    std::vector<Reading> take() noexcept override { return std::exchange(due, {}); }
    std::vector<Reading> due;
  };
  void give(Message one) { pipeline->put(std::vector{std::move(one)}); }
  /// Lets the commit interval pass.
  void settle() {
    pipeline->step(clock.monotonic());
    clock.advance(1s);
    pipeline->step(clock.monotonic());
  }
  std::vector<storage::StoredDeadLetter> letters() {
    return *storage::Reader(store->path()).dead_letters(100, INT64_MAX);
  }
  std::vector<Reading> stored(const std::string& device = "D1") {
    return *storage::Reader(store->path()).readings(device, {}, {clock.now() - 24h, clock.now() + 24h}, 1000);
  }

  std::string directory =
      (std::filesystem::temp_directory_path() / ("wattd-pipeline-" + std::to_string(getpid()))).string();
  FakeClock clock;
  std::unique_ptr<storage::Store> store;
  std::unique_ptr<Registry> registry;
  std::unique_ptr<Pipeline> pipeline;
};

TEST_F(PipelineTest, holds_what_an_untrusted_clock_stamps_and_puts_it_right_later) {
  clock.boot_untrusted("boot", from_unix_us(5'000'000));
  const auto untrusted = [&](const char* payload) {
    auto made = message(payload);
    made.received_quality = clock.stamp().quality;
    return made;
  };
  give(untrusted(R"({"device_id":"D1","power":1})"));
  // The device's own stamp is far ahead of our clock, and right; another's is older than the program.
  give(untrusted(R"({"device_id":"D1","timestamp":"2035-02-07T12:00:00Z","power":2})"));
  give(untrusted(R"({"device_id":"D1","timestamp":"1999-02-07T12:00:00Z","power":3})"));
  settle();
  EXPECT_EQ(pipeline->counts().committed.load(), 2u);
  EXPECT_EQ(letters().size(), 1u);
  const TimeRange always{Timestamp{}, from_unix_us(INT64_C(8'000'000'000'000'000))};
  const auto all = [&] { return *storage::Reader(store->path()).range({"D1", "power"}, always, 10); };
  ASSERT_EQ(all().size(), 1u);
  EXPECT_EQ(all()[0].value, Value(std::int64_t{2}));
  const auto wrong_by = std::chrono::seconds{1'770'463'560};
  clock.trust(wrong_by);
  settle();
  settle();
  ASSERT_EQ(all().size(), 2u);
  EXPECT_EQ(all()[0].at, from_unix_us(5'000'000) + wrong_by);
  EXPECT_EQ(all()[0].quality, Quality::good);
}

TEST_F(PipelineTest, commits_at_the_interval_and_not_before) {
  give(message(bulb()));
  pipeline->step(clock.monotonic());
  EXPECT_EQ(pipeline->committed(), 0u);
  clock.advance(999ms);
  pipeline->step(clock.monotonic());
  EXPECT_EQ(pipeline->committed(), 0u);
  clock.advance(1ms);
  pipeline->step(clock.monotonic());
  EXPECT_EQ(pipeline->committed(), 1u);
  EXPECT_EQ(stored().size(), 1u);
  EXPECT_EQ(pipeline->backlog(), 0u);
}

TEST_F(PipelineTest, commits_at_once_when_a_source_waits) {
  std::jthread worker([this](const std::stop_token& stop) { pipeline->run(stop); });
  const auto ticket = pipeline->put(std::vector{message(bulb())});
  EXPECT_TRUE(pipeline->commit_through(ticket, 5s));
  EXPECT_GE(pipeline->committed(), ticket);
}

TEST_F(PipelineTest, gives_a_new_device_a_record_and_stores_every_field) {
  give(message(R"({"device_id":"X9","strange":{"deep":[1,"two"]},"on":true})", 0, 1, "X9"));
  settle();
  const auto readings = stored("X9");
  ASSERT_EQ(readings.size(), 1u);
  EXPECT_EQ(readings[0].fields.size(), 3u);
  const auto devices = store->devices();
  ASSERT_EQ(devices.size(), 1u);
  EXPECT_EQ(devices[0].tenant, "default");
  EXPECT_EQ(devices[0].enrichment, EnrichmentStatus::skipped);
}

TEST_F(PipelineTest, keeps_what_it_refuses_with_the_reason) {
  start(with_bulb());
  give(message("{not json"));
  give(message(bulb(45.2, 251.3)));
  give(message(R"({"device_id":"D2","timestamp":1,"power":1})"));
  give(message(R"({"device_id":"D1","power":1})"));
  clock.step_wall(-1h);
  auto ahead = message(bulb());
  ahead.payload =
      fmt::format(R"({{"device_id":"D1","timestamp":"{}","voltage":230,"current":1,"power":1,"temperature":40}})",
                  format_iso8601(clock.now() + 6min));
  give(ahead);
  ahead.payload.replace(ahead.payload.find("20", 30), 4, "2019");
  give(ahead);
  settle();
  const auto refused = letters();
  ASSERT_EQ(refused.size(), 6u);
  EXPECT_EQ(refused[5].reason, "parse_error");
  EXPECT_EQ(refused[4].letter.detail, "voltage is 251.3; expected 200 to 250 V");
  EXPECT_EQ(refused[3].letter.detail, "device_id is \"D2\"; expected \"D1\" as in the topic");
  EXPECT_EQ(refused[2].letter.detail, "timestamp is missing");
  EXPECT_EQ(refused[1].reason, "timestamp_error");
  EXPECT_NE(refused[1].letter.detail.find("6 min ahead"), std::string::npos) << refused[1].letter.detail;
  EXPECT_EQ(refused[0].reason, "timestamp_error");
  EXPECT_NE(refused[0].letter.detail.find("older than the raw retention of 90 d"), std::string::npos)
      << refused[0].letter.detail;
  EXPECT_EQ(pipeline->counts().rejected, 6u);
}

TEST_F(PipelineTest, keeps_a_fields_name_and_notes_its_measurand_beside_it) {
  start(with_bulb());
  give(message(bulb()));
  pipeline->put(Reading{
      .device_id = "M1", .at = clock.now(), .received = clock.now(), .fields = {{"power_total", 1.0}, {"mood", 2.0}}});
  settle();
  storage::Reader reader(store->path());
  const auto series = *reader.series_of("D1");
  ASSERT_EQ(series.size(), 4u);
  EXPECT_EQ(series[0].field, "voltage");
  EXPECT_EQ(series[0].measurand, "voltage_l1_n");
  EXPECT_EQ(series[0].unit, "V");
  EXPECT_EQ(reader.series_of("M1")->at(0).unit, "W");
  EXPECT_EQ(reader.series_of("M1")->at(1).measurand, "");
}

TEST_F(PipelineTest, does_not_bring_a_deleted_device_back) {
  start(with_bulb());
  settle();
  auto devices = store->devices();
  devices[0].deleted_at = clock.now();
  storage::Group group;
  group.devices = devices;
  ASSERT_TRUE(store->commit(group));
  start(with_bulb());
  give(message(bulb()));
  settle();
  ASSERT_EQ(letters().size(), 1u);
  EXPECT_EQ(letters()[0].reason, "device_error");
  EXPECT_TRUE(store->devices()[0].deleted_at);
}

TEST_F(PipelineTest, drops_a_redelivery_after_a_reconnect_and_only_then) {
  const auto payload = R"({"power":1})";  // no stamp of its own: stored again it would be a second reading
  give(message(payload, 7, 1));
  clock.advance(10ms);
  give(message(payload, 8, 1));
  settle();
  clock.advance(1s);
  give(message(payload, 8, 2));
  clock.advance(10ms);
  give(message(payload, 9, 2));
  settle();
  EXPECT_EQ(stored().size(), 3u);
  EXPECT_EQ(pipeline->counts().redelivered, 1u);
}

TEST_F(PipelineTest, takes_what_comes_in_a_new_session_whatever_its_packet_ids) {
  for (std::uint16_t id = 1; id <= 5; ++id) {
    clock.advance(10ms);
    give(message(R"({"power":1})", id, 1));
  }
  settle();
  for (std::uint16_t id = 1; id <= 5; ++id) {
    clock.advance(10ms);
    auto fresh = message(R"({"power":1})", id, 2);
    fresh.resumed = false;
    give(fresh);
  }
  settle();
  EXPECT_EQ(stored().size(), 10u) << "a broker that lost its sessions numbers packets from 1 again";
  start({});
  clock.advance(10ms);
  give(message(R"({"power":1})", 6, 3));
  settle();
  EXPECT_EQ(stored().size(), 11u);
  EXPECT_EQ(pipeline->counts().redelivered, 0u);
}

TEST_F(PipelineTest, gives_no_device_to_a_message_it_refuses_and_no_room_to_invented_fields) {
  give(message("{\"device_id\":\"GHOST\"}", 0, 1, "GHOST"));
  for (int i = 0; i < 3; ++i) {
    std::string payload = "{\"x\":1";
    for (int j = 0; j < 600; ++j) payload += fmt::format(",\"f{}_{}\":1", i, j);
    give(message(payload + "}"));
  }
  settle();
  EXPECT_EQ(store->devices().size(), 1u);
  EXPECT_EQ(letters().size(), 3u);
  EXPECT_NE(letters().at(0).letter.detail.find("at most 1000 are kept"), std::string::npos)
      << letters().at(0).letter.detail;
}

TEST_F(PipelineTest, keeps_only_the_beginning_of_a_payload_that_is_far_too_long) {
  give(message("{\"a\":\"" + std::string(2 << 20, 'x') + "\"}"));
  settle();
  ASSERT_EQ(letters().size(), 1u);
  EXPECT_EQ(letters()[0].letter.message.payload.size(), 4096u);
}

TEST_F(PipelineTest, drops_a_redelivery_after_its_own_restart) {
  give(message(R"({"power":1})", 7, 1));
  settle();
  start({});
  clock.advance(1s);
  give(message(R"({"power":1})", 7, 1));
  settle();
  EXPECT_EQ(stored().size(), 1u);
}

TEST_F(PipelineTest, raises_an_alert_in_the_transaction_of_its_reading_and_at_once) {
  start(with_bulb(), {{.id = "r1",
                       .name = "Bulb Overheat",
                       .conditions = {{.property = "temperature", .threshold = 50}},
                       .origin = "f:1"}});
  give(message(bulb(65)));
  pipeline->step(clock.monotonic());
  EXPECT_EQ(pipeline->committed(), 1u) << "an alert does not wait for the interval";
  const auto alerts = *storage::Reader(store->path()).alerts("open", "D1", 10);
  ASSERT_EQ(alerts.size(), 1u);
  EXPECT_EQ(alerts[0].actual_value, 65);
  EXPECT_EQ(store->rules()[0].last_triggered_at, alerts[0].created_at);
  EXPECT_EQ(pipeline->counts().active_alerts[static_cast<int>(Severity::medium)], 1);
}

TEST_F(PipelineTest, replays_a_dead_letter_once_its_schema_is_mended) {
  start(with_bulb());
  give(message(bulb(45.2, 251.3)));
  settle();
  const auto letter = letters().at(0);
  pipeline->replay(letter.id, letter.letter.message);
  settle();
  EXPECT_FALSE(letters().at(0).replayed_at) << "it is still refused";
  EXPECT_EQ(letters().size(), 1u) << "and does not become a second dead letter";
  auto mended = with_bulb();
  mended.schemas.push_back({.device_type = "bulb", .version = "v2"});
  registry->configure(mended, clock.now());
  pipeline->replay(letter.id, letter.letter.message);
  settle();
  EXPECT_TRUE(letters().at(0).replayed_at);
  ASSERT_EQ(stored().size(), 1u);
  EXPECT_EQ(stored()[0].at, letter.letter.message.received);
}

TEST_F(PipelineTest, says_when_it_is_full) {
  EXPECT_TRUE(pipeline->has_room());
  for (std::size_t i = 0; i < Options{}.intake_capacity; ++i)
    pipeline->put(Reading{.device_id = "D1", .at = clock.now(), .fields = {{"p", 1.0}}});
  EXPECT_FALSE(pipeline->has_room());
  for (int i = 0; i < 5; ++i) settle();
  EXPECT_TRUE(pipeline->has_room());
}

TEST_F(PipelineTest, totals_are_part_of_a_commit_that_was_asked_for_and_of_every_other) {
  Pulses pulses;
  pipeline->set_tally(&pulses);
  const auto total = [&](double kwh) {
    pulses.due = {
        {.device_id = "S0", .at = clock.now(), .received = clock.now(), .fields = {{"energy_import_total", kwh}}}};
  };
  total(1);
  pipeline->expect_commit();
  settle();
  EXPECT_EQ(pipeline->counts().committed, 1u);
  total(2);
  give(message(R"({"n": 1})", 0, 1, "X"));
  settle();
  EXPECT_EQ(pipeline->counts().committed, 3u);
  storage::Reader reader(store->path());
  const auto stored = reader.range({"S0", "energy_import_total_adjusted"}, storage::kAlways, 10);
  ASSERT_TRUE(stored);
  ASSERT_EQ(stored->size(), 2u);
  EXPECT_EQ(stored->back().value, Value(2.0));
  pipeline->set_tally(nullptr);
}

TEST_F(PipelineTest, adjusted_counters_go_on_over_a_restart) {
  const auto say = [&](double kwh) {
    give(message(fmt::format(R"({{"energy_import_total": {}}})", kwh), 0, 1, "M"));
    settle();
  };
  say(100);
  say(0);  // a reset that is not believed yet
  start({});
  say(1);
  say(2);
  start({});
  say(3);
  storage::Reader reader(store->path());
  const auto stored = reader.range({"M", "energy_import_total_adjusted"}, storage::kAlways, 10);
  ASSERT_TRUE(stored);
  std::vector<Value> values;
  for (const auto& sample : *stored) values.push_back(sample.value);
  EXPECT_EQ(values, (std::vector<Value>{100.0, 102.0, 103.0}));
}

TEST_F(PipelineTest, a_counter_of_a_device_type_is_adjusted_from_the_first_reading_of_a_new_device) {
  start({.default_type = "heat",
         .schemas = {{.device_type = "heat", .fields = {{.name = "kwh", .measurand = "energy_import_total"}}}}});
  give(message(R"({"kwh": 5})", 0, 1, "H"));
  settle();
  storage::Reader reader(store->path());
  const auto stored = reader.range({"H", "kwh_adjusted"}, storage::kAlways, 10);
  ASSERT_TRUE(stored);
  EXPECT_EQ(stored->size(), 1u);
}

}  // namespace
}  // namespace wattd::pipeline
