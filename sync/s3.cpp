#include "sync/s3.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "datasets/parquet.h"
#include "sync/digest.h"
#include "sync/placeholders.h"

namespace wattd::sync {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kLeastPart = 5 << 20;  // that S3 takes, but for the last

/// What stands between <name> and </name> the first time: all that is wanted of S3's answers.
std::string element(const std::string& xml, std::string_view name) {
  const auto open = fmt::format("<{}>", name);
  const auto from = xml.find(open);
  if (from == std::string::npos) return {};
  const auto to = xml.find(fmt::format("</{}>", name), from);
  return to == std::string::npos ? std::string() : xml.substr(from + open.size(), to - from - open.size());
}

/// A name as a level of a key, which has none with a / in it: no two names are one level.
std::string level_of(std::string_view name) { return filled(filled(std::string(name), "%", "%25"), "/", "%2F"); }

/// The readings of a device in an hour, as columns. A value that is no number, truth or text like the others in its
/// column is a text.
class Hour {
 public:
  void add(const Outgoing& outgoing) { rows_.push_back(outgoing); }

  std::string file(const std::string& gateway) const {
    std::vector<datasets::Column> columns;
    datasets::Times times;
    std::vector<std::string> ids, types, locations;
    std::vector<std::int64_t> qualities;
    std::map<std::string, std::vector<std::pair<std::size_t, Value>>> fields;
    for (std::size_t row = 0; row < rows_.size(); ++row) {
      const auto& outgoing = rows_[row];
      times.us.push_back(to_unix_us(outgoing.at()));
      ids.push_back(outgoing.device_id());
      types.push_back(outgoing.device->device_type);
      locations.push_back(outgoing.device->location);
      qualities.push_back(static_cast<std::int64_t>(outgoing.quality()));
      for (const auto& field : outgoing.reading().fields) fields[field.name].emplace_back(row, field.value);
    }
    columns.push_back({"timestamp", std::move(times)});
    columns.push_back({"device_id", std::move(ids)});
    columns.push_back({"device_type", std::move(types)});
    columns.push_back({"location", std::move(locations)});
    columns.push_back({"quality", std::move(qualities)});
    std::set<std::string> taken;
    for (const auto& column : columns) taken.insert(column.name);
    for (const auto& [name, values] : fields) {
      auto own = name;
      while (!taken.insert(own).second) own += '_';
      columns.push_back(column_of(std::move(own), values));
    }
    return to_parquet(columns, rows_.size(), {{"gateway", gateway}});
  }

 private:
  datasets::Column column_of(std::string name, const std::vector<std::pair<std::size_t, Value>>& values) const {
    datasets::Column column{.name = std::move(name)};
    column.present.resize(rows_.size());
    const auto all = [&](auto is) {
      return std::ranges::all_of(values, [&](const auto& one) { return is(one.second); });
    };
    std::vector<double> reals(rows_.size());
    datasets::Truths truths{std::vector<bool>(rows_.size())};
    std::vector<std::string> texts(rows_.size());
    const bool are_numbers = all([](const Value& value) { return is_number(value); });
    const bool are_truths = all([](const Value& value) { return std::holds_alternative<bool>(value); });
    for (const auto& [row, value] : values) {
      column.present[row] = true;
      if (are_numbers) reals[row] = *as_number(value);
      else if (are_truths) truths.set[row] = std::get<bool>(value);
      else texts[row] = to_text(value);
    }
    if (are_numbers) column.values = std::move(reals);
    else if (are_truths) column.values = std::move(truths);
    else column.values = std::move(texts);
    return column;
  }

  std::vector<Outgoing> rows_;
};

class S3Sink final : public Sink {
 public:
  S3Sink(S3Config config, std::string gateway)
      : config_(std::move(config)), gateway_(std::move(gateway)), client_(config_.http) {}

  std::string pack(std::span<const Outgoing>) const override { return {}; }
  bool packs() const override { return false; }
  bool takes_whole_hours() const override { return true; }

  Taken deliver(std::string_view, std::span<const Outgoing> batch, const std::stop_token& stop) override {
    std::map<std::pair<std::string, Timestamp>, Hour> hours;
    for (const auto& outgoing : batch)
      hours[{outgoing.device_id(), std::chrono::floor<std::chrono::hours>(outgoing.at())}].add(outgoing);
    for (const auto& [which, hour] : hours) {
      if (auto taken = put(key_of(which.first, which.second), hour.file(gateway_), stop); !taken) return taken;
    }
    return {};
  }

  std::string target() const override { return config_.http.url; }
  std::uint64_t traffic() const override { return client_.traffic(); }

  std::expected<std::string, NotTaken> probe(const std::stop_token& stop) override {
    auto answer = ask("GET", "", "list-type=2&max-keys=1", {}, stop);
    if (!answer) return std::unexpected(answer.error());
    return target() + " knows the key, and shows the bucket";
  }

