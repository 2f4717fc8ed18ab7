// Readings that other gateways have read and stored, and post here: the way of docs/formats/shipment.md.
#include "api/collector.h"

#include <fmt/format.h>
#include <openssl/crypto.h>

#include "api/parameters.h"
#include "api/routes.h"
#include "storage/shipment.h"

namespace wattd::api {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kShortestToken = 16;
constexpr std::chrono::milliseconds kPatience = 5s;  // for a shipment to reach the disk

}  // namespace

Collected parse_collected(const config::Table& table) {
  Collected one{.id = table.text("id")};
  one.token = table.secret("token");
  if (one.token.size() < kShortestToken)
    table.fail("token", fmt::format("expected at least {} characters: openssl rand -hex 32", kShortestToken));
  one.prefix = table.text("prefix", one.id + ".");
  if (!one.prefix.empty() && !is_valid_device_id(one.prefix + "x"))
    table.fail("prefix", "expected the beginning of a device id, without / + #");
  table.reject_unknown_keys();
  return one;
}

const Collected* find_collected(const std::vector<Collected>& all, const std::string& authorization) {
  constexpr std::string_view kBearer = "Bearer ";
  if (!authorization.starts_with(kBearer)) return nullptr;
  const auto token = authorization.substr(kBearer.size());
  const Collected* found = nullptr;
  for (const auto& one : all) {
    if (one.token.size() == token.size() && CRYPTO_memcmp(one.token.data(), token.data(), token.size()) == 0)
      found = &one;
  }
  return found;
}

Response Routes::collect(const Request& request) {
  std::shared_ptr<const std::vector<Collected>> collected;
  {
    const std::scoped_lock lock(mutex_);
    collected = collected_;
  }
  const auto* const from = find_collected(*collected, request.authorization);
  if (from == nullptr)
    return error_response(401, "UNAUTHORIZED", "no [[collect]] of this gateway has the token that was sent");
  const auto shipment =
      storage::decode_shipment({reinterpret_cast<const std::uint8_t*>(request.body.data()), request.body.size()});
  if (!shipment) return error_response(400, "VALIDATION_ERROR", shipment.error().message);
  const auto [now, clock_quality] = clock_.stamp();
  if (clock_quality != Quality::good && has(clock_quality, Quality::clock_unsynced))
    return error_response(503, "BUSY", "nothing vouches for the clock of this gateway yet; send it again");
  if (!pipeline_.has_room()) return error_response(503, "BUSY", "the gateway is busy; try again");
  std::optional<drivers::Intake::Ticket> last;
  for (const auto& part : shipment->parts) {
    for (std::size_t row = 0; row < part.rows.size(); ++row) {
      auto reading = part.rows.reading(row);
      reading.device_id = from->prefix + reading.device_id;
      reading.received = now;
      // Its gateway has found out since when that was: it is not held until this one knows its own clock.
      if (has(reading.quality, Quality::clock_unsynced))
        reading.quality = without(reading.quality, Quality::clock_unsynced) | Quality::estimated;
      last = pipeline_.put(std::move(reading));
    }
  }
  pipeline_.expect_commit();
  if (last && !pipeline_.commit_through(*last, kPatience))
    return error_response(503, "BUSY", "what was sent is not on the disk yet; send it again");
  return ok("{}");
}

}  // namespace wattd::api
