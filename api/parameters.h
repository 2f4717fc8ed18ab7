#pragma once
#include <string>
#include <vector>

#include "api/http.h"
#include "storage/reader.h"
#include "telemetry/error.h"
#include "telemetry/time.h"

namespace wattd::api {

/// A parameter that is not as it should be; becomes a 400.
struct BadParameter {
  std::string message;
};

// Parameters of a query. Errors of each: throws BadParameter, which says what was found and what is expected.
std::string text_of(const Request& request, const std::string& name);
std::size_t number_of(const Request& request, const std::string& name, std::size_t fallback, std::size_t max);
Timestamp time_of(const Request& request, const std::string& name, Timestamp fallback);
storage::Step interval_of(const Request& request);
std::vector<std::string> list_of(const Request& request, const std::string& name);
/// Who asks for a change, for the audit trail.
std::string asker(const Request& request);

Response ok(std::string body);
Response not_found(const std::string& what);
Response storage_error(const Error& error);
/// For a change that has not reached the disk within kWritePatience.
Response busy();
inline constexpr std::chrono::seconds kWritePatience{5};

}  // namespace wattd::api
