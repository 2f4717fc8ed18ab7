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
    if (receipt.packet_id == 0) {
      kept.clear();
      continue;
    }
    kept.emplace_back(receipt.packet_id, receipt.payload_hash);
    if (kept.size() > kKept) kept.pop_front();
  }
}

bool RedeliveryFilter::begins_session(const Message& message) {
  if (message.packet_id == 0) return false;  // QoS 0 has neither session nor packet ids
  auto& source = sources_[message.source];
  if (message.epoch == source.epoch) return false;
  source.epoch = message.epoch;
  source.candidates.clear();
  if (!message.resumed) source.recent.clear();
  for (const auto& [id, hash] : source.recent) source.candidates.insert_or_assign(id, hash);
  return !message.resumed;
}

bool RedeliveryFilter::is_redelivery(const Message& message, const Receipt& receipt) {
  if (message.packet_id == 0) return false;
  auto& source = sources_[message.source];
  if (!source.candidates.empty()) {
    const auto candidate = source.candidates.find(receipt.packet_id);
    if (candidate != source.candidates.end() && candidate->second == receipt.payload_hash) return true;
    // Redeliveries come first and in order, those we had committed before the others: from here on all is new.
    source.candidates.clear();
  }
  source.recent.emplace_back(receipt.packet_id, receipt.payload_hash);
  if (source.recent.size() > kKept) source.recent.pop_front();
  return false;
}

}  // namespace wattd::pipeline
