#include "storage/vault.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "telemetry/log.h"

namespace wattd::storage {
namespace {

// No format that may stand here plain begins with this byte: theirs are version numbers, and small.
constexpr std::uint8_t kSealed = 0xE5;
constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kNonce = 12;
constexpr std::size_t kTag = 16;
constexpr std::size_t kHeader = 2 + sizeof(Vault::Id);
constexpr std::size_t kOverhead = kHeader + kNonce + kTag;

struct FreeCipher {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Cipher = std::unique_ptr<EVP_CIPHER_CTX, FreeCipher>;

void require(int result, const char* what) {
  if (result != 1) throw std::runtime_error(fmt::format("OpenSSL refuses {}", what));
}

/// The header and the place: what is not secret, but must not be changed.
std::array<std::uint8_t, kHeader + 17> associated(std::span<const std::uint8_t> header, const Vault::Place& place) {
  std::array<std::uint8_t, kHeader + 17> data{};
  std::ranges::copy(header, data.begin());
  data[kHeader] = static_cast<std::uint8_t>(place.kind);
  std::memcpy(&data[kHeader + 1], &place.a, 8);
  std::memcpy(&data[kHeader + 9], &place.b, 8);
  return data;
}

std::optional<std::array<std::uint8_t, 32>> from_hex(std::string_view text) {
  std::array<std::uint8_t, 32> bytes{};
  if (text.size() != 2 * bytes.size()) return std::nullopt;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto* from = text.data() + 2 * i;
    if (std::from_chars(from, from + 2, bytes[i], 16).ptr != from + 2) return std::nullopt;
  }
  return bytes;
}

}  // namespace

Vault::~Vault() {
  for (auto& key : keys_) OPENSSL_cleanse(key.secret.data(), key.secret.size());
}

Result<Vault> Vault::parse(std::string_view text) {
  Vault vault;
  int number = 0;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    auto line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
    if (line.empty()) continue;
    const auto secret = from_hex(line);
    if (!secret) {
      return fail(
          ErrorKind::permanent,
          fmt::format("line {} is no key: expected 64 hexadecimal digits, as openssl rand -hex 32 prints", number));
    }
    Key key{.secret = *secret};
    std::array<std::uint8_t, SHA256_DIGEST_LENGTH> digest{};
    SHA256(secret->data(), secret->size(), digest.data());
    std::memcpy(&key.id, digest.data(), sizeof key.id);
    if (vault.has(key.id)) return fail(ErrorKind::permanent, fmt::format("line {} is a key that stands above", number));
    vault.keys_.push_back(key);
  }
  return vault;
}

bool Vault::has(Id id) const { return std::ranges::find(keys_, id, &Key::id) != keys_.end(); }

Vault::Bytes Vault::seal(const Place& place, std::span<const std::uint8_t> plain) const {
  if (keys_.empty()) return {plain.begin(), plain.end()};
  const auto& key = keys_.front();
  Bytes sealed(plain.size() + kOverhead);
  sealed[0] = kSealed, sealed[1] = kVersion;
  std::memcpy(&sealed[2], &key.id, sizeof key.id);
  auto* nonce = &sealed[kHeader];
  auto* text = nonce + kNonce;
  require(RAND_bytes(nonce, kNonce), "random bytes");
  const auto aad = associated(std::span(sealed).first(kHeader), place);
  const Cipher cipher(EVP_CIPHER_CTX_new());
  int size = 0;
  require(EVP_EncryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, key.secret.data(), nonce), "the cipher");
  require(EVP_EncryptUpdate(cipher.get(), nullptr, &size, aad.data(), static_cast<int>(aad.size())), "the place");
  require(EVP_EncryptUpdate(cipher.get(), text, &size, plain.data(), static_cast<int>(plain.size())), "the bytes");
  require(EVP_EncryptFinal_ex(cipher.get(), text + size, &size), "the end");
  require(EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, kTag, text + plain.size()), "the tag");
  return sealed;
}

Vault::Bytes Vault::open(const Place& place, std::span<const std::uint8_t> stored) const {
  const auto id = sealed_by(stored);
  if (!id) return {stored.begin(), stored.end()};
  const auto refuse = [&](std::string_view why) -> Bytes {
    log::error(
        fmt::format("what stands at {}:{}:{} does not open: {}", static_cast<char>(place.kind), place.a, place.b, why));
    return {};
  };
  const auto key = std::ranges::find(keys_, *id, &Key::id);
  if (key == keys_.end()) return refuse(fmt::format("it is sealed with key {:08x}, which is not given", *id));
  const auto* nonce = &stored[kHeader];
  const auto* text = nonce + kNonce;
  const auto length = stored.size() - kOverhead;
  const auto aad = associated(stored.first(kHeader), place);
  std::array<std::uint8_t, kTag> tag{};
  std::memcpy(tag.data(), text + length, kTag);
  Bytes plain(length);
  const Cipher cipher(EVP_CIPHER_CTX_new());
  int size = 0;
  require(EVP_DecryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, key->secret.data(), nonce), "the cipher");
  require(EVP_DecryptUpdate(cipher.get(), nullptr, &size, aad.data(), static_cast<int>(aad.size())), "the place");
  require(EVP_DecryptUpdate(cipher.get(), plain.data(), &size, text, static_cast<int>(length)), "the bytes");
  require(EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_SET_TAG, kTag, tag.data()), "the tag");
  if (EVP_DecryptFinal_ex(cipher.get(), plain.data() + size, &size) != 1) return refuse("it was changed or moved");
  return plain;
}

std::optional<Vault::Id> sealed_by(std::span<const std::uint8_t> stored) {
  if (stored.size() < kOverhead || stored[0] != kSealed || stored[1] != kVersion) return std::nullopt;
  Vault::Id id = 0;
  std::memcpy(&id, &stored[2], sizeof id);
  return id;
}

}  // namespace wattd::storage
