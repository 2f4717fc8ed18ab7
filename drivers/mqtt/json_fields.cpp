#include "drivers/mqtt/json_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <unordered_set>

#include "telemetry/time.h"

namespace wattd::drivers::mqtt {
namespace {

constexpr int kMaxDepth = 16;
constexpr std::size_t kMaxFields = 1000;
constexpr std::size_t kMaxName = 100;

std::string join(std::string_view prefix, std::string_view name) {
  if (prefix.empty()) return std::string(name);
  return fmt::format("{}.{}", prefix, name);
}

}  // namespace

struct Flattener::Names {
  std::unordered_set<std::string> seen;
};

Flattener::Flattener(std::vector<Field>& fields) : fields_(fields) {}
Flattener::~Flattener() = default;

void Flattener::add(std::string_view prefix, std::string_view name, simdjson::dom::element element, int depth) {
  if (depth > kMaxDepth) throw BadPayload{fmt::format("{} is nested more than {} levels deep", prefix, kMaxDepth)};
  using simdjson::dom::element_type;
  switch (element.type()) {
    case element_type::OBJECT: {
      const auto path = join(prefix, name);
      const simdjson::dom::object object = element.get_object().value_unsafe();
      for (const auto& [key, value] : object) add(path, key, value, depth + 1);
      return;
    }
    case element_type::ARRAY: {
      const auto path = join(prefix, name);
      std::size_t index = 0;
      const simdjson::dom::array array = element.get_array().value_unsafe();
      for (const auto value : array) add(path, std::to_string(index++), value, depth + 1);
      return;
    }
    case element_type::INT64: return leaf(join(prefix, name), element.get_int64().value_unsafe());
    // Beyond the signed range a double is the nearest that every sink can hold.
    case element_type::UINT64:
      return leaf(join(prefix, name), static_cast<double>(element.get_uint64().value_unsafe()));
    case element_type::DOUBLE: return leaf(join(prefix, name), element.get_double().value_unsafe());
    case element_type::BOOL: return leaf(join(prefix, name), element.get_bool().value_unsafe());
    case element_type::STRING: return leaf(join(prefix, name), std::string(element.get_string().value_unsafe()));
    case element_type::NULL_VALUE: return;
  }
}

bool Flattener::has(std::string_view name) const {
  return std::ranges::find(fields_, name, &Field::name) != fields_.end();
}

void Flattener::leaf(std::string name, Value value) {
  // These two are the reading's own wherever one is written down.
  if (name == "timestamp" || name == "device_id") name += "_as_said";
  if (const auto* number = std::get_if<double>(&value); number != nullptr && !std::isfinite(*number))
    throw BadPayload{fmt::format("{} is too large for a number", name)};
  if (name.empty()) throw BadPayload{"a field has an empty name"};
  if (name.size() > kMaxName) throw BadPayload{fmt::format("a field's name has more than {} bytes", kMaxName)};
  if (fields_.size() == kMaxFields) throw BadPayload{fmt::format("there are more than {} fields", kMaxFields)};
  if (is_twice(name)) throw BadPayload{fmt::format("field {} appears twice", name)};
  fields_.push_back({std::move(name), std::move(value)});
}

/// Few names are compared one by one; many through a set, lest a hostile payload cost its square.
bool Flattener::is_twice(const std::string& name) {
  if (fields_.size() < 32) return std::ranges::find(fields_, name, &Field::name) != fields_.end();
  if (!names_) {
    names_ = std::make_unique<Names>();
    for (const auto& field : fields_) names_->seen.insert(field.name);
  }
  return !names_->seen.insert(name).second;
}

std::optional<double> number_in(simdjson::dom::element element) {
  double number = 0;
  if (element.is_bool() || element.get(number) != simdjson::SUCCESS || !std::isfinite(number)) return std::nullopt;
  return number;
}

std::optional<double> number_in(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\n')) text.remove_suffix(1);
  double number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem != std::errc{} || end != text.data() + text.size() || !std::isfinite(number)) return std::nullopt;
  return number;
}

Timestamp stamp_from(simdjson::dom::element element) {
  std::string_view text;
  std::int64_t whole = 0;
  double number = 0;
  std::optional<Timestamp> at;
  const bool is_text = element.get(text) == simdjson::SUCCESS;
  const bool is_whole = !is_text && element.get(whole) == simdjson::SUCCESS;
  const bool is_number = !is_text && !is_whole && element.get(number) == simdjson::SUCCESS;
  if (is_text) at = parse_iso8601(text);
  else if (is_whole) at = from_epoch_number(whole);
  else if (is_number) at = from_epoch_number(number);
  if (at) return *at;
  throw BadPayload{
      fmt::format("timestamp is {}; expected RFC 3339 such as 2026-02-07T11:26:00Z, or a Unix time in s, "
                  "ms, us or ns",
                  is_text     ? fmt::format("{:?}", text)
                  : is_whole  ? std::to_string(whole)
                  : is_number ? std::to_string(number)
                              : "neither a text nor a number")};
}

simdjson::dom::element ObjectParser::parse_any(std::string_view payload) {
  simdjson::dom::element root;
  if (const auto problem = parser_.parse(payload.data(), payload.size()).get(root))
    throw BadPayload{fmt::format("not valid JSON: {}", simdjson::error_message(problem))};
  return root;
}

simdjson::dom::object ObjectParser::parse(std::string_view payload) {
  simdjson::dom::object object;
  if (parse_any(payload).get(object) != simdjson::SUCCESS) throw BadPayload{"expected a JSON object"};
  return object;
}

}  // namespace wattd::drivers::mqtt
