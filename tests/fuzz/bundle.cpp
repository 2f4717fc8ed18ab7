// What a gateway fetches comes from whoever sits at the other end, or in between.
#include <string_view>

#include "config/bundle.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  using namespace wattd::config;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  // Of a good signature no fuzzer dreams: what lies behind it is read without one, too.
  const auto bundle = parse_bundle(bytes);
  if (bundle && parse_bundle(bundle_text(*bundle)) != *bundle) __builtin_trap();
  static const std::string key =
      "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC "
      "KEY-----\n";
  (void)open_bundle(bytes, key);
  return 0;
}
