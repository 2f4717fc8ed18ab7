#include "drivers/mqtt/payload.h"

#include <algorithm>

#include "drivers/mqtt/json_fields.h"

namespace wattd::drivers::mqtt {

struct PayloadDecoder::Parser {
  ObjectParser parser;
};

PayloadDecoder::PayloadDecoder() : parser_(std::make_unique<Parser>()) {}
PayloadDecoder::~PayloadDecoder() = default;

Result<Decoded> PayloadDecoder::decode(std::string_view payload) {
  try {
    const auto object = parser_->parser.parse(payload);
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
        flattener.add({}, name, element);
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
