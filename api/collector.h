#pragma once
#include <string>
#include <vector>

#include "config/table.h"

namespace wattd::api {

/// A gateway that may post what it has read.
struct Collected {
  std::string id;
  std::string token;   ///< It names the gateway: no two have the same.
  std::string prefix;  ///< In front of the ids of its devices, so that those of two gateways are never one.
};

/// Reads one [[collect]] table. Errors: throws config::ConfigError.
Collected parse_collected(const config::Table& table);

/// The one whose token stands behind `Bearer ` in an Authorization header; null for none. Takes as long for any token.
const Collected* find_collected(const std::vector<Collected>& all, const std::string& authorization);

}  // namespace wattd::api
