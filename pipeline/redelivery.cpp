#include "pipeline/redelivery.h"

#include "telemetry/identity.h"

namespace wattd::pipeline {

Receipt receipt_of(const Message& message) {
  const auto hash = fnv1a(message.payload, fnv1a(message.topic));
  return {message.source, message.packet_id, static_cast<std::uint32_t>(hash ^ (hash >> 32))};
}

RedeliveryFilter::RedeliveryFilter(const std::vector<Receipt>& recent) {
  for (const auto& receipt : recent) {
    auto& kept = sources_[receipt.source].recent;
    kept.emplace_back(receipt.packet_id, receipt.payload_hash);
    if (kept.size() > kKept) kept.pop_front();
  }
}

bool RedeliveryFilter::is_redelivery(const Message& message, const Receipt& receipt) {
  if (message.packet_id == 0) return false;  // QoS 0 is never sent again
  auto& source = sources_[message.source];
  if (message.epoch != source.epoch) {
    source.epoch = message.epoch;
    source.candidates.clear();
    for (const auto& [id, hash] : source.recent) source.candidates.insert_or_assign(id, hash);
    source.checks_left = source.candidates.size();
  }
  if (source.checks_left > 0) {
    const auto candidate = source.candidates.find(receipt.packet_id);
    const bool known = candidate != source.candidates.end() && candidate->second == receipt.payload_hash;
    if (--source.checks_left == 0) source.candidates.clear();
    if (known) return true;
  }
  source.recent.emplace_back(receipt.packet_id, receipt.payload_hash);
  if (source.recent.size() > kKept) source.recent.pop_front();
  return false;
}

}  // namespace wattd::pipeline
