// What stands behind the path in a request's first line.
#include "api/http.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  wattd::api::Request request;
  wattd::api::parse_target({reinterpret_cast<const char*>(data), size}, request);
  return 0;
}
