#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "cli/ml/frame.h"
#include "ml-lite/model_file.h"

namespace wattd::cli {

/// Errors: throws BadInput.
std::vector<std::uint8_t> bytes_of(const std::string& path);

/// Keeps a model of any kind in a file. Errors: throws BadInput, also for a model that would not come back: one of
/// numbers that are too large.
template <ml::Kept Model>
void save_model(const std::string& path, const Model& model) {
  const auto bytes = ml::encode(model);
  if (const auto back = ml::decode<Model>(bytes); !back)
    throw BadInput(path + ": the model cannot be kept: " + back.error().message +
                   "; leave out the values that no meter can have");
  OutputFile out(path);
  out.write({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  out.close();
}

/// Errors: throws BadInput, for a file that does not hold such a model.
template <ml::Kept Model>
Model load_model(const std::string& path) {
  return usable(ml::decode<Model>(bytes_of(path)), path);
}

}  // namespace wattd::cli
