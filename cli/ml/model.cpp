#include "cli/ml/model.h"

#include <filesystem>
#include <fstream>

namespace wattd::cli {

std::vector<std::uint8_t> bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path)) throw BadInput(path + " cannot be opened as a file");
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace wattd::cli
