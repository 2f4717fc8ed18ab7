#include "api/parameters.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>

namespace wattd::api {

using namespace std::chrono_literals;

std::string text_of(const Request& request, const std::string& name) {
  const auto found = request.query.find(name);
  return found == request.query.end() ? std::string{} : found->second;
}

std::size_t number_of(const Request& request, const std::string& name, std::size_t fallback, std::size_t max) {
  const auto text = text_of(request, name);
  if (text.empty()) return fallback;
  std::size_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem == std::errc{} && end == text.data() + text.size() && value >= 1 && value <= max) return value;
  throw BadParameter{fmt::format("{} is {:?}; expected a number from 1 to {}", name, text, max)};
}

Timestamp time_of(const Request& request, const std::string& name, Timestamp fallback) {
  const auto text = text_of(request, name);
  if (text.empty()) return fallback;
  if (const auto at = parse_iso8601(text)) return *at;
  throw BadParameter{fmt::format("{} is {:?}; expected RFC 3339 such as 2026-02-07T11:26:00Z", name, text)};
}

storage::Step interval_of(const Request& request) {
  const auto text = text_of(request, "interval");
  if (text.empty() || text == "1h") return storage::Step::hours();
  if (text == "1d") return storage::Step::days();
  if (text == "1mo") return storage::Step::months();
  if (text == "all") return storage::Step::whole();
  std::int64_t count = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), count);
  const std::string unit(end, text.data() + text.size());
  const std::map<std::string, std::chrono::microseconds> units{
      {"s", 1s}, {"m", 1min}, {"min", 1min}, {"h", 1h}, {"d", 24h}};
  const auto known = units.find(unit);
  if (problem == std::errc{} && count >= 1 && count <= 100'000 && known != units.end())
    return storage::Step::of(known->second * count);
  throw BadParameter{
      fmt::format("interval is {:?}; expected a number and s, m, h or d, as in 5m, or 1mo or all", text)};
}

std::vector<std::string> list_of(const Request& request, const std::string& name) {
  std::vector<std::string> items;
  std::string_view rest = request.query.contains(name) ? std::string_view(request.query.at(name)) : std::string_view{};
  while (!rest.empty()) {
    const auto item = rest.substr(0, rest.find(','));
    if (!item.empty()) items.emplace_back(item);
    rest.remove_prefix(std::min(item.size() + 1, rest.size()));
  }
  return items;
}

Response not_found(const std::string& what) { return error_response(404, "NOT_FOUND", what + " does not exist"); }

std::string asker(const Request& request) {
  auto who = text_of(request, "by");
  return who.empty() ? "somebody at the socket" : who;
}

Response storage_error(const Error& error) {
  return error_response(503, "STORAGE_ERROR", error.message + "; try again, and see wattctl doctor");
}

Response busy() {
  return error_response(503, "BUSY", "the change was not written in time; look again before repeating it");
}

Response ok(std::string body) { return {.body = std::move(body)}; }

}  // namespace wattd::api
