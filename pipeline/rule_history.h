#pragma once
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "rules/engine.h"
#include "storage/reader.h"
#include "storage/store.h"

namespace wattd::pipeline {

/// What rules want to know of the time before they were there, from storage. What cannot be read is logged and taken
/// for nothing: a rule then has to wait for its window to fill.
/// Threads: one.
class StoredHistory final : public rules::History {
 public:
  explicit StoredHistory(const storage::Store& store)
      : reader_(store.path(), store.vault()), seen_at_open_(store.seen_at_open()) {}

  void visit(const std::string& device, const std::vector<std::string>& fields, TimeRange range,
             const std::function<void(const Reading&)>& take) override;
  std::vector<std::string> fields_of(const std::string& device, const std::string& property) override;
  std::optional<Timestamp> last_seen(const std::string& device, const std::string& property) override;

 private:
  storage::Reader reader_;
  Timestamp seen_at_open_;
  const std::vector<storage::Latest>& latest_of(const std::string& device);

  std::unordered_map<std::string, std::vector<storage::SeriesInfo>> series_;
  std::unordered_map<std::string, std::vector<storage::Latest>> latest_;
  std::optional<std::unordered_map<std::string, Timestamp>> lately_;  ///< Of those that said anything of late.
};

}  // namespace wattd::pipeline
