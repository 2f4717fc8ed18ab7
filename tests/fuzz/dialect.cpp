// Whoever may publish may say anything on any topic, in every dialect: no crash, and no more fields than are allowed.
#include <string>

#include "drivers/mqtt/dialect.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  using namespace wattd::drivers::mqtt;
  static TopicReader* reader = [] {
    std::vector<Subscription> all{
        {"map/+/+",
         "mapping",
         {.topic = "map/{device}/{x}",
          .device = "{device}",
          .timestamp = "/t",
          .fields = {{"/p/0", "power_{x}"}, {"/s", "s"}}}},
        {"text/+", "mapping", {.topic = "text/{device}", .device = "{device}", .fields = {{"", "v"}}}}};
    for (const auto& publisher : publishers()) {
      for (const auto filter : publisher.filters) all.push_back({std::string(filter), std::string(publisher.name), {}});
    }
    return new TopicReader(std::move(all));
  }();
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto end = input.find('\n');
  if (end == std::string_view::npos || end > 200) return 0;
  std::string topic(input.substr(0, end));
  std::erase(topic, '\0');
  const auto decoded = reader->decode({.topic = topic, .payload = std::string(input.substr(end + 1))});
  if (!decoded) return 0;
  for (const auto& one : *decoded) {
    if (one.reading.fields.size() > 1000) __builtin_trap();
  }
  return 0;
}
