#include "sync/delivery.h"

#include <fmt/format.h>

#include <algorithm>

#include "telemetry/json_text.h"
#include "telemetry/log.h"

namespace wattd::sync {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kRefusesEverything = 20;
constexpr std::size_t kRemembered = 10'000;
constexpr auto kSlow = 2s;   // for an answer, and live readings wait behind it
constexpr auto kQuick = 1s;  // and there is room for more
constexpr std::size_t kSmallestBatch = 10;

}  // namespace

Delivery::Delivery(const SinkConfig& config, std::unique_ptr<Sink> sink, Ledger& ledger, const Clock& clock,
                   std::shared_ptr<Budget> budget)
    : id_(config.id),
      stream_(config.stream),
      configured_(config.batch),
      sink_(std::move(sink)),
      filter_(config.filter),
      ledger_(ledger),
      clock_(clock),
      most_(config.batch),
      budget_(std::move(budget)) {}

void Delivery::count_traffic(const Calendar& calendar) {
  const auto bytes = sink_->traffic();
  const auto more = bytes - bytes_.exchange(bytes);
  if (budget_ && more > 0) budget_->add(calendar.date_of(clock_.now()), static_cast<std::int64_t>(more));
}

std::size_t Delivery::least() const { return std::min(kSmallestBatch, configured_); }

Result<Parcel> Delivery::pack(storage::Batch batch, Source& source) {
  const auto read = batch.size();
  filter_.apply(batch);
  Parcel parcel{.batch = std::move(batch), .read = read};
  parcel.readings.reserve(parcel.batch.size());
  for (const auto& rows : parcel.batch.parts) {
    std::optional<std::uint32_t> known;
    for (std::size_t row = 0; row < rows.size(); ++row) {
      if (const auto version = rows.block->versions[row]; known != version) {
        auto found = source.device_version(rows.device_id, version);
        if (!found) return std::unexpected(found.error());
        parcel.versions.push_back(std::move(*found));
        known = version;
      }
      parcel.readings.push_back({&rows, row, &parcel.versions.back()});
    }
  }
  // What one batch of segments tells of intervals may be more than a request has.
  if (!parcel.readings.empty() && parcel.readings.size() <= configured_) parcel.bytes = sink_->pack(parcel.readings);
  return parcel;
}

Taken Delivery::send(const Parcel& parcel, const std::stop_token& stop) {
  if (parcel.readings.empty()) return {};
  refused_.clear();
  taken_ = false;
  const bool is_one = parcel.readings.size() <= configured_ || sink_->takes_whole_hours();
  const auto most = is_one ? parcel.readings.size() : most_;
  for (std::span<const Outgoing> rest = parcel.readings; !rest.empty();
       rest = rest.subspan(std::min(most, rest.size()))) {
    if (auto sent = send_or_bisect(rest.first(std::min(most, rest.size())), parcel, stop); !sent) return sent;
  }
  if (taken_) refused_in_row_ = 0;
  else if ((refused_in_row_ += refused_.size()) > kRefusesEverything) return refuses_everything();
  for (const auto& [outgoing, why] : refused_) set_aside(outgoing, why);
  return {};
}

Taken Delivery::send_or_bisect(std::span<const Outgoing> part, const Parcel& parcel, const std::stop_token& stop) {
  if (part.empty()) return {};
  if (stop.stop_requested()) return fail(ErrorKind::retry, "stopping");
  const auto began = clock_.monotonic();
  const bool is_whole = part.size() == parcel.readings.size() && part.size() <= configured_;
  const auto packed = is_whole ? std::string() : sink_->pack(part);
  const auto& bytes = is_whole ? parcel.bytes : packed;
  if (sink_->packs() && bytes.empty()) return {};  // nothing that the store could hold: that says nothing of it
  auto sent = sink_->deliver(bytes, part, stop);
  adapt(part.size(), clock_.monotonic() - began);
  if (sent) {
    taken_ = true;
    ++requests_;
    taken_readings_ += part.size();
    std::uint64_t samples = 0;
    for (const auto& outgoing : part) samples += outgoing.rows->numeric_samples(outgoing.row);
    samples_ += samples;
    return {};
  }
  if (sent.error().is_too_large) most_ = std::clamp(part.size() / 2, std::size_t{1}, most_);
  if (sent.error().kind != ErrorKind::permanent) return sent;
  if (part.size() == 1) {
    refused_.emplace_back(part[0], sent.error().message);
    // One after the other and none taken: before the rest is tried singly, too, the last one has to tell.
    if (taken_ || refused_.size() != kRefusesEverything) return {};
    const auto last = std::span(parcel.readings).last(1);
    const auto told = sink_->pack(last);
    if ((sink_->packs() && told.empty()) || !sink_->deliver(told, last, stop)) return refuses_everything();
    taken_ = true;
    return {};
  }
  const auto half = part.size() / 2;
  if (auto first = send_or_bisect(part.first(half), parcel, stop); !first) return first;
  return send_or_bisect(part.subspan(half), parcel, stop);
}

/// Requests are as large as the link answers quickly to.
void Delivery::adapt(std::size_t sent, Instant::duration took) {
  if (took > kSlow) most_ = std::max(std::min(most_, sent) / 2, least());
  else if (took < kQuick && sent >= most_) most_ = std::min(most_ + most_ / 2 + 1, configured_);
}

void Delivery::ask_less() { most_ = std::max(most_ / 2, least()); }

Taken Delivery::refuses_everything() const {
  // A store like that is not about these readings: a wrong database, or a proxy in between.
  return fail(ErrorKind::retry,
              fmt::format("it refuses everything, so nothing is thrown away: {}", refused_.back().second));
}

void Delivery::set_aside(const Outgoing& outgoing, const std::string& why) {
  if (set_aside_.size() >= kRemembered) set_aside_.clear();
  const auto reading = outgoing.reading();
  if (!set_aside_.emplace(reading.device_id, reading.at).second) return;
  log::warning(fmt::format("{}: a reading of {} was refused for good: {}", id_, reading.device_id, why),
               {{"SINK", id_}});
  // What is beside readings is made of what is stored here, and comes again when that changes: replayed as a message it
  // would become a reading that nobody has measured.
  if (stream_ == Stream::readings) ledger_.set_aside({message_of(reading, id_), Rejection::upstream_rejected, why});
  ++refused_readings_;
}

}  // namespace wattd::sync
