#include "sync/remote_write.h"

#include <fmt/format.h>
#include <snappy.h>

#include <array>
#include <cmath>
#include <map>

#include "prometheus.pb.h"
#include "sync/influx_query.h"

namespace wattd::sync {
namespace {

constexpr std::string_view kMeasurement = "device_telemetry";

bool is_metric_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == ':';
}

class Request {
 public:
  Request(const std::string& gateway, Stream stream)
      : gateway_(gateway),
        prefix_(stream == Stream::readings ? std::string(kMeasurement)
                                           : fmt::format("{}_{}", kMeasurement, to_string(stream))) {}

  void add(const Outgoing& outgoing) {
    if (last_.rows != outgoing.rows || last_.device != outgoing.device) find_series(outgoing);
    last_ = outgoing;
    const auto milliseconds = to_unix_us(outgoing.at()) / 1000;
    const auto& columns = outgoing.rows->block->columns;
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (!columns[i].has(outgoing.row)) continue;
      const auto number = columns[i].values.number(outgoing.row);
      if (!number || !std::isfinite(*number)) continue;
      auto& series = series_[i];
      if (series == nullptr) series = &series_of(*outgoing.device, outgoing.rows->fields[i]);
      auto* const sample = series->add_samples();
      sample->set_value(*number);
      sample->set_timestamp(milliseconds);
    }
  }

  std::string text() const { return request_.SerializeAsString(); }

 private:
  /// Those of the columns: made when the first number comes.
  void find_series(const Outgoing& outgoing) { series_.assign(outgoing.rows->fields.size(), nullptr); }

  /// One for all rows of the batch, so that its samples are together and in order.
  prometheus::TimeSeries& series_of(const storage::DeviceVersion& device, const std::string& field) {
    auto name = fmt::format("{}_{}", prefix_, field);
    for (auto& c : name) {
      if (!is_metric_character(c)) c = '_';
    }
    const bool is_renamed = name.substr(prefix_.size() + 1) != field;
    // In order of their names, as the specification wants them.
    const std::array<std::pair<std::string_view, std::string_view>, 8> labels{
        {{"__name__", name},
         {"device_id", device.device_id},
         {"device_type", device.device_type},
         {"enrichment_status", device.enrichment_status},
         {"field", is_renamed ? std::string_view(field) : std::string_view()},
         {"gateway", gateway_},
         {"location", device.location},
         {"schema_version", device.schema_version}}};
    std::string key;
    for (const auto& [label, value] : labels) (key += value) += '\0';
    auto& series = known_[key];
    if (series != nullptr) return *series;
    series = request_.add_timeseries();
    for (const auto& [label, value] : labels) {
      if (value.empty()) continue;
      auto* const added = series->add_labels();
      added->set_name(std::string(label));
      added->set_value(std::string(value));
    }
    return *series;
  }

  const std::string& gateway_;
  const std::string prefix_;
  prometheus::WriteRequest request_;
  std::map<std::string, prometheus::TimeSeries*> known_;  // by the values of their labels
  std::vector<prometheus::TimeSeries*> series_;
  Outgoing last_{};
};

class RemoteWriteSink final : public Sink {
 public:
  RemoteWriteSink(RemoteWriteConfig config, std::string gateway, Stream stream)
      : config_(std::move(config)), gateway_(std::move(gateway)), stream_(stream), client_(config_.http) {
    if (!config_.http.token.empty()) headers_.push_back("Authorization: Bearer " + config_.http.token);
  }

  std::string pack(std::span<const Outgoing> batch) const override {
    const auto request = to_write_request(batch, gateway_, stream_);
    if (request.empty()) return {};
    std::string packed;
    snappy::Compress(request.data(), request.size(), &packed);
    return packed;
  }

  Taken deliver(std::string_view request, std::span<const Outgoing>, const std::stop_token& stop) override {
    if (request.empty()) return {};
    auto headers = headers_;
    headers.insert(headers.end(), {"Content-Type: application/x-protobuf", "Content-Encoding: snappy",
                                   "X-Prometheus-Remote-Write-Version: 0.1.0"});
    return client_.post(config_.path, request, headers, stop);
  }

  std::string target() const override { return config_.http.url + config_.path; }
  std::uint64_t breaks() const override { return client_.breaks(); }
  std::uint64_t traffic() const override { return client_.traffic(); }
  Taken confirm(const std::stop_token& stop) override { return client_.confirm(stop); }

  std::expected<std::string, NotTaken> probe(const std::stop_token& stop) override {
    // No series: who answers 400 to that has understood it.
    std::string nothing;
    snappy::Compress("", 0, &nothing);
    const auto taken = deliver(nothing, {}, stop);
    if (!taken && taken.error().kind != ErrorKind::permanent) return std::unexpected(taken.error());
    return target() + " takes remote write";
  }

  std::expected<Census, NotTaken> count(TimeRange range, const std::stop_token& stop) override {
    const InfluxQuery query{.url = config_.query_url.empty() ? config_.http.url : config_.query_url,
                            .database = {},
                            .measurement = std::string(kMeasurement),
                            .gateway = gateway_};
    return sync::count(client_, query, headers_, range, stop);
  }

 private:
  const RemoteWriteConfig config_;
  const std::string gateway_;
  const Stream stream_;
  HttpClient client_;
  std::vector<std::string> headers_;
};

}  // namespace

std::string to_write_request(std::span<const Outgoing> batch, const std::string& gateway, Stream stream) {
  Request request(gateway, stream);
  for (const auto& outgoing : batch) request.add(outgoing);
  return request.text();
}

RemoteWriteConfig parse_remote_write(const config::Table& table) {
  RemoteWriteConfig write{.http = parse_http(table)};
  write.http.compression = HttpConfig::Compression::none;  // snappy is what everyone takes
  write.path = table.text("path", write.path);
  if (!write.path.empty() && !write.path.starts_with('/')) table.fail("path", "expected a path that begins with /");
  write.query_url = parse_url(table, "query_url", "");
  return write;
}

std::unique_ptr<Sink> remote_write_sink(RemoteWriteConfig config, std::string gateway, Stream stream) {
  return std::make_unique<RemoteWriteSink>(std::move(config), std::move(gateway), stream);
}

}  // namespace wattd::sync
