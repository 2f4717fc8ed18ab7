#pragma once
#include <curl/curl.h>

#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace wattd::notify {

struct FreeCurl {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using Curl = std::unique_ptr<CURL, FreeCurl>;
using CurlList = std::unique_ptr<curl_slist, FreeList>;

/// A transfer with our time limits, that ends when `stop` is requested. Errors: throws std::runtime_error.
Curl make_curl(const std::string& ca_file, const std::stop_token& stop);

struct HttpRequest {
  std::string url;
  std::string body;
  std::vector<std::string> headers;
  std::string user, password;  ///< Basic authentication; empty for none.
  std::string ca_file;
};

struct HttpAnswer {
  long status = 0;      ///< 0: there was none,
  std::string problem;  ///< and why.
  std::string body;     ///< Its first 4 kB.
  std::optional<std::chrono::seconds> retry_after;
};

/// Threads: any.
HttpAnswer post(const HttpRequest& request, const std::stop_token& stop);
/// As in a form.
std::string url_encoded(const std::string& text);

}  // namespace wattd::notify
