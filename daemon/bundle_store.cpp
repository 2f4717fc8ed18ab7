#include "daemon/bundle_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <utility>

#include "daemon/durable.h"

namespace wattd::daemon {
namespace {

constexpr std::size_t kMostWords = 300;

std::uint64_t number_from(const std::string& text) {
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

std::string one_line(std::string text) {
  std::ranges::replace(text, '\n', ' ');
  return text.substr(0, kMostWords);
}

}  // namespace

BundleStore::BundleStore(std::string directory) : directory_(std::move(directory)) {
  std::ifstream file(directory_ + "/state");
  for (std::string line; std::getline(file, line);) {
    const auto space = std::min(line.find(' '), line.size());
    const auto key = line.substr(0, space);
    const auto value = line.substr(std::min(space + 1, line.size()));
    if (key == "applied") state_.applied = number_from(value);
    else if (key == "previous") state_.previous = number_from(value);
    else if (key == "trial") state_.trial = true, state_.starts = static_cast<int>(number_from(value));
    else if (key == "ill") state_.ill.insert(value);
    else if (key == "highest") state_.highest = number_from(value);
    else if (key == "refused") state_.refused = number_from(value);
    else if (key == "why") state_.why = value;
    else if (key == "diagnosed") state_.diagnosed = value;
  }
}

std::string BundleStore::directory_of(std::uint64_t serial) const {
  return serial == 0 ? std::string() : fmt::format("{}/{}", directory_, serial);
}

void BundleStore::put(const config::Bundle& bundle) {
  const auto directory = directory_of(bundle.serial);
  std::error_code problem;
  std::filesystem::remove_all(directory, problem);
  for (const auto* part : {"conf.d", "profiles"}) {
    if (!std::filesystem::create_directories(fmt::format("{}/{}", directory, part), problem) && problem)
      throw std::runtime_error(fmt::format("{} cannot be made: {}", directory, problem.message()));
  }
  for (const auto& file : bundle.files) write_durably(fmt::format("{}/{}", directory, file.path), file.content);
}

void BundleStore::begin_trial(std::uint64_t serial, std::set<std::string> ill) {
  auto fresh = state_;
  fresh.previous = std::exchange(fresh.applied, serial);
  fresh.trial = true;
  fresh.starts = 0;
  fresh.ill = std::move(ill);
  fresh.highest = std::max(fresh.highest, serial);
  change(std::move(fresh));
}

void BundleStore::count_start() {
  auto fresh = state_;
  ++fresh.starts;
  change(std::move(fresh));
}

void BundleStore::confirm() {
  auto fresh = state_;
  fresh.trial = false;
  change(std::move(fresh));
  tidy_up();
}

void BundleStore::roll_back(const std::string& why) {
  auto fresh = state_;
  fresh.refused = std::exchange(fresh.applied, std::exchange(fresh.previous, 0));
  fresh.why = one_line(why);
  fresh.trial = false;
  change(std::move(fresh));
  tidy_up();
}

void BundleStore::refuse(std::uint64_t serial, const std::string& why) {
  auto fresh = state_;
  fresh.refused = serial;
  fresh.highest = std::max(fresh.highest, serial);
  fresh.why = one_line(why);
  change(std::move(fresh));
  tidy_up();
}

void BundleStore::note_diagnosed(const std::string& request) {
  auto fresh = state_;
  fresh.diagnosed = one_line(request);
  change(std::move(fresh));
}

void BundleStore::change(State fresh) {
  auto text = fmt::format("applied {}\nprevious {}\n", fresh.applied, fresh.previous);
  text += fmt::format("highest {}\n", fresh.highest);
  if (!fresh.trial) fresh.ill.clear();
  if (fresh.trial) text += fmt::format("trial {}\n", fresh.starts);
  for (const auto& name : fresh.ill) text += fmt::format("ill {}\n", one_line(name));
  if (fresh.refused != 0) text += fmt::format("refused {}\nwhy {}\n", fresh.refused, fresh.why);
  if (!fresh.diagnosed.empty()) text += fmt::format("diagnosed {}\n", fresh.diagnosed);
  std::filesystem::create_directories(directory_);
  write_durably(directory_ + "/state", text);
  state_ = std::move(fresh);
}

/// Deletes what is neither in use nor may be gone back to.
void BundleStore::tidy_up() const {
  std::error_code problem;
  for (const auto& entry : std::filesystem::directory_iterator(directory_, problem)) {
    const auto serial = number_from(entry.path().filename().string());
    if (entry.is_directory(problem) && serial != state_.applied && serial != state_.previous)
      std::filesystem::remove_all(entry.path(), problem);
  }
}

}  // namespace wattd::daemon
