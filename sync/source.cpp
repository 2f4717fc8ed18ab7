#include "sync/source.h"

#include "sync/intervals.h"
#include "sync/whole_hours.h"

namespace wattd::sync {
namespace {

class DatabaseSource final : public Source {
 public:
  explicit DatabaseSource(const storage::Store& store) : reader_(store.path(), store.vault()) {}
  const Calendar& calendar() const override { return reader_.calendar(); }
  Result<std::uint64_t> last() override { return reader_.last_segment(); }
  Result<storage::Batch> batch_after(const storage::Position& position, std::size_t max_readings,
                                     std::uint64_t last) override {
    return reader_.batch_after(position, max_readings, last);
  }
  Result<storage::DeviceVersion> device_version(const std::string& device_id, std::uint32_t version) override {
    return reader_.device_version(device_id, version);
  }
  Result<std::uint64_t> readings_in_ring(std::uint64_t after, std::uint64_t to) override {
    return reader_.readings_in_ring(after, to);
  }
  Result<std::vector<std::string>> devices() override { return reader_.devices(); }
  Result<storage::Batch> batch_of(const std::string& device_id, TimeRange range, std::size_t max_readings) override {
    return reader_.batch_of(device_id, range, max_readings);
  }

 private:
  storage::Reader reader_;
};

class RecordSource final : public Source {
 public:
  RecordSource(const storage::Store& store, storage::RecordKind kind)
      : reader_(store.path(), store.vault()), kind_(kind) {}
  const Calendar& calendar() const override { return reader_.calendar(); }
  Result<std::uint64_t> last() override { return reader_.last_record(kind_); }
  Result<storage::Batch> batch_after(const storage::Position& position, std::size_t max_readings,
                                     std::uint64_t last) override {
    const auto newest = this->last();
    if (!newest) return std::unexpected(newest.error());
    // Numbers begin anew in a database that was salvaged: all of it is sent again.
    const auto after = position.seq > *newest ? 0 : position.seq;
    auto batch = reader_.records_after(kind_, after, last, max_readings);
    if (batch && batch->parts.empty()) batch->end = position;
    return batch;
  }
  Result<storage::DeviceVersion> device_version(const std::string& device_id, std::uint32_t) override {
    return storage::DeviceVersion{.device_id = device_id};
  }
  Result<std::uint64_t> readings_in_ring(std::uint64_t after, std::uint64_t to) override {
    return reader_.records_between(kind_, after, to);
  }
  Result<std::vector<std::string>> devices() override { return reader_.devices(); }
  Result<storage::Batch> batch_of(const std::string&, TimeRange, std::size_t) override {
    return fail(ErrorKind::unsupported, "records have no range");
  }

 private:
  storage::Reader reader_;
  const storage::RecordKind kind_;
};

}  // namespace

std::unique_ptr<Source> record_source(const storage::Store& store, storage::RecordKind kind) {
  return std::make_unique<RecordSource>(store, kind);
}

std::unique_ptr<Source> database_source(const storage::Store& store) { return std::make_unique<DatabaseSource>(store); }

std::unique_ptr<Source> make_source(const storage::Store& store, Stream stream, bool whole_hours, const Clock& clock) {
  switch (stream) {
    case Stream::readings:
      if (whole_hours) return whole_hour_source(std::make_unique<storage::Reader>(store.path(), store.vault()));
      return database_source(store);
    case Stream::hours:
    case Stream::days:
    case Stream::summaries: return interval_source(store, stream, clock);
    case Stream::devices: return record_source(store, storage::RecordKind::devices);
    case Stream::alerts: return record_source(store, storage::RecordKind::alerts);
    case Stream::analytics: return record_source(store, storage::RecordKind::analytics);
    case Stream::dead_letters: return record_source(store, storage::RecordKind::dead_letters);
  }
  return nullptr;
}

}  // namespace wattd::sync
