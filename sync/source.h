#pragma once
#include <memory>

#include "storage/reader.h"
#include "storage/store.h"
#include "sync/stream.h"
#include "telemetry/clock.h"

namespace wattd::sync {

/// What there is to ship of one stream; the storage room's Reader in life. Threads: one at a time.
class Source {
 public:
  virtual ~Source() = default;
  virtual const Calendar& calendar() const = 0;
  /// The newest segment.
  virtual Result<std::uint64_t> last() = 0;
  virtual Result<storage::Batch> batch_after(const storage::Position& position, std::size_t max_readings,
                                             std::uint64_t last) = 0;
  virtual Result<storage::DeviceVersion> device_version(const std::string& device_id, std::uint32_t version) = 0;
  /// Readings in segments behind `after`, up to `to`; what the ring has overwritten is not counted.
  virtual Result<std::uint64_t> readings_in_ring(std::uint64_t after, std::uint64_t to) = 0;
  /// Every device that ever said something.
  virtual Result<std::vector<std::string>> devices() = 0;
  /// What a device said in a range, in order of time, every stamp once; at most about `max_readings`, from the
  /// beginning.
  virtual Result<storage::Batch> batch_of(const std::string& device_id, TimeRange range, std::size_t max_readings) = 0;
};
std::unique_ptr<Source> database_source(const storage::Store& store);

/// Records of devices or alerts, or how many messages were refused, each as it is now and in the order of their
/// changes: positions are numbers of changes, not of segments.
std::unique_ptr<Source> record_source(const storage::Store& store, storage::RecordKind kind);

/// What a sink is fed from, by its kind and stream.
std::unique_ptr<Source> make_source(const storage::Store& store, Stream stream, bool whole_hours, const Clock& clock);

}  // namespace wattd::sync
