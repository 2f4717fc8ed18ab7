#pragma once
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace wattd {

/// A wall-clock instant in integer microseconds UTC, the resolution of every key.
using Timestamp = std::chrono::sys_time<std::chrono::microseconds>;
/// A point on the monotonic clock: for durations and schedules, never for stamps.
using Instant = std::chrono::steady_clock::time_point;

constexpr Timestamp from_unix_us(std::int64_t us) { return Timestamp{std::chrono::microseconds{us}}; }
constexpr std::int64_t to_unix_us(Timestamp at) { return at.time_since_epoch().count(); }

/// Parses `2026-02-07T11:26:00[.ffffff](Z|±hh:mm)`; digits past the microsecond are cut off.
/// Without a zone the text is taken as UTC. A space may stand for the T.
/// Errors: nullopt for anything else, impossible dates included.
/// Source: RFC 3339, section 5.6.
std::optional<Timestamp> parse_iso8601(std::string_view text);

/// Reads a Unix time whose unit (s, ms, us, ns) is told by its size.
/// Errors: nullopt for a negative or not finite number.
std::optional<Timestamp> from_epoch_number(double value);
std::optional<Timestamp> from_epoch_number(std::int64_t value);

/// RFC 3339 in UTC; the fraction is left out when it is zero.
std::string format_iso8601(Timestamp at);

/// A short duration for people, such as `1.5 s`, `12 min` or `3 d`.
std::string format_duration(std::chrono::microseconds duration);

}  // namespace wattd
