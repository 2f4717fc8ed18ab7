#include "storage/vault.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "storage/care.h"
#include "storage/reader.h"
#include "storage/resealing.h"
#include "storage/store.h"
#include "storage/texts.h"

namespace wattd::storage {
namespace {

using namespace std::chrono_literals;

const Timestamp kNoon = from_unix_us(1'770'465'600'000'000);
const std::string kOld(64, '1');
const std::string kNew = std::string(62, '2') + "aF";

Vault vault_of(const std::string& text) { return Vault::parse(text).value(); }
Vault::Bytes bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

TEST(Vault, opens_what_it_sealed_at_its_place_alone) {
  const auto vault = vault_of(kNew);
  const Vault::Place place{Vault::Kind::segment, 7};
  for (const std::string_view text : {"", "x", "a kilowatt-hour"}) {
    const auto sealed = vault.seal(place, bytes_of(text));
    EXPECT_EQ(sealed.size(), text.size() + 34);
    EXPECT_EQ(sealed_by(sealed), vault.current());
    EXPECT_EQ(vault.open(place, sealed), bytes_of(text));
    EXPECT_TRUE(vault.open({Vault::Kind::segment, 8}, sealed).empty());
    EXPECT_TRUE(vault.open({Vault::Kind::held, 7}, sealed).empty());
    EXPECT_TRUE(vault.open({Vault::Kind::segment, 7, 1}, sealed).empty());
    EXPECT_NE(vault.seal(place, bytes_of(text)), sealed) << "every seal has a nonce of its own";
  }
}

TEST(Vault, opens_the_worked_example_that_another_implementation_sealed) {
  const Vault::Bytes sealed{0xE5, 0x01, 0x02, 0xD4, 0x49, 0xA3, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05,
                            0x06, 0x07, 0x08, 0x09, 0x0A, 0x0B, 0x6B, 0xDA, 0x74, 0xD0, 0x2B, 0x23,
                            0x66, 0xB2, 0xA7, 0x01, 0xB6, 0x2D, 0x72, 0x7D, 0x3E, 0x9D, 0xFF};
  EXPECT_EQ(vault_of(kOld).open({Vault::Kind::segment, 7}, sealed), bytes_of("x"));
}

TEST(Vault, refuses_any_byte_that_was_changed) {
  const auto vault = vault_of(kNew);
  const Vault::Place place{Vault::Kind::body, 1, 2};
  const auto sealed = vault.seal(place, bytes_of("230.4 V"));
  for (std::size_t i = 2; i < sealed.size(); ++i) {
    auto changed = sealed;
    changed[i] ^= 0x10;
    EXPECT_TRUE(vault.open(place, changed).empty()) << i;
  }
}

TEST(Vault, opens_with_older_keys_and_seals_with_the_newest) {
  const auto before = vault_of(kOld);
  const auto after = vault_of(kNew + "\n" + kOld + "\r\n");
  const Vault::Place place{Vault::Kind::letter, 1};
  const auto sealed = before.seal(place, bytes_of("x"));
  EXPECT_EQ(after.open(place, sealed), bytes_of("x"));
  EXPECT_NE(after.current(), before.current());
  EXPECT_TRUE(vault_of(kNew).open(place, sealed).empty());
  EXPECT_TRUE(Vault{}.open(place, sealed).empty());
}

TEST(Vault, leaves_everything_plain_without_a_key) {
  const Vault none;
  EXPECT_FALSE(none.seals());
  EXPECT_EQ(none.seal({Vault::Kind::body}, bytes_of("x")), bytes_of("x"));
  EXPECT_EQ(vault_of(kNew).open({Vault::Kind::body}, bytes_of("x")), bytes_of("x"));
}

TEST(Vault, says_which_line_is_no_key_and_never_shows_one) {
  for (const auto& text : {std::string(63, '1'), std::string(65, '1'), std::string(63, '1') + "g"}) {
    const auto parsed = Vault::parse("\n" + text);
    ASSERT_FALSE(parsed);
    EXPECT_NE(parsed.error().message.find("line 2 is no key"), std::string::npos);
    EXPECT_EQ(parsed.error().message.find("1111"), std::string::npos);
  }
  EXPECT_FALSE(Vault::parse(kOld + "\n" + kOld));
}

struct SealedTest : testing::Test {
  ~SealedTest() override { std::filesystem::remove_all(directory); }

  void open(Vault vault) {
    store.reset();
    store = std::make_unique<Store>(
        Options{.directory = directory, .ballast_bytes = 0, .backups = 0, .vault = std::move(vault)});
    const auto facts = [](std::string_view, std::string_view field) {
      return SeriesFacts{.measurand = field == "energy" ? "energy_import_total" : ""};
    };
    ASSERT_TRUE(store->describe_series(facts));
  }
  void settle(Timestamp now) {
    while (true) {
      const auto more = store->maintain(now);
      ASSERT_TRUE(more) << more.error().message;
      if (!*more) return;
    }
  }
  /// Some hours of a counter and a text, a correction, and a message that was refused.
  void fill(Timestamp from) {
    Group group{.devices = {{.id = "D1", .name = "D1", .type = "meter", .version = 1}}};
    for (int i = 0; i < 300; ++i) {
      const auto at = from + i * 1min;
      group.readings.push_back({.device_id = "D1",
                                .at = at,
                                .received = at,
                                .device_version = 1,
                                .fields = {{"energy", 1000 + i * 0.1}, {"state", std::string("SECRETSTATE")}}});
    }
    group.readings.push_back(group.readings.back());
    group.readings.back().fields[1].value = std::string("SECRETCORRECTION");
    group.dead_letters.push_back(
        {.message = {.source = "mqtt", .topic = "t", .payload = "SECRETPAYLOAD", .received = from},
         .reason = Rejection::parse_error,
         .detail = "SECRETDETAIL"});
    ASSERT_TRUE(store->commit(group));
  }
  /// What queries say, in one line.
  std::string told(Timestamp from) {
    Reader reader(store->path(), store->vault());
    std::string text;
    const auto hours = reader.aggregate({"D1", "energy"}, {from, from + 5h}, Step::hours(), 99);
    for (const auto& hour : *hours) text += std::to_string(value_of(hour, Aggregate::energy).value_or(-1)) + " ";
    text += std::to_string(reader.range({"D1", "state"}, {from, from + 5h}, 999)->size()) + " ";
    text += to_text(reader.latest("D1")->back().sample.value) + " ";
    const auto letters = *reader.dead_letters(9, INT64_MAX);
    for (const auto& letter : letters) text += letter.letter.message.payload + letter.letter.detail;
    text += " " + std::to_string(reader.batch_after({}, 9999)->size());
    return text;
  }
  bool shows(std::string_view secret) {
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
      std::ifstream file(entry.path(), std::ios::binary);
      const std::string bytes{std::istreambuf_iterator<char>(file), {}};
      if (bytes.find(secret) != std::string::npos) return true;
    }
    return false;
  }
  /// The keys of all blobs of a table; 0 for a plain one.
  std::set<Vault::Id> keys_of(const std::string& table, const std::string& column) {
    Database database(store->path(), Database::Mode::reader);
    Statement row(database, "SELECT " + column + " FROM " + table);
    std::set<Vault::Id> keys;
    while (row.step()) keys.insert(sealed_by(row.blob(0)).value_or(0));
    return keys;
  }
  void expect_all_sealed_with(Vault::Id id) {
    const std::pair<const char*, const char*> places[] = {{"ring", "body"},
                                                          {"chunks", "head"},
                                                          {"chunks", "body"},
                                                          {"rollups_hourly", "summary"},
                                                          {"dead_letters", "payload"},
                                                          {"rollups_daily", "summary"},
                                                          {"corrections", "was"}};
    for (const auto& [table, column] : places) {
      const auto keys = keys_of(table, column);
      EXPECT_EQ(keys, std::set{id}) << table << '.' << column;
    }
    for (const auto* secret : {"SECRETSTATE", "SECRETCORRECTION", "SECRETPAYLOAD", "SECRETDETAIL"})
      EXPECT_FALSE(shows(secret)) << secret;
  }

  std::string directory =
      (std::filesystem::temp_directory_path() / ("wattd-vault-" + std::to_string(getpid()))).string();
  std::unique_ptr<Store> store;
};

TEST_F(SealedTest, answers_as_a_plain_database_does_and_shows_nothing_on_the_disk) {
  open({});
  store->set_sinks({"slow"});  // so that the ring keeps what it has
  fill(kNoon);
  settle(kNoon + 30h);
  const auto plain = told(kNoon);
  EXPECT_TRUE(shows("SECRETPAYLOAD"));
  store.reset();
  std::filesystem::remove_all(directory);
  open(vault_of(kNew));
  store->set_sinks({"slow"});
  fill(kNoon);
  settle(kNoon + 30h);
  EXPECT_EQ(told(kNoon), plain);
  expect_all_sealed_with(store->vault().current());
  EXPECT_TRUE(inspect(store->path(), store->vault())->problems.empty());
  EXPECT_FALSE(inspect(store->path())->problems.empty());
}

TEST_F(SealedTest, leaves_a_database_whose_key_is_missing_and_begins_another_beside_it) {
  open(vault_of(kOld));
  fill(kNoon);
  const auto path = store->path();
  const auto was = told(kNoon);
  for (const auto& wrong : {Vault{}, vault_of(kNew)}) {
    open(wrong);
    EXPECT_NE(store->path(), path);
    EXPECT_NE(store->set_aside().find("which is not given"), std::string::npos) << store->set_aside();
    store.reset();
    std::filesystem::remove(directory + "/wattd-2.db");
  }
  open(vault_of(kOld));
  EXPECT_EQ(store->path(), path);
  EXPECT_EQ(told(kNoon), was);
}

TEST_F(SealedTest, seals_anew_what_was_plain_or_sealed_with_an_older_key) {
  open({});
  store->set_sinks({"slow"});
  fill(kNoon);
  settle(kNoon + 30h);
  const auto was = told(kNoon);
  for (const auto& text : {kOld, kNew + "\n" + kOld, kNew}) {
    open(vault_of(text));
    EXPECT_TRUE(store->set_aside().empty()) << store->set_aside();
    store->set_sinks({"slow"});
    settle(kNoon + 30h);
    EXPECT_FALSE(store->usage().is_resealing);
    EXPECT_EQ(told(kNoon), was);
    store->maintain(kNoon + 31h);
    store.reset();  // the last connection takes the write-ahead log with it
    open(vault_of(text));
    expect_all_sealed_with(store->vault().current());
  }
}

TEST_F(SealedTest, begins_anew_when_keys_change_places_while_it_seals) {
  open(vault_of(kOld));
  store->set_sinks({"slow"});
  fill(kNoon);
  settle(kNoon + 30h);
  const auto was = told(kNoon);
  for (int slices = 0; slices < 12; ++slices) {
    open(vault_of(kNew + "\n" + kOld));
    store->set_sinks({"slow"});
    for (int i = 0; i < slices; ++i) ASSERT_TRUE(store->maintain(kNoon + 30h));  // then the power goes
    open(vault_of(kOld + "\n" + kNew));
    store->set_sinks({"slow"});
    settle(kNoon + 30h);
    EXPECT_FALSE(store->usage().is_resealing);
    store.reset();
    open(vault_of(kOld));
    ASSERT_TRUE(store->set_aside().empty()) << store->set_aside();
    EXPECT_EQ(told(kNoon), was);
    EXPECT_TRUE(inspect(store->path(), store->vault())->problems.empty());
    expect_all_sealed_with(store->vault().current());
  }
}

TEST_F(SealedTest, keeps_dead_letters_within_their_bound) {
  store = std::make_unique<Store>(Options{
      .directory = directory, .dead_letter_bytes = 5000, .ballast_bytes = 0, .backups = 0, .vault = vault_of(kNew)});
  for (int i = 0; i < 300; ++i) {
    Group group;
    group.dead_letters.push_back({.message = {.source = "m", .topic = "t", .payload = "{}", .received = kNoon}});
    ASSERT_TRUE(store->commit(group));
  }
  Database database(store->path(), Database::Mode::reader);
  Statement sum(database, "SELECT sum(length(payload) + length(topic)), count(*) FROM dead_letters");
  ASSERT_TRUE(sum.step());
  EXPECT_LE(sum.integer(0), 5000);
  EXPECT_EQ(sum.integer(1), store->usage().dead_letters);
}

TEST_F(SealedTest, merges_a_database_that_was_sealed_with_an_older_key) {
  open(vault_of(kOld));
  fill(kNoon);
  settle(kNoon + 30h);
  store.reset();
  std::filesystem::rename(directory + "/wattd.db", directory + "/other.db");
  open(vault_of(kNew + "\n" + kOld));
  EXPECT_EQ(merge(directory + "/other.db", *store), 300u);
  EXPECT_EQ(Reader(store->path(), store->vault()).range({"D1", "state"}, kAlways, 999)->size(), 300u);
  open(vault_of(kNew + "\n" + kOld));
  store.reset();
  open(vault_of(kNew));
  EXPECT_FALSE(merge(directory + "/other.db", *store)) << "its key is not given any more";
}

}  // namespace
}  // namespace wattd::storage
