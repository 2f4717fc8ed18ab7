#pragma once
#include <simdjson.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "telemetry/reading.h"

namespace wattd::drivers::mqtt {

/// A payload that is not what its format says.
struct BadPayload {
  std::string why;
};

/// A number, whichever way it is written; nullopt for anything else.
std::optional<double> number_in(simdjson::dom::element element);
/// A payload that is one number as a text.
std::optional<double> number_in(std::string_view text);

/// The stamp in an element: RFC 3339, or a Unix time. Errors: throws BadPayload.
Timestamp stamp_from(simdjson::dom::element element);

/// Collects a payload's leaves as fields: nested names are joined with dots, elements of arrays carry their index.
/// Errors: throws BadPayload beyond 16 levels, 1,000 fields or names of 100 bytes, and for names that come twice.
class Flattener {
 public:
  explicit Flattener(std::vector<Field>& fields);
  ~Flattener();
  void add(std::string_view prefix, std::string_view name, simdjson::dom::element element, int depth = 1);
  void leaf(std::string name, Value value);
  bool has(std::string_view name) const;

 private:
  struct Names;
  bool is_twice(const std::string& name);

  std::vector<Field>& fields_;
  std::unique_ptr<Names> names_;
};

/// A parser that is kept, and the object in a payload. Errors: throws BadPayload when it holds none.
class ObjectParser {
 public:
  simdjson::dom::object parse(std::string_view payload);
  simdjson::dom::element parse_any(std::string_view payload);

 private:
  simdjson::dom::parser parser_{1 << 20};
};

}  // namespace wattd::drivers::mqtt
