#pragma once
#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace wattd::config {

/// What is wrong in a configuration, in the one form that editors can jump to:
/// `wattd.toml:14:9: buses[0].baud is 9601; expected one of 9600, 19200`.
struct ConfigError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// One table of a configuration, read field by field. Each accessor checks type and range and
/// throws a ConfigError that names file, line, column, key, value and what was expected.
/// A key without a default is required.
/// Threads: one. Owns: a share of the parsed document, so it may outlive it.
class Table {
 public:
  struct Node;  ///< The parser's node; defined where the parser is included.

  Table(std::shared_ptr<const Node> node, std::string path);

  bool has(std::string_view key) const;
  std::string text(std::string_view key) const;
  std::string text(std::string_view key, std::string fallback) const;
  std::int64_t integer(std::string_view key, std::int64_t min, std::int64_t max) const;
  std::int64_t integer(std::string_view key, std::int64_t min, std::int64_t max, std::int64_t fallback) const;
  std::int64_t one_of(std::string_view key, std::initializer_list<std::int64_t> allowed, std::int64_t fallback) const;
  double number(std::string_view key) const;
  double number(std::string_view key, double fallback) const;
  bool boolean(std::string_view key, bool fallback) const;
  /// Units: a number and `us`, `ms`, `s`, `min`, `h` or `d`, as in "500ms".
  std::chrono::microseconds duration(std::string_view key, std::chrono::microseconds min, std::chrono::microseconds max,
                                     std::chrono::microseconds fallback) const;
  /// Units: a number and `B`, `kB`, `MB`, `GB`, `KiB`, `MiB` or `GiB`.
  std::int64_t bytes(std::string_view key, std::int64_t min, std::int64_t max, std::int64_t fallback) const;
  std::vector<std::string> texts(std::string_view key) const;
  /// One integer or a list of them; none when the key is not there.
  std::vector<std::int64_t> integers(std::string_view key) const;
  /// A value that must not stand in a file that others read: a text, `{ file = "/path" }`, or either with
  /// `${CREDENTIALS_DIRECTORY}` (or another variable of the environment) inside the path.
  /// Errors: a file that cannot be read. The trailing line break of a file is cut off.
  std::string secret(std::string_view key) const;

  /// The path of a file that has to be readable already; empty when the key is not there.
  std::string readable_file(std::string_view key) const;

  template <class T>
  T choice(std::string_view key, std::initializer_list<std::pair<std::string_view, T>> allowed, T fallback) const {
    if (!has(key)) return fallback;
    std::vector<std::string_view> names;
    const auto found = text(key);
    for (const auto& [name, value] : allowed) {
      if (found == name) return value;
      names.push_back(name);
    }
    fail_choice(key, found, names);
  }

  /// The table under `key`; an empty one when there is none.
  Table table(std::string_view key) const;
  /// The tables of the array under `key`; none when there is no such key.
  std::vector<Table> tables(std::string_view key) const;
  /// Every key of this table that holds a table, in the file's order.
  std::vector<std::pair<std::string, Table>> named_tables() const;

  /// A typo is an error, not a default: refuses every key that no accessor asked for.
  void reject_unknown_keys() const;
  /// Throws a ConfigError that points at `key`.
  [[noreturn]] void fail(std::string_view key, std::string_view complaint) const;
  /// `file:line` of this table, to tell a person where a thing was provisioned.
  std::string origin() const;
  const std::string& path() const { return path_; }

 private:
  [[noreturn]] void fail_choice(std::string_view key, const std::string& found,
                                const std::vector<std::string_view>& names) const;
  std::string full_key(std::string_view key) const;

  std::shared_ptr<const Node> node_;
  std::string path_;  ///< As in `buses[0]`; empty for the root.
  std::shared_ptr<std::set<std::string, std::less<>>> asked_;
};

/// Parses one file.
/// Errors: throws ConfigError, also when the file cannot be read.
Table load_file(const std::string& path);

/// Parses text as if it stood in a file called `name`.
Table parse(std::string_view text, const std::string& name);

/// Parses `path` and, in the order of their names, *.toml in each of the directories. A later file's scalars win,
/// tables merge key by key, and arrays of tables are appended. A missing directory is no error; no path is an empty
/// file.
Table load(const std::string& path, const std::vector<std::string>& drop_in_directories);

}  // namespace wattd::config
