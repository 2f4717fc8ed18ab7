#pragma once
#include <optional>
#include <string>
#include <vector>

#include "ml-lite/features/calendar.h"

namespace wattd::cli {

/// The times in a file, one a line, under a header or not; the first cell counts. Errors: throws BadInput.
std::vector<std::string> times_in(const std::string& path);

/// `2026-02-07 11:26:00`, `2026-02-07T11:26` or a day alone. Errors: nullopt.
std::optional<ml::LocalTime> local_time(const std::string& text);

/// The days in a file; none where there is no file. Errors: throws BadInput, with the line that is no day.
ml::Holidays holidays_in(const std::string& path);

}  // namespace wattd::cli
