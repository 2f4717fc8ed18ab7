#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "storage/batch.h"
#include "telemetry/error.h"

namespace wattd::storage {

/// Readings of one device on their way from a gateway to another.
struct ShippedRows {
  DeviceVersion device;
  Rows rows;  ///< In order of time; their device versions are 0.
};

struct Shipment {
  std::string gateway;  ///< Who sends it.
  std::vector<ShippedRows> parts;
};

/// Gathers readings into a shipment.
class ShipmentWriter {
 public:
  explicit ShipmentWriter(std::string gateway) : gateway_(std::move(gateway)) {}

  /// Takes a row, as it is behind those before it.
  void add(const Rows& rows, std::size_t row, const DeviceVersion& device);
  /// Shape: docs/formats/shipment.md.
  std::vector<std::uint8_t> encode();

 private:
  struct Part {
    DeviceVersion device;
    std::vector<std::string> fields;
    Block block;
  };
  Part& part_of(const DeviceVersion& device);
  const std::vector<std::uint32_t>& places_of(const Rows& rows, Part& part);

  std::string gateway_;
  std::vector<Part> parts_;
  // Of the row before, which mostly is of the same rows.
  const Rows* last_rows_ = nullptr;
  const DeviceVersion* last_device_ = nullptr;
  std::size_t last_part_ = 0;
  std::vector<std::uint32_t> last_places_;
};

/// Errors: corrupt; hostile bytes cost neither a crash nor unbounded memory.
Result<Shipment> decode_shipment(std::span<const std::uint8_t> bytes);

}  // namespace wattd::storage
