#pragma once
#include <optional>
#include <string>
#include <vector>

#include "drivers/modbus/bus.h"
#include "drivers/modbus/trace.h"
#include "notify/courier.h"
#include "storage/store.h"
#include "sync/status.h"
#include "telemetry/clock.h"

namespace wattd::api {

struct ConnectionStatus {
  std::string id;
  std::string address;
  bool connected = false;
  std::uint64_t messages = 0;
  std::uint64_t connects = 0;
  std::uint64_t retained_skipped = 0;
  std::uint64_t full_pauses = 0;
  std::string last_error;
};

struct BusStatus {
  std::string id;
  std::string address;
  drivers::modbus::BusHealth health;
};

struct ChipStatus {
  std::string chip;
  std::string last_error;  ///< Empty while its lines are watched.
};

struct BusTrace {
  drivers::modbus::Framing framing = drivers::modbus::Framing::rtu;
  std::vector<drivers::modbus::TracedFrame> frames;
};

/// Configuration that is fetched.
struct BundleStatus {
  std::uint64_t applied = 0;  ///< Serial; 0 for none.
  bool trial = false;
  std::uint64_t refused = 0;  ///< The last that was not taken, or was taken back,
  std::string why;            ///< and why.
  std::string last_error;     ///< While nothing can be fetched.
};

/// What the API has to know of the daemon beside the pipeline and the database: a snapshot.
struct Overview {
  std::string gateway_id;
  std::string config_path;
  std::string database;
  std::string set_aside;  ///< Why an older database is not in use; empty when there is none.
  bool clock_is_trusted = true;
  std::uint64_t clock_steps = 0;  ///< Since start, once it was trusted.
  Timestamp started_at{};
  storage::Usage usage;
  std::vector<ConnectionStatus> connections;
  std::vector<BusStatus> buses;
  std::vector<ChipStatus> chips;
  std::vector<sync::SinkStatus> sinks;
  std::vector<notify::ChannelStatus> channels;
  std::optional<BundleStatus> bundle;
  std::vector<std::string> missing;  ///< What is not configured yet, each with how to add it.
};

/// The running daemon, as the API sees it. Threads: any.
class Gateway {
 public:
  virtual ~Gateway() = default;
  virtual Overview overview() const = 0;
  /// Reads registers on a bus, between two turns of its meters. Errors: as of drivers::modbus::Bus::ask; permanent for
  /// a bus that is not there.
  virtual Result<std::vector<std::uint16_t>> ask_meter(const std::string& bus,
                                                       const drivers::modbus::ReadRequest& request,
                                                       std::chrono::milliseconds timeout) const = 0;
  /// Sends a test message over a channel, to one recipient or to all; takes up to half a minute.
  /// Errors: permanent for a channel that is not there, retry with what the provider said.
  virtual Result<std::string> test_channel(const std::string& channel, const std::string& recipient) const = 0;
  /// Whether somebody hears of a rule's alerts: what is amiss with its channels, which need not be there yet.
  /// Errors: permanent for a recipient that its channel cannot reach.
  virtual Result<std::vector<std::string>> check_channels(const Rule& rule) const = 0;
  /// Lets a sink send nothing, or go on. Errors of these three: permanent for a sink that is not there.
  virtual Result<void> pause_sink(const std::string& sink, bool paused) const = 0;
  /// Errors, also: retry while the sink is at another job.
  virtual Result<void> start_job(const std::string& sink, const sync::JobRequest& request) const = 0;
  virtual Result<void> cancel_job(const std::string& sink) const = 0;
  /// What went over a bus after a frame's number; it is kept from now on, for a while. Errors: permanent for a bus that
  /// is not there.
  virtual Result<BusTrace> trace_bus(const std::string& bus, std::uint64_t after) const = 0;
};

}  // namespace wattd::api
