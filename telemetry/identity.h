#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace wattd {

/// A random version 4 UUID. Threads: any. Source: RFC 4122, section 4.4.
std::string random_uuid();

/// The same UUID for the same name, for ever: what a file provisions keeps its id across restarts.
/// Shape: version 8 layout over two FNV-1a hashes; not for secrets.
std::string uuid_from_name(std::string_view name);

/// FNV-1a over the bytes: stable across machines and versions, so it may be stored.
constexpr std::uint64_t fnv1a(std::string_view bytes, std::uint64_t seed = 14695981039346656037ULL) {
  for (const char c : bytes) seed = (seed ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  return seed;
}

}  // namespace wattd
