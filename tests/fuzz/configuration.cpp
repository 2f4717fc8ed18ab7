// A configuration file may say anything; what is wrong with it has to be said, not crashed on.
#include "drivers/modbus/profile.h"
#include "pipeline/registry.h"
#include "rules/engine.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const auto root = wattd::config::parse(text, "fuzz.toml");
    (void)wattd::pipeline::parse_registry(root);
    for (const auto& rule : root.tables("rules")) (void)wattd::rules::parse_rule(rule);
    (void)wattd::drivers::modbus::parse_profile(root);
  } catch (const wattd::config::ConfigError&) {
  }
  return 0;
}
