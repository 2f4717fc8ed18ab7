#include "sync/influx_query.h"

#include <fmt/format.h>
#include <json/reader.h>
#include <json/value.h>

#include <memory>

namespace wattd::sync {
namespace {

using namespace std::chrono_literals;

/// Null for what is no JSON.
Json::Value parsed(const std::string& text) {
  Json::Value json;
  const std::unique_ptr<Json::CharReader> reader(Json::CharReaderBuilder().newCharReader());
  if (!reader->parse(text.data(), text.data() + text.size(), &json, nullptr) || !json.isObject()) return {};
  return json;
}

std::string quoted(std::string_view text, char quote) {
  std::string out(1, quote);
  for (const char c : text) {
    if (c == quote || c == '\\') out += '\\';
    out += c;
  }
  return out + quote;
}

/// The last millisecond of the range, for which count_over_time looks back; both its ends are within then.
std::string promql_target(const InfluxQuery& query, TimeRange range) {
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(range.to - range.from).count();
  const auto promql = fmt::format("sum by (device_id) (count_over_time({{__name__=~\"{}_.+\",gateway={}}}[{}ms]))",
                                  query.measurement, quoted(query.gateway, '"'), milliseconds);
  return fmt::format("{}/api/v1/query?nocache=1&time={:.3f}&query={}", query.url,
                     static_cast<double>(to_unix_us(range.to) / 1000 - 1) / 1000, HttpClient::escaped(promql));
}

std::string influxql_target(const InfluxQuery& query, TimeRange range) {
  const auto influxql = fmt::format(
      "SELECT count(*) FROM {} WHERE \"gateway\"={} AND time>={}u AND time<{}u GROUP BY \"device_id\"",
      quoted(query.measurement, '"'), quoted(query.gateway, '\''), to_unix_us(range.from), to_unix_us(range.to));
  return fmt::format("{}/query?db={}&q={}", query.url, HttpClient::escaped(query.database),
                     HttpClient::escaped(influxql));
}

Census promql_census(const Json::Value& answer) {
  // A resolution of milliseconds is Prometheus' own.
  Census census{.values = {}, .numbers_only = true, .precision = 1ms};
  for (const auto& one : answer["data"]["result"]) {
    census.values[one["metric"]["device_id"].asString()] =
        static_cast<std::uint64_t>(std::stod(one["value"][1].asString()));
  }
  return census;
}

Census influxql_census(const Json::Value& answer) {
  Census census;
  for (const auto& series : answer["results"][0]["series"]) {
    auto& count = census.values[series["tags"]["device_id"].asString()];
    for (const auto& row : series["values"]) {
      for (Json::ArrayIndex column = 1; column < row.size(); ++column) count += row[column].asUInt64();
    }
  }
  return census;
}

}  // namespace

std::expected<Census, NotTaken> count(HttpClient& client, const InfluxQuery& query,
                                      const std::vector<std::string>& headers, TimeRange range,
                                      const std::stop_token& stop) try {
  const auto first = client.get(promql_target(query, range), headers, stop);
  if (!first) return std::unexpected(first.error());
  auto answer = first;
  std::optional<Census> census;
  if (const auto json = parsed(first->body); json["status"].isString() && json["status"].asString() == "success") {
    census = promql_census(json);
  } else if (first->status == 404) {
    const auto second = client.get(influxql_target(query, range), headers, stop);
    if (!second) return std::unexpected(second.error());
    answer = second;
    const auto results = parsed(second->body);
    if (results["results"].isArray() && !results["results"][0].isMember("error")) census = influxql_census(results);
  }
  if (census) {
    census->numbers_only = !query.non_numeric;
    return *census;
  }
  // Prometheus itself, for one, refuses to count over many names at once.
  const bool never = answer->status == 400 || answer->status == 404 || answer->status == 422;
  const auto kind = never ? ErrorKind::unsupported : ErrorKind::retry;
  return fail(kind, fmt::format("{} does not say what it holds: it answered {}: {}", query.url, answer->status,
                                answer->body.substr(0, 300)));
} catch (const std::exception& problem) {  // numbers and objects where there should be others
  return fail(ErrorKind::retry, fmt::format("{} answers strangely: {}", query.url, problem.what()));
}

}  // namespace wattd::sync
