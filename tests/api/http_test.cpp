#include "api/http.h"

#include <gtest/gtest.h>

namespace wattd::api {
namespace {

TEST(ParseTarget, decodes_path_and_query) {
  Request request;
  parse_target("/api/v1/devices/D%201?start_time=2026-02-07T11%3A26%3A00%2B05%3A30&fields=a+b&empty", request);
  EXPECT_EQ(request.path, "/api/v1/devices/D 1");
  EXPECT_EQ(request.query["start_time"], "2026-02-07T11:26:00+05:30");
  EXPECT_EQ(request.query["fields"], "a b");
  EXPECT_TRUE(request.query.contains("empty"));
}

TEST(ParseTarget, survives_broken_escapes) {
  Request request;
  parse_target("/a%2?x=%zz&&=&%", request);
  EXPECT_EQ(request.path, "/a%2");
  EXPECT_EQ(request.query["x"], "%zz");
}

TEST(ErrorResponse, has_the_seeds_envelope) {
  const auto response = error_response(404, "NOT_FOUND", "device \"x\" does not exist");
  EXPECT_EQ(response.status, 404u);
  EXPECT_TRUE(response.body.starts_with(
      R"({"success":false,"data":null,"error":{"code":"NOT_FOUND","message":"device \"x\" does not exist"},"timestamp":")"))
      << response.body;
}

}  // namespace
}  // namespace wattd::api
