#pragma once
// The parser's header is heavy: only the sources of this room include this file.
#include <toml++/toml.h>

#include <memory>

#include "config/table.h"

namespace wattd::config {

/// A table inside a document, which the pointer keeps alive.
struct Table::Node {
  std::shared_ptr<const toml::table> document;
  const toml::table* table;
};

inline const toml::table& empty_table() {
  static const toml::table table;
  return table;
}

}  // namespace wattd::config
