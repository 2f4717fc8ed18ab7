#include "sync/wattd.h"

#include "storage/shipment.h"

namespace wattd::sync {
namespace {

class WattdSink final : public Sink {
 public:
  WattdSink(WattdConfig config, std::string gateway)
      : gateway_(std::move(gateway)),
        client_(config.http),
        headers_{"Authorization: Bearer " + config.http.token, "Content-Type: application/vnd.wattd.shipment"} {}

  std::string pack(std::span<const Outgoing> batch) const override {
    storage::ShipmentWriter shipment(gateway_);
    for (const auto& outgoing : batch) shipment.add(*outgoing.rows, outgoing.row, *outgoing.device);
    const auto bytes = shipment.encode();
    return {bytes.begin(), bytes.end()};
  }

  Taken deliver(std::string_view shipment, std::span<const Outgoing> batch, const std::stop_token& stop) override {
    if (batch.empty()) return {};
    return client_.post(kPath, shipment, headers_, stop);
  }

  std::string target() const override { return client_.config().url; }
  std::uint64_t breaks() const override { return client_.breaks(); }
  std::uint64_t traffic() const override { return client_.traffic(); }
  Taken confirm(const std::stop_token& stop) override { return client_.confirm(stop); }

  std::expected<std::string, NotTaken> probe(const std::stop_token& stop) override {
    const auto bytes = storage::ShipmentWriter(gateway_).encode();
    if (auto taken = client_.post(kPath, {reinterpret_cast<const char*>(bytes.data()), bytes.size()}, headers_, stop);
        !taken)
      return std::unexpected(taken.error());
    return target() + " collects from this gateway";
  }

 private:
  static constexpr const char* kPath = "/api/v1/collect";

  const std::string gateway_;
  HttpClient client_;
  const std::vector<std::string> headers_;
};

}  // namespace

WattdConfig parse_wattd(const config::Table& table) {
  WattdConfig wattd{.http = parse_http(table)};
  wattd.http.compression = HttpConfig::Compression::none;  // blocks are compressed as they are
  if (wattd.http.token.empty()) table.fail("token", "is required: the one that [[collect]] of the other wattd has");
  return wattd;
}

std::unique_ptr<Sink> wattd_sink(WattdConfig config, std::string gateway) {
  return std::make_unique<WattdSink>(std::move(config), std::move(gateway));
}

}  // namespace wattd::sync
