#pragma once
#include <cstdint>
#include <fstream>
#include <span>
#include <string>

#include "drivers/modbus/frame.h"
#include "telemetry/error.h"
#include "telemetry/time.h"

namespace wattd::cli {

/// Writes frames of a bus to a file that Wireshark reads. Frames of Modbus TCP stand in packets of a TCP connection to
/// port 502, whose addresses are made up; frames of a serial line stand as they are, checksums included, in packets of
/// the link type RTAC Serial: Decode As, `RTAC Serial`, `Modbus RTU`.
/// Source: the pcap format (libpcap, 2.4); tcpdump.org/linktypes, 101 and 250.
class PcapFile {
 public:
  /// Errors: permanent, when the file cannot be written.
  static Result<PcapFile> create(const std::string& path, drivers::modbus::Framing framing);
  Result<void> add(Timestamp at, bool sent, std::span<const std::uint8_t> bytes);

 private:
  explicit PcapFile(drivers::modbus::Framing framing) : framing_(framing) {}

  std::string path_;
  std::ofstream file_;
  drivers::modbus::Framing framing_;
  std::uint32_t next_[2] = {1, 1};  ///< Numbers of the next byte from them and from us.
};

}  // namespace wattd::cli
