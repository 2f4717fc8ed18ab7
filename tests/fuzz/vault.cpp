// Sealed bytes from a disk that somebody else had in hand: no crash, no overread, and nothing that was not sealed here
// opens.
#include <cstdlib>

#include "storage/vault.h"
#include "telemetry/log.h"

using wattd::storage::Vault;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  wattd::log::set_level(wattd::log::Level::error);
  static const auto vault = Vault::parse(std::string(64, '7')).value();
  static const auto header = vault.seal({Vault::Kind::proof}, {});
  const std::span bytes(data, size);
  // With a header that fits, so that the cipher is reached.
  std::vector<std::uint8_t> sealed(header.begin(), header.begin() + 6);
  sealed.insert(sealed.end(), bytes.begin(), bytes.end());
  if (!vault.open({Vault::Kind::body, 1, 2}, sealed).empty() && sealed.size() >= header.size()) std::abort();
  (void)vault.open({Vault::Kind::body, 1, 2}, bytes);
  (void)Vault::parse({reinterpret_cast<const char*>(data), size});
  return 0;
}
