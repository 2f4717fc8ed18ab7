#include "cli/pcap.h"

#include <fmt/format.h>

namespace wattd::cli {
namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::uint32_t kMagic = 0xA1B2C3D4;  // stamps in microseconds
constexpr std::uint32_t kRawIp = 101, kRtacSerial = 250;
constexpr int kPort = 502, kOurPort = 50'200;

void put_native(Bytes& out, std::uint32_t value) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(&value);
  out.insert(out.end(), bytes, bytes + sizeof value);
}

/// Network order.
void put(Bytes& out, std::uint32_t value, int bytes) {
  while (bytes-- > 0) out.push_back(static_cast<std::uint8_t>(value >> (8 * bytes)));
}

std::uint16_t internet_checksum(std::span<const std::uint8_t> bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) sum += static_cast<std::uint32_t>(bytes[i] << 8 | bytes[i + 1]);
  while (sum > 0xFFFF) sum = (sum & 0xFFFF) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

/// IPv4 and TCP around the bytes, between 10.0.0.1 (us) and 10.0.0.2.
Bytes ip_packet(bool sent, std::uint32_t number, std::uint32_t acknowledged, std::span<const std::uint8_t> bytes) {
  constexpr std::uint32_t kUs = 0x0A000001, kThem = 0x0A000002;
  Bytes packet;
  put(packet, 0x4500, 2);
  put(packet, static_cast<std::uint32_t>(40 + bytes.size()), 2);
  put(packet, 0, 4);
  put(packet, 0x4006, 2);  // 64 hops, TCP
  put(packet, 0, 2);
  put(packet, sent ? kUs : kThem, 4);
  put(packet, sent ? kThem : kUs, 4);
  const auto checksum = internet_checksum(packet);
  packet[10] = static_cast<std::uint8_t>(checksum >> 8), packet[11] = static_cast<std::uint8_t>(checksum);
  put(packet, sent ? kOurPort : kPort, 2);
  put(packet, sent ? kPort : kOurPort, 2);
  put(packet, number, 4);
  put(packet, acknowledged, 4);
  put(packet, 0x5018, 2);  // no options; PSH, ACK
  put(packet, 0xFFFF, 2);
  put(packet, 0, 4);  // a checksum of 0 is not looked at by default
  packet.insert(packet.end(), bytes.begin(), bytes.end());
  return packet;
}

Bytes serial_packet(bool sent, std::int64_t us, std::span<const std::uint8_t> bytes) {
  Bytes packet;
  put(packet, static_cast<std::uint32_t>(us / 1'000'000), 4);
  put(packet, static_cast<std::uint32_t>(us % 1'000'000), 4);
  put(packet, sent ? 1 : 2, 1);  // data begins to be transmitted, or received
  put(packet, 0, 3);             // control lines and footer
  packet.insert(packet.end(), bytes.begin(), bytes.end());
  return packet;
}

}  // namespace

Result<PcapFile> PcapFile::create(const std::string& path, drivers::modbus::Framing framing) {
  PcapFile pcap(framing);
  pcap.path_ = path;
  pcap.file_.open(path, std::ios::binary | std::ios::trunc);
  Bytes head;
  put_native(head, kMagic);
  put_native(head, 2 | 4 << 16);  // version 2.4, as two words of this machine's order
  put_native(head, 0);
  put_native(head, 0);
  put_native(head, 65'535);
  put_native(head, framing == drivers::modbus::Framing::tcp ? kRawIp : kRtacSerial);
  pcap.file_.write(reinterpret_cast<const char*>(head.data()), static_cast<std::streamsize>(head.size()));
  if (!pcap.file_.flush()) return fail(ErrorKind::permanent, path + " cannot be written");
  return pcap;
}

Result<void> PcapFile::add(Timestamp at, bool sent, std::span<const std::uint8_t> bytes) {
  const auto us = to_unix_us(at);
  Bytes packet;
  if (framing_ == drivers::modbus::Framing::tcp) {
    packet = ip_packet(sent, next_[sent], next_[!sent], bytes);
    next_[sent] += static_cast<std::uint32_t>(bytes.size());
  } else {
    packet = serial_packet(sent, us, bytes);
  }
  Bytes head;
  put_native(head, static_cast<std::uint32_t>(us / 1'000'000));
  put_native(head, static_cast<std::uint32_t>(us % 1'000'000));
  put_native(head, static_cast<std::uint32_t>(packet.size()));
  put_native(head, static_cast<std::uint32_t>(packet.size()));
  file_.write(reinterpret_cast<const char*>(head.data()), static_cast<std::streamsize>(head.size()));
  file_.write(reinterpret_cast<const char*>(packet.data()), static_cast<std::streamsize>(packet.size()));
  if (!file_.flush()) return fail(ErrorKind::permanent, path_ + " cannot be written");
  return {};
}

}  // namespace wattd::cli
