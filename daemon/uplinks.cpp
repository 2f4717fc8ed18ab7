#include "daemon/uplinks.h"

#include <algorithm>

#include "daemon/thread.h"

namespace wattd::daemon {

/// Cursors and refused readings go to the one writer.
class Uplinks::PipelineLedger final : public sync::Ledger {
 public:
  explicit PipelineLedger(pipeline::Pipeline& pipeline) : pipeline_(pipeline) {}
  void save(const storage::Cursor& cursor) override {
    pipeline_.change([cursor](pipeline::Pipeline& pipeline) { pipeline.save_cursor(cursor); });
  }
  void set_aside(DeadLetter letter) override {
    pipeline_.change([letter = std::move(letter)](pipeline::Pipeline& pipeline) { pipeline.set_aside(letter); });
  }

 private:
  pipeline::Pipeline& pipeline_;
};

Uplinks::Uplinks(const Settings& settings, const std::string& gateway_id, const std::vector<storage::Cursor>& cursors,
                 const storage::Store& store, pipeline::Pipeline& pipeline, const Clock& clock)
    : ledger_(std::make_unique<PipelineLedger>(pipeline)) {
  for (const auto& config : settings.sinks) {
    const auto known = std::ranges::find(cursors, config.id, &storage::Cursor::sink_id);
    shippers_.push_back(std::make_unique<sync::Shipper>(config, known == cursors.end() ? storage::Cursor{} : *known,
                                                        sync::database_source(store),
                                                        sync::influx_sink(config.influx, gateway_id), *ledger_, clock));
  }
  for (const auto& shipper : shippers_) {
    threads_.push_back(start_thread("uplink", [&s = *shipper](const std::stop_token& stop) { s.run(stop); }));
  }
}

Uplinks::~Uplinks() {
  for (auto& thread : threads_) thread.request_stop();
}

void Uplinks::wake() {
  for (const auto& shipper : shippers_) shipper->wake();
}

std::vector<sync::ShipperStatus> Uplinks::status() const {
  std::vector<sync::ShipperStatus> list;
  for (const auto& shipper : shippers_) list.push_back(shipper->status());
  return list;
}

}  // namespace wattd::daemon
