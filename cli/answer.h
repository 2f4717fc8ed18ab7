#pragma once
#include <string>

#include "cli/commands.h"

namespace wattd::cli {

/// Prints what was asked for as JSON, or lets `print` lay it out.
template <class Print>
int answer(Context& context, const Result<Json::Value>& result, Print print) {
  if (!result) return complain(result.error());
  if (context.format == Format::json) {
    print_json((*result)["data"]);
    return 0;
  }
  print((*result)["data"]);
  return 0;
}

void print_table(Context& context, const Table& table, const char* when_empty);

/// "15m", "2h" or "3d" ago, or the RFC 3339 text itself.
std::string start_of(const std::string& text);

}  // namespace wattd::cli
