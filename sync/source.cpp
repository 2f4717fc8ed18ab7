#include "sync/source.h"

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

}  // namespace

std::unique_ptr<Source> database_source(const storage::Store& store) { return std::make_unique<DatabaseSource>(store); }

}  // namespace wattd::sync
