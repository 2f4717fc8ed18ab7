#include "config/table.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace wattd::config {
namespace {

using namespace std::chrono_literals;

std::string complaint(const std::function<void(const Table&)>& read, std::string_view text) {
  try {
    read(parse(text, "wattd.toml"));
  } catch (const ConfigError& problem) {
    return problem.what();
  }
  return "";
}

class Directory {
 public:
  Directory() { std::filesystem::create_directories(path); }
  ~Directory() { std::filesystem::remove_all(path); }
  std::string write(const std::string& name, const std::string& text) const {
    const auto file = path / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
    return file.string();
  }
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("wattd-config-" + std::to_string(getpid()));
};

TEST(Table, points_at_file_line_column_key_value_and_expectation) {
  EXPECT_EQ(complaint([](const Table& root) { root.tables("buses").at(0).one_of("baud", {9600, 19200}, 9600); },
                      "\n[[buses]]\ndevice = \"/dev/ttyS0\"\nbaud = 9601\n"),
            "wattd.toml:4:8: buses[0].baud is 9601; expected one of 9600, 19200");
}

TEST(Table, says_what_is_required) {
  EXPECT_EQ(complaint([](const Table& root) { root.tables("sinks").at(0).text("url"); }, "[[sinks]]\nid = \"a\"\n"),
            "wattd.toml:1:1: sinks[0].url; is required: a text");
}

TEST(Table, takes_a_typo_for_an_error) {
  EXPECT_EQ(complaint(
                [](const Table& root) {
                  root.text("device", "");
                  root.reject_unknown_keys();
                },
                "devcie = \"x\"\n"),
            "wattd.toml:1:1: devcie is not a key known here; known are device");
}

TEST(Table, refuses_the_wrong_type_and_the_wrong_range) {
  EXPECT_EQ(complaint([](const Table& root) { root.integer("port", 1, 65535, 1883); }, "port = 70000"),
            "wattd.toml:1:8: port is 70000; expected an integer from 1 to 65535");
  EXPECT_EQ(complaint([](const Table& root) { root.text("host"); }, "host = 5"),
            "wattd.toml:1:8: host is 5; expected a text in quotes");
  EXPECT_EQ(complaint([](const Table& root) { root.boolean("gzip", true); }, "gzip = \"yes\""),
            "wattd.toml:1:8: gzip is 'yes'; expected true or false");
}

TEST(Table, reads_durations_and_sizes_with_their_units) {
  const auto root = parse("a = \"500ms\"\nb = \"1.5h\"\nc = \"64MiB\"\nd = \"2 GB\"\n", "t");
  EXPECT_EQ(root.duration("a", 0s, 1h, 1s), 500ms);
  EXPECT_EQ(root.duration("b", 0s, 24h, 1s), 90min);
  EXPECT_EQ(root.bytes("c", 0, INT64_MAX, 0), 64 << 20);
  EXPECT_EQ(root.bytes("d", 0, INT64_MAX, 0), 2'000'000'000);
  EXPECT_EQ(complaint([](const Table& table) { table.duration("a", 0s, 1s, 1s); }, "a = \"2s\""),
            "wattd.toml:1:5: a is '2s'; expected a duration from 0s to 1s, as in \"500ms\", \"5s\" or \"15min\"");
  EXPECT_NE(complaint([](const Table& table) { table.duration("a", 0s, 1s, 1s); }, "a = 2"), "");
}

TEST(Table, reports_a_syntax_error_where_it_is) {
  EXPECT_TRUE(complaint([](const Table&) {}, "a = = 1").starts_with("wattd.toml:1:5: "));
}

TEST(Load, merges_drop_ins_by_name_and_points_into_them) {
  const Directory directory;
  const auto main = directory.write("wattd.toml", "[api]\nport = 1\naddress = \"::1\"\n[[rules]]\nname = \"a\"\n");
  directory.write("conf.d/20.toml", "[api]\nport = 3\n");
  directory.write("conf.d/10.toml", "[api]\nport = 2\n[[rules]]\nname = \"b\"\n");
  const auto root = load(main, {(directory.path / "conf.d").string()});
  EXPECT_EQ(root.table("api").integer("port", 0, 9), 3);
  EXPECT_EQ(root.table("api").text("address"), "::1");
  ASSERT_EQ(root.tables("rules").size(), 2u);
  EXPECT_EQ(root.tables("rules")[1].text("name"), "b");
  EXPECT_EQ(root.tables("rules")[1].origin(), (directory.path / "conf.d/10.toml").string() + ":3");
  try {
    root.table("api").integer("port", 5, 9);
    FAIL();
  } catch (const ConfigError& problem) {
    EXPECT_TRUE(
        std::string(problem.what()).starts_with((directory.path / "conf.d/20.toml").string() + ":2:8: api.port is 3"));
  }
}

TEST(Secret, comes_from_text_file_or_credential) {
  const Directory directory;
  directory.write("password", "hunter2\n");
  setenv("CREDENTIALS_DIRECTORY", directory.path.c_str(), 1);
  EXPECT_EQ(parse("p = \"plain\"", "t").secret("p"), "plain");
  EXPECT_EQ(parse("p = \"${CREDENTIALS_DIRECTORY}/password\"", "t").secret("p"), "hunter2");
  EXPECT_EQ(parse("p = { file = \"" + (directory.path / "password").string() + "\" }", "t").secret("p"), "hunter2");
  EXPECT_EQ(parse("", "t").secret("p"), "");
}

TEST(Secret, that_cannot_be_read_is_named_without_its_value) {
  unsetenv("CREDENTIALS_DIRECTORY");
  const auto text = complaint([](const Table& root) { root.secret("p"); }, "p = \"${CREDENTIALS_DIRECTORY}/password\"");
  EXPECT_TRUE(text.starts_with("wattd.toml:1:5: p cannot be read: the variable CREDENTIALS_DIRECTORY is not set"))
      << text;
}

}  // namespace
}  // namespace wattd::config
