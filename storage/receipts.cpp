#include "storage/receipts.h"

#include <fmt/format.h>

#include "telemetry/bytes.h"
#include "telemetry/log.h"

namespace wattd::storage {

std::vector<std::uint8_t> encode_receipts(const std::vector<Receipt>& receipts) {
  ByteWriter out;
  std::string source;
  std::int64_t previous = 0;
  for (const auto& receipt : receipts) {
    const bool same = receipt.source == source;
    out.byte(same ? 0 : 1);
    if (!same) out.text(source = receipt.source);
    out.zigzag_varint(receipt.packet_id - previous);
    previous = receipt.packet_id;
    out.word(receipt.payload_hash);
  }
  return std::move(out.bytes());
}

std::vector<Receipt> decode_receipts(std::span<const std::uint8_t> bytes) {
  std::vector<Receipt> receipts;
  try {
    ByteReader in(bytes);
    std::string source;
    std::int64_t previous = 0;
    while (in.remaining() > 0) {
      if (in.byte() != 0) source = in.text();
      previous += in.zigzag_varint();
      receipts.push_back({source, static_cast<std::uint16_t>(previous), in.word()});
    }
  } catch (const BadBytes& problem) {
    log::warning(
        fmt::format("receipts of a group are damaged ({}); a redelivery of it may be stored twice under its "
                    "own stamp, which is harmless",
                    problem.what()));
  }
  return receipts;
}

}  // namespace wattd::storage
