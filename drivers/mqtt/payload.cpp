#include "drivers/mqtt/payload.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <unordered_set>

namespace wattd::drivers::mqtt {
namespace {

constexpr int kMaxDepth = 16;
constexpr std::size_t kMaxFields = 1000;
constexpr std::size_t kMaxName = 100;

struct BadPayload {
  std::string why;
};

/// Walks the document and collects the leaves.
class Flattener {
 public:
  explicit Flattener(std::vector<Field>& fields) : fields_(fields) {}

  void add(std::string_view prefix, std::string_view name, simdjson::dom::element element, int depth) {
    if (depth > kMaxDepth) throw BadPayload{fmt::format("{} is nested more than {} levels deep", prefix, kMaxDepth)};
    using simdjson::dom::element_type;
    switch (element.type()) {
      case element_type::OBJECT: return add_object(join(prefix, name), element.get_object().value_unsafe(), depth);
      case element_type::ARRAY: return add_array(join(prefix, name), element.get_array().value_unsafe(), depth);
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

 private:
  static std::string join(std::string_view prefix, std::string_view name) {
    if (prefix.empty()) return std::string(name);
    return fmt::format("{}.{}", prefix, name);
  }

  void add_object(const std::string& prefix, simdjson::dom::object object, int depth) {
    for (const auto& [name, element] : object) add(prefix, name, element, depth + 1);
  }

  void add_array(const std::string& prefix, simdjson::dom::array array, int depth) {
    std::size_t index = 0;
    for (const auto element : array) add(prefix, std::to_string(index++), element, depth + 1);
  }

  void leaf(std::string name, Value value) {
    if (name.empty()) throw BadPayload{"a field has an empty name"};
    if (name.size() > kMaxName) throw BadPayload{fmt::format("a field's name has more than {} bytes", kMaxName)};
    if (fields_.size() == kMaxFields) throw BadPayload{fmt::format("there are more than {} fields", kMaxFields)};
    if (is_twice(name)) throw BadPayload{fmt::format("field {} appears twice", name)};
    fields_.push_back({std::move(name), std::move(value)});
  }

  /// Few names are compared one by one; many through a set, lest a hostile payload cost its square.
  bool is_twice(const std::string& name) {
    if (fields_.size() < 32) return std::ranges::find(fields_, name, &Field::name) != fields_.end();
    if (names_.empty()) {
      for (const auto& field : fields_) names_.insert(field.name);
    }
    return !names_.insert(name).second;
  }

  std::vector<Field>& fields_;
  std::unordered_set<std::string> names_;
};

Timestamp stamp_from(simdjson::dom::element element) {
  std::optional<Timestamp> at;
  std::string shown;
  if (std::string_view text; element.get(text) == simdjson::SUCCESS) {
    at = parse_iso8601(text);
    shown = fmt::format("{:?}", text);
  } else if (std::int64_t whole; element.get(whole) == simdjson::SUCCESS) {
    at = from_epoch_number(whole);
    shown = std::to_string(whole);
  } else if (double number; element.get(number) == simdjson::SUCCESS) {
    at = from_epoch_number(number);
    shown = std::to_string(number);
  }
  if (at) return *at;
  throw BadPayload{
      fmt::format("timestamp is {}; expected RFC 3339 such as 2026-02-07T11:26:00Z, or a Unix time in s, "
                  "ms, us or ns",
                  shown.empty() ? "neither a text nor a number" : shown)};
}

}  // namespace

struct PayloadDecoder::Parser {
  simdjson::dom::parser parser{1 << 20};
};

PayloadDecoder::PayloadDecoder() : parser_(std::make_unique<Parser>()) {}
PayloadDecoder::~PayloadDecoder() = default;

Result<Decoded> PayloadDecoder::decode(std::string_view payload) {
  simdjson::dom::element root;
  if (const auto problem = parser_->parser.parse(payload.data(), payload.size()).get(root)) {
    return fail(ErrorKind::permanent, fmt::format("not valid JSON: {}", simdjson::error_message(problem)));
  }
  simdjson::dom::object object;
  if (root.get(object) != simdjson::SUCCESS) return fail(ErrorKind::permanent, "expected a JSON object");
  try {
    Decoded decoded;
    bool has_id = false;
    decoded.reading.fields.reserve(object.size());
    Flattener flattener(decoded.reading.fields);
    for (const auto& [name, element] : object) {
      if (name == "device_id") {
        std::string_view id;
        if (has_id) throw BadPayload{"device_id appears twice"};
        if (element.get(id) != simdjson::SUCCESS) throw BadPayload{"device_id is not a text"};
        decoded.reading.device_id = id;
        has_id = true;
      } else if (name == "timestamp" && !element.is_null()) {
        if (decoded.has_stamp) throw BadPayload{"timestamp appears twice"};
        decoded.reading.at = stamp_from(element);
        decoded.has_stamp = true;
      } else if (name != "timestamp") {
        flattener.add({}, name, element, 1);
      }
    }
    return decoded;
  } catch (const BadPayload& problem) {
    return fail(ErrorKind::permanent, problem.why);
  }
}

std::optional<std::string_view> device_in_topic(std::string_view subscription, std::string_view topic) {
  while (!subscription.empty()) {
    const auto level = subscription.substr(0, subscription.find('/'));
    const auto found = topic.substr(0, topic.find('/'));
    if (level == "+") return found;
    if (level == "#" || level != found) return std::nullopt;
    subscription.remove_prefix(std::min(level.size() + 1, subscription.size()));
    topic.remove_prefix(std::min(found.size() + 1, topic.size()));
  }
  return std::nullopt;
}

}  // namespace wattd::drivers::mqtt
