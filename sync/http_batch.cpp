#include "sync/http_batch.h"

#include <fmt/format.h>

#include <chrono>
#include <iterator>

#include "sync/digest.h"
#include "sync/documents.h"
#include "telemetry/json_text.h"

namespace wattd::sync {
namespace {

class HttpBatchSink final : public Sink {
 public:
  HttpBatchSink(HttpBatchConfig config, std::string gateway, Stream stream)
      : config_(std::move(config)), gateway_(std::move(gateway)), stream_(stream), client_(config_.http) {}

  std::string pack(std::span<const Outgoing> batch) const override {
    return is_ndjson() ? documents_of(batch, gateway_, stream_) : sensors_of(batch);
  }

  Taken deliver(std::string_view body, std::span<const Outgoing>, const std::stop_token& stop) override {
    if (body.empty()) return {};
    std::vector<std::string> headers{
        is_ndjson() ? "Content-Type: application/x-ndjson" : "Content-Type: application/json",
        "X-Wattd-Gateway: " + gateway_,
        // The same readings are the same bytes, however often they are sent.
        "Idempotency-Key: " + sha256(body)};
    if (!config_.http.token.empty()) headers.push_back("Authorization: Bearer " + config_.http.token);
    if (!config_.secret.empty()) {
      const auto seconds =
          std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
      headers.push_back(fmt::format("X-Wattd-Signature: t={},v1={}", seconds,
                                    hmac_sha256(config_.secret, fmt::format("{}.{}", seconds, body))));
    }
    return client_.post(config_.path, client_.packed(std::string(body)), headers, stop);
  }

  std::string target() const override { return config_.http.url + config_.path; }
  std::uint64_t breaks() const override { return client_.breaks(); }
  std::uint64_t traffic() const override { return client_.traffic(); }
  Taken confirm(const std::stop_token& stop) override { return client_.confirm(stop); }

  std::expected<std::string, NotTaken> probe(const std::stop_token& stop) override {
    std::vector<std::string> headers;
    if (!config_.http.token.empty()) headers.push_back("Authorization: Bearer " + config_.http.token);
    const auto answer = client_.get(target(), headers, stop);
    if (!answer) return std::unexpected(answer.error());
    if (answer->status == 401 || answer->status == 403 ||
        (answer->status >= 500 && answer->status != 501))  // who takes POST alone may say so
      return fail(ErrorKind::retry, fmt::format("{} answers {} to GET", target(), answer->status));
    return fmt::format("{} can be reached; it answers {} to GET", target(), answer->status);
  }

 private:
  bool is_ndjson() const { return config_.form == HttpBatchConfig::Form::ndjson; }

  /// The seed's form; readings without the field are left out.
  std::string sensors_of(std::span<const Outgoing> batch) const {
    std::string list;
    for (const auto& outgoing : batch) {
      const auto reading = outgoing.reading();
      const auto* field = reading.find(config_.field);
      if (field == nullptr || !as_number(field->value)) continue;
      list += list.empty() ? "{\"sensor_id\":" : ",{\"sensor_id\":";
      append_json(list, std::string_view(reading.device_id));
      fmt::format_to(std::back_inserter(list), ",\"timestamp\":\"{}\",\"value_kwh\":", format_iso8601(reading.at));
      append_json(list, field->value);
      list += '}';
    }
    return list.empty() ? list : fmt::format("{{\"readings\":[{}]}}", list);
  }

  const HttpBatchConfig config_;
  const std::string gateway_;
  const Stream stream_;
  HttpClient client_;
};

}  // namespace

HttpBatchConfig parse_http_batch(const config::Table& table) {
  using Form = HttpBatchConfig::Form;
  HttpBatchConfig batch{.http = parse_http(table)};
  batch.form = table.choice<Form>("form", {{"ndjson", Form::ndjson}, {"sensors", Form::sensors}}, Form::ndjson);
  batch.path = table.text("path", batch.form == Form::sensors ? "/api/v1/sensors/readings/batch" : "/api/v1/readings");
  if (!batch.path.empty() && !batch.path.starts_with('/')) table.fail("path", "expected a path that begins with /");
  batch.secret = table.secret("secret");
  batch.field = table.text("field", batch.field);
  return batch;
}

std::unique_ptr<Sink> http_batch_sink(HttpBatchConfig config, std::string gateway, Stream stream) {
  return std::make_unique<HttpBatchSink>(std::move(config), std::move(gateway), stream);
}

}  // namespace wattd::sync