 private:
  std::string key_of(const std::string& device, Timestamp hour) const {
    const auto stamp = format_iso8601(hour);  // 2026-02-07T12:00:00Z
    auto key = filled(config_.key, "{gateway}", level_of(gateway_));
    key = filled(std::move(key), "{device}", level_of(device));
    key = filled(std::move(key), "{date}", stamp.substr(0, 4) + stamp.substr(5, 2) + stamp.substr(8, 2));
    return filled(std::move(key), "{hour}", stamp.substr(11, 2));
  }

  /// Nothing that S3 says is about the readings: they stay until it takes them.
  std::expected<HttpClient::Answer, NotTaken> ask(const char* method, const std::string& key, const std::string& query,
                                                  std::string_view body, const std::stop_token& stop) {
    std::string path;
    for (std::size_t from = 0; from <= key.size() && !key.empty();) {
      const auto to = std::min(key.find('/', from), key.size());
      path += '/' + HttpClient::escaped(key.substr(from, to - from));
      from = to + 1;
    }
    if (path.empty()) path = "/";
    auto answer =
        client_.request(method, config_.http.url + path + (query.empty() ? "" : "?") + query, body,
                        {"x-amz-content-sha256: " + sha256(body), "Content-Type: application/octet-stream"}, stop);
    if (!answer || answer->status / 100 == 2) return answer;
    const auto code = element(answer->body, "Code");
    NotTaken problem({ErrorKind::retry, fmt::format("{} answered {} {}{}", target(), answer->status, code,
                                                    code.empty() ? "" : ": " + element(answer->body, "Message"))});
    problem.wait = answer->retry_after;
    return std::unexpected(std::move(problem));
  }

  Taken put(const std::string& key, const std::string& file, const std::stop_token& stop) {
    if (file.size() > config_.part_bytes) return put_in_parts(key, file, stop);
    const auto answer = ask("PUT", key, "", file, stop);
    return answer ? Taken() : std::unexpected(answer.error());
  }

  Taken put_in_parts(const std::string& key, std::string_view file, const std::stop_token& stop) {
    const auto begun = ask("POST", key, "uploads=", {}, stop);
    if (!begun) return std::unexpected(begun.error());
    const auto upload = "uploadId=" + HttpClient::escaped(element(begun->body, "UploadId"));
    std::string parts;
    const auto give_up = [&](NotTaken problem) -> Taken {
      (void)ask("DELETE", key, upload, {}, stop);  // what is not ended costs for as long as it stays
      return std::unexpected(std::move(problem));
    };
    for (int number = 1; !file.empty(); ++number) {
      const auto part = file.substr(0, config_.part_bytes);
      file.remove_prefix(part.size());
      const auto sent = ask("PUT", key, fmt::format("partNumber={}&{}", number, upload), part, stop);
      if (!sent) return give_up(sent.error());
      parts += fmt::format("<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>", number, sent->etag);
    }
    const auto ended =
        ask("POST", key, upload, "<CompleteMultipartUpload>" + parts + "</CompleteMultipartUpload>", stop);
    if (!ended) return give_up(ended.error());
    // It answers 200 at once, and says in the body how it went.
    if (const auto code = element(ended->body, "Code"); !code.empty())
      return give_up(
          NotTaken({ErrorKind::retry, fmt::format("{} could not put the parts together: {}", target(), code)}));
    return {};
  }

  const S3Config config_;
  const std::string gateway_;
  HttpClient client_;
};

}  // namespace

S3Config parse_s3(const config::Table& table) {
  S3Config s3{.http = parse_http(table)};
  if (table.has("compression")) table.fail("compression", "has no use here: Parquet files are packed with Snappy");
  s3.http.compression = HttpConfig::Compression::none;  // Snappy does that within the file
  s3.http.username = table.text("access_key");
  s3.http.password = table.secret("secret_key");
  if (s3.http.password.empty()) table.fail("secret_key", "is required beside access_key");
  const auto region = table.text("region", "us-east-1");
  if (region.empty() || region.find_first_of(": ") != std::string::npos)
    table.fail("region", "expected a name such as eu-central-1");
  s3.http.sigv4 = fmt::format("aws:amz:{}:s3", region);
  s3.key = table.text("key", s3.key);
  for (const auto* name : {"{device}", "{date}", "{hour}"}) {
    if (s3.key.find(name) == std::string::npos)
      table.fail("key", fmt::format("expected {{device}}, {{date}} and {{hour}} in it; {} is missing", name));
  }
  if (s3.key.starts_with('/')) table.fail("key", "expected no / in front");
  s3.part_bytes = static_cast<std::size_t>(table.bytes("part_size", kLeastPart, INT64_C(1) << 30, 8 << 20));
  s3.export_every =
      std::chrono::duration_cast<std::chrono::seconds>(table.duration("export_every", 1s, 24h, s3.export_every));
  return s3;
}

std::unique_ptr<Sink> s3_sink(S3Config config, std::string gateway) {
  return std::make_unique<S3Sink>(std::move(config), std::move(gateway));
}

}  // namespace wattd::sync
