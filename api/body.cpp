#include "api/body.h"

#include <fmt/format.h>
#include <json/reader.h>

#include <memory>

#include "api/parameters.h"

namespace wattd::api {

std::vector<std::string> rest_of(const std::string& path, std::string_view prefix) {
  std::vector<std::string> parts;
  std::string_view rest(path);
  rest.remove_prefix(prefix.size());
  while (rest.starts_with('/')) {
    rest.remove_prefix(1);
    const auto part = rest.substr(0, rest.find('/'));
    if (!part.empty()) parts.emplace_back(part);
    rest.remove_prefix(part.size());
  }
  return parts;
}

bool is_under(const std::string& path, std::string_view prefix) {
  return path == prefix || (path.starts_with(prefix) && path[prefix.size()] == '/');
}

Json::Value object_in(const std::string& body) {
  Json::CharReaderBuilder strict;
  Json::CharReaderBuilder::strictMode(&strict.settings_);
  const std::unique_ptr<Json::CharReader> parser(strict.newCharReader());
  Json::Value json;
  std::string problem;
  const bool valid = parser->parse(body.data(), body.data() + body.size(), &json, &problem);
  return valid && json.isObject() ? json : Json::Value();
}

std::string name_in(const std::string& body) {
  const auto json = object_in(body);
  if (!json["acknowledged_by"].isString() || json["acknowledged_by"].asString().empty()) {
    throw BadParameter{"the body is not {\"acknowledged_by\": \"who\"}"};
  }
  return json["acknowledged_by"].asString();
}

int whole_in(const Json::Value& json, const char* name, int least, int most) {
  if (!json[name].isInt() || json[name].asInt() < least || json[name].asInt() > most)
    throw BadParameter{fmt::format("{} is not a whole number from {} to {}", name, least, most)};
  return json[name].asInt();
}

std::vector<std::string> texts_in(const Json::Value& json, const char* name) {
  std::vector<std::string> texts;
  if (json[name].isNull()) return texts;
  if (!json[name].isArray()) throw BadParameter{fmt::format("{} is not a list of texts", name)};
  for (const auto& one : json[name]) {
    if (!one.isString()) throw BadParameter{fmt::format("{} is not a list of texts", name)};
    texts.push_back(one.asString());
  }
  return texts;
}

Timestamp time_in(const Json::Value& json, const char* name, Timestamp fallback) {
  if (json[name].isNull()) return fallback;
  const auto at = json[name].isString() ? parse_iso8601(json[name].asString()) : std::nullopt;
  if (!at) throw BadParameter{fmt::format("{} is not a time such as 2026-02-07T11:26:00Z", name)};
  return *at;
}

}  // namespace wattd::api
