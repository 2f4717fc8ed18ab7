#include "daemon/uplinks.h"

#include <fmt/format.h>

#include <algorithm>

#include "daemon/thread.h"
#include "drivers/mqtt/writer.h"
#include "telemetry/schema.h"

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

/// One Home Assistant, and the way to it.
struct Uplinks::Home {
  std::unique_ptr<drivers::mqtt::Writer> writer;
  std::unique_ptr<sync::HomeAssistant> assistant;
};

void Uplinks::add_home(const sync::HomeAssistantConfig& config, const std::string& gateway_id, const Settings& settings,
                       const pipeline::Registry& registry, const Clock& clock) {
  auto schemas = settings.registry.schemas;
  schemas.push_back(bulb_schema());
  const auto describe = [&registry, &clock, schemas](const std::string& device, const std::string& field) {
    sync::Announced series{.device = {.id = device}, .measurand = field};
    const auto known = registry.activity(clock.monotonic());
    const auto found = std::ranges::find(known, device, [](const auto& one) { return one.device.id; });
    if (found != known.end()) series.device = found->device;
    const auto schema = std::ranges::find(schemas, series.device.type, &Schema::device_type);
    const auto* rule = schema == schemas.end() ? nullptr : schema->find(field);
    if (rule != nullptr && !rule->measurand.empty()) series.measurand = rule->measurand;
    return series;
  };
  homes_.push_back(std::make_unique<Home>());
  auto& home = *homes_.back();
  home.assistant = std::make_unique<sync::HomeAssistant>(
      config, gateway_id, describe,
      [&home](const std::string& topic, const std::string& payload) { home.writer->publish(topic, payload, true); },
      clock);
  auto broker = config.broker;
  if (broker.client_id.empty()) broker.client_id = "wattd-" + gateway_id.substr(0, 8) + "-" + config.id;
  const auto status = home.assistant->availability_topic();
  home.writer = std::make_unique<drivers::mqtt::Writer>(
      std::move(broker), config.id, [status] { return drivers::mqtt::Will{status, "offline"}; },
      [&home, status](drivers::mqtt::Writer& writer) {
        home.assistant->connected();
        writer.publish(status, "online", true);
      });
}

Uplinks::Uplinks(const Settings& settings, const std::string& gateway_id, const std::vector<storage::Cursor>& cursors,
                 const storage::Store& store, pipeline::Pipeline& pipeline, const Clock& clock)
    : store_(store), gateway_id_(gateway_id), clock_(clock), ledger_(std::make_unique<PipelineLedger>(pipeline)) {
  for (const auto& sink : settings.sinks) {
    const auto budget = sink.budget > 0 ? std::make_shared<sync::Budget>(sink.budget) : nullptr;
    for (const auto& config : configs_of(sink)) {
      const auto known = std::ranges::find(cursors, config.id, &storage::Cursor::sink_id);
      uplinks_.push_back({.sink = sink,
                          .budget = budget,
                          .shipper = std::make_unique<sync::Shipper>(
                              config, known == cursors.end() ? storage::Cursor{} : *known,
                              sync::make_source(store, config.stream, has_whole_hours(config), clock),
                              sync::make_sink(config, gateway_id), *ledger_, clock, budget)});
    }
  }
  for (const auto& uplink : uplinks_) {
    threads_.push_back(start_thread("uplink", [&s = *uplink.shipper](const std::stop_token& stop) { s.run(stop); }));
  }
  for (const auto& config : settings.homes) add_home(config, gateway_id, settings, pipeline.registry(), clock);
  for (const auto& home : homes_)
    threads_.push_back(start_thread("home", [&a = *home->assistant](const std::stop_token& stop) { a.run(stop); }));
}

Uplinks::~Uplinks() {
  for (auto& thread : threads_) thread.request_stop();
  for (auto& uplink : uplinks_) uplink.job_thread.request_stop();
  for (const auto& home : homes_) home->writer->publish(home->assistant->availability_topic(), "offline", true);
}

void Uplinks::offer(const std::shared_ptr<const pipeline::Committed>& group) {
  for (const auto& home : homes_) home->assistant->offer({group, &group->readings});
}

void Uplinks::wake() {
  for (const auto& uplink : uplinks_) uplink.shipper->wake();
}

std::vector<sync::SinkStatus> Uplinks::status() const {
  const std::scoped_lock lock(mutex_);
  std::vector<sync::SinkStatus> list;
  for (const auto& uplink : uplinks_) {
    list.push_back({.shipper = uplink.shipper->status()});
    if (uplink.job) list.back().job = uplink.job->status();
  }
  return list;
}

Uplinks::Uplink* Uplinks::find(const std::string& sink) {
  const auto found = std::ranges::find(uplinks_, sink, [](const Uplink& uplink) { return uplink.sink.id; });
  return found == uplinks_.end() ? nullptr : &*found;
}

namespace {

std::unexpected<Error> no_such_sink(const std::string& sink) {
  return fail(ErrorKind::permanent, fmt::format("there is no sink {:?}", sink));
}

}  // namespace

Result<void> Uplinks::pause(const std::string& sink, bool paused) {
  if (find(sink) == nullptr) return no_such_sink(sink);
  for (auto& uplink : uplinks_) {
    if (uplink.sink.id == sink) uplink.shipper->pause(paused);
  }
  return {};
}

Result<void> Uplinks::start(const std::string& sink, const sync::JobRequest& request) {
  auto* const uplink = find(sink);
  if (uplink == nullptr) return no_such_sink(sink);
  const bool needs_readings = request.kind != sync::JobRequest::Kind::test;
  if (needs_readings && std::ranges::find(uplink->sink.streams, sync::Stream::readings) == uplink->sink.streams.end())
    return fail(ErrorKind::permanent, fmt::format("{} gets no readings: its streams follow what changes", sink));
  const auto* broker = std::get_if<sync::MqttSinkConfig>(&uplink->sink.store);
  if (needs_readings && broker != nullptr && broker->form == sync::MqttSinkConfig::Form::sparkplug)
    return fail(ErrorKind::unsupported,
                "a second edge node of the same name would confuse the hosts: Sparkplug has no place for it");
  const std::scoped_lock lock(mutex_);
  if (uplink->job && !uplink->job->status().ended)
    return fail(ErrorKind::retry, "another job of this sink is still running: wattctl sync status");
  uplink->job_thread = {};
  auto config = uplink->sink;
  // A second connection of the same name would push the first one out at a broker.
  config.id += "-job";
  if (auto* mqtt = std::get_if<sync::MqttSinkConfig>(&config.store); mqtt != nullptr && !mqtt->broker.client_id.empty())
    mqtt->broker.client_id += "-job";
  auto job = std::make_unique<sync::Job>(
      request, uplink->sink, sync::make_source(store_, sync::Stream::readings, has_whole_hours(config), clock_),
      sync::make_sink(config, gateway_id_), *ledger_, clock_, uplink->budget);
  uplink->job = std::move(job);
  uplink->job_thread = start_thread("uplink-job", [&j = *uplink->job](const std::stop_token& stop) { j.run(stop); });
  return {};
}

Result<void> Uplinks::cancel(const std::string& sink) {
  auto* const uplink = find(sink);
  if (uplink == nullptr) return no_such_sink(sink);
  const std::scoped_lock lock(mutex_);
  uplink->job_thread.request_stop();
  return {};
}

}  // namespace wattd::daemon
