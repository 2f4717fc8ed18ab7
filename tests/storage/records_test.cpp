// Devices, alerts and dead letters in the order of their changes, as sinks get them.
#include "tests/storage/store_fixture.h"

namespace wattd::storage {
namespace {

struct RecordsTest : StoreFixture {
  /// What has changed behind `after`: device ids.
  std::vector<std::string> changed(RecordKind kind, std::uint64_t after, std::uint64_t* end = nullptr) {
    Reader reader(store->path());
    const auto batch = reader.records_after(kind, after, UINT64_MAX, 100);
    EXPECT_TRUE(batch);
    std::vector<std::string> ids;
    for (const auto& rows : batch->parts) ids.push_back(rows.device_id);
    if (end != nullptr) *end = batch->end.seq;
    return ids;
  }
  void put(const Device& device) {
    Group group;
    group.devices = {device};
    ASSERT_TRUE(store->commit(group));
  }
};

TEST_F(RecordsTest, a_device_moves_to_the_end_when_it_changes_and_only_then) {
  const Device one{.id = "D1", .name = "One", .type = "bulb", .version = 1};
  const Device two{.id = "D2", .name = "Two", .type = "bulb", .version = 1};
  put(one), put(two);
  std::uint64_t end = 0;
  EXPECT_EQ(changed(RecordKind::devices, 0, &end), (std::vector<std::string>{"D1", "D2"}));
  put(one);
  EXPECT_EQ(changed(RecordKind::devices, end), std::vector<std::string>{});
  auto renamed = one;
  renamed.name = "Uno";
  put(renamed);
  EXPECT_EQ(changed(RecordKind::devices, end), std::vector<std::string>{"D1"});
  EXPECT_EQ(changed(RecordKind::devices, 0, &end), (std::vector<std::string>{"D2", "D1"}));
  Reader reader(store->path());
  EXPECT_EQ(*reader.last_record(RecordKind::devices), end);
  EXPECT_EQ(*reader.records_between(RecordKind::devices, 0, end), 2u);
}

TEST_F(RecordsTest, an_alert_comes_again_with_each_change) {
  Changes changes;
  changes.rules = {{.id = "r1", .name = "Hot", .conditions = {{.property = "power"}}}};
  Alert alert{.id = "a1", .rule_id = "r1", .device_id = "D1", .message = "hot", .created_at = kNoon};
  changes.alerts = {alert};
  ASSERT_TRUE(store->put(changes));
  std::uint64_t end = 0;
  EXPECT_EQ(changed(RecordKind::alerts, 0, &end), std::vector<std::string>{"D1"});
  EXPECT_EQ(changed(RecordKind::alerts, end), std::vector<std::string>{});
  alert.status = AlertStatus::resolved;
  alert.resolved_at = kNoon + 1min;
  changes = {};
  changes.alerts = {alert};
  ASSERT_TRUE(store->put(changes));
  Reader reader(store->path());
  const auto batch = reader.records_after(RecordKind::alerts, end, UINT64_MAX, 100);
  ASSERT_EQ(batch->parts.size(), 1u);
  const auto record = batch->parts[0].reading(0);
  EXPECT_EQ(record.at, kNoon);
  EXPECT_EQ(record.find("status")->value, Value("resolved"));
  EXPECT_EQ(record.find("resolved_at")->value, Value("2026-02-07T12:01:00Z"));
}

TEST_F(RecordsTest, a_job_of_a_model_comes_with_its_results) {
  store.reset();
  {
    Database database(directory + "/wattd.db", Database::Mode::writer);
    database.execute(
        "INSERT INTO analytics_jobs (id, job_id, device_id, analysis_type, model_name, date_range_start, "
        "date_range_end, status, created_at, updated_at) VALUES ('u', 'job-1', 'D1', 'forecast', 'ets', 1, 2, "
        "'running', 1770465600000000, 3)");
    database.execute("UPDATE analytics_jobs SET status='completed', results='{\"a\":1}', progress=100");
  }
  open();
  Reader reader(store->path());
  const auto batch = reader.records_after(RecordKind::analytics, 0, UINT64_MAX, 10);
  ASSERT_EQ(batch->parts.size(), 1u);
  const auto record = batch->parts[0].reading(0);
  EXPECT_EQ(record.at, kNoon);
  EXPECT_EQ(record.find("status")->value, Value("completed"));
  EXPECT_EQ(record.find("results")->value, Value("{\"a\":1}"));
  EXPECT_EQ(record.find("progress")->value, Value(100.0));
}

TEST_F(RecordsTest, refused_messages_are_counted_when_they_are_gone) {
  Group group;
  for (int i = 0; i < 30; ++i)
    group.dead_letters.push_back({{.source = "mqtt", .topic = "t", .payload = std::string(100, 'x'), .received = kNoon},
                                  Rejection::parse_error,
                                  "no JSON"});
  ASSERT_TRUE(store->commit(group));
  Reader reader(store->path());
  EXPECT_LT(reader.dead_letters(100, INT64_MAX)->size(), 30u);  // its budget is small
  const auto batch = reader.records_after(RecordKind::dead_letters, 0, UINT64_MAX, 100);
  ASSERT_EQ(batch->parts.size(), 1u);
  const auto record = batch->parts[0].reading(0);
  EXPECT_EQ(record.at, std::chrono::floor<std::chrono::days>(kNoon));
  EXPECT_EQ(record.find("letters")->value, Value(30.0));
  EXPECT_EQ(record.find("reason")->value, Value("parse_error"));
}

}  // namespace
}  // namespace wattd::storage
