#include "daemon/notices.h"

#include "daemon/thread.h"

namespace wattd::daemon {
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 10s;  // for the writer to come to it

std::vector<std::string> relays_of(const Settings& settings) {
  std::vector<std::string> channels;
  for (const auto& chip : settings.chips) {
    for (const auto& output : chip.outputs) {
      if (!output.channel.empty()) channels.push_back(output.channel);
    }
  }
  return channels;
}

}  // namespace

/// Deliveries go to the one writer.
class Notices::PipelineDesk final : public notify::Desk {
 public:
  explicit PipelineDesk(pipeline::Pipeline& pipeline) : pipeline_(pipeline) {}
  Result<void> put(storage::Changes changes) override {
    // Shared with the change, which may run after we have given up waiting for it.
    const auto outcome = std::make_shared<Result<void>>();
    const bool done = pipeline_.change_and_wait(
        [outcome, changes = std::move(changes)](pipeline::Pipeline& pipeline) { *outcome = pipeline.write(changes); },
        kPatience);
    return done ? *outcome : fail(ErrorKind::retry, "the pipeline is busy");
  }
  void note(storage::Changes changes) override {
    pipeline_.change([changes = std::move(changes)](pipeline::Pipeline& pipeline) { pipeline.note(changes); });
  }

 private:
  pipeline::Pipeline& pipeline_;
};

Notices::Notices(const Settings& settings, const std::string& gateway_id, pipeline::Pipeline& pipeline,
                 const Clock& clock)
    : desk_(std::make_unique<PipelineDesk>(pipeline)),
      notifier_(settings.channels, relays_of(settings), gateway_id, pipeline.store().path(), pipeline.store().vault(),
                *desk_, clock) {
  for (const auto& courier : notifier_.couriers())
    threads_.push_back(start_thread("courier", [&c = *courier](const std::stop_token& stop) { c.run(stop); }));
}

Notices::~Notices() {
  for (auto& thread : threads_) thread.request_stop();
}

void Notices::begin(pipeline::Pipeline& pipeline) {
  // What has been told, and waits to be written down with the next group, is not to be told again.
  if (const auto written = pipeline.write({}); !written)
    log::warning("what was told last could not be written down: " + written.error().message);
  notifier_.begin(pipeline.store().announcements(), pipeline.store().pending_deliveries());
}

}  // namespace wattd::daemon
