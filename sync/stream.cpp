#include "sync/stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace wattd::sync {
namespace {

constexpr std::array<std::string_view, 8> kNames{"readings", "hours",  "days",      "summaries",
                                                 "devices",  "alerts", "analytics", "dead_letters"};

}  // namespace

std::string_view to_string(Stream stream) { return kNames[static_cast<std::size_t>(stream)]; }

std::vector<Stream> parse_streams(const config::Table& table) {
  if (!table.has("streams")) return {Stream::readings};
  std::vector<Stream> streams;
  for (const auto& text : table.texts("streams")) {
    const auto found = std::ranges::find(kNames, text);
    if (found == kNames.end())
      table.fail("streams", fmt::format("there is no stream {:?}; expected some of {}", text, fmt::join(kNames, ", ")));
    const auto stream = static_cast<Stream>(found - kNames.begin());
    if (std::ranges::find(streams, stream) != streams.end())
      table.fail("streams", fmt::format("{} stands there twice", text));
    streams.push_back(stream);
  }
  if (streams.empty()) table.fail("streams", "expected at least one");
  return streams;
}

}  // namespace wattd::sync
