#include "config/bundle.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <algorithm>
#include <charconv>
#include <memory>

namespace wattd::config {
namespace {

constexpr std::string_view kFirstLine = "wattd-bundle 1";
constexpr std::size_t kMostFiles = 1000;
constexpr std::size_t kSignature = 64;         // bytes of Ed25519's
constexpr std::size_t kSignatureLetters = 88;  // in base64

struct FreeOpenssl {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using Key = std::unique_ptr<EVP_PKEY, FreeOpenssl>;
using Context = std::unique_ptr<EVP_MD_CTX, FreeOpenssl>;

const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

/// Errors: none is an empty key.
Key key_from(const std::string& pem, bool is_private) {
  const std::unique_ptr<BIO, FreeOpenssl> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  Key key(is_private ? PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr)
                     : PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr));
  if (key && EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_ED25519) key.reset();
  return key;
}

/// Lines and counted bytes, from the front.
class Scanner {
 public:
  explicit Scanner(std::string_view rest) : rest_(rest) {}
  std::optional<std::string_view> line() {
    const auto end = rest_.find('\n');
    if (end == std::string_view::npos) return std::nullopt;
    const auto found = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return found;
  }
  std::optional<std::string_view> take(std::size_t size) {
    if (size > rest_.size()) return std::nullopt;
    const auto found = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return found;
  }
  bool is_at_end() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

template <class Number>
std::optional<Number> number_from(std::string_view text) {
  Number number{};
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  return problem == std::errc{} && end == text.data() + text.size() ? std::optional(number) : std::nullopt;
}

/// Names stay below the directories that they are for.
bool is_allowed(std::string_view path) {
  for (const auto* folder : {"conf.d/", "profiles/"}) {
    if (!path.starts_with(folder)) continue;
    const auto name = path.substr(std::string_view(folder).size());
    return name.ends_with(".toml") && name.size() > 5 && name.size() <= 100 && name[0] != '.' &&
           std::ranges::all_of(name, [](char c) {
             return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                    c == '-' || c == '_';
           });
  }
  return false;
}

std::unexpected<Error> no_bundle(std::string_view why) {
  return fail(ErrorKind::permanent, fmt::format("this is no bundle: {}", why));
}

/// `WORD rest` of the line, when it begins with that word.
std::optional<std::string_view> behind(std::string_view line, std::string_view word) {
  if (line.size() <= word.size() || !line.starts_with(word) || line[word.size()] != ' ') return std::nullopt;
  return line.substr(word.size() + 1);
}

/// `PATH SIZE` and so many bytes. Errors: as parse_bundle.
Result<BundleFile> file_from(std::string_view head, Scanner& scanner) {
  const auto space = head.rfind(' ');
  const auto size = space == std::string_view::npos ? std::nullopt : number_from<std::size_t>(head.substr(space + 1));
  if (!size) return no_bundle("a file has no size");
  const auto path = head.substr(0, space);
  if (!is_allowed(path))
    return no_bundle(fmt::format("{:?} is no name that it may have; expected conf.d/NAME.toml or profiles/NAME.toml",
                                 path.substr(0, 100)));
  const auto content = scanner.take(*size);
  if (!content || scanner.take(1) != "\n") return no_bundle(fmt::format("{} is cut short", path));
  return BundleFile{std::string(path), std::string(*content)};
}

}  // namespace

bool Bundle::is_for(const std::string& gateway) const {
  return std::ranges::any_of(gateways, [&](const std::string& one) { return one == "*" || one == gateway; });
}

Result<Bundle> parse_bundle(std::string_view plain) {
  Scanner scanner(plain);
  if (scanner.line() != kFirstLine) return no_bundle(fmt::format("it does not begin with {:?}", kFirstLine));
  Bundle bundle;
  while (!scanner.is_at_end()) {
    const auto line = scanner.line();
    if (!line) return no_bundle("its last line has no end");
    if (const auto serial = behind(*line, "serial")) {
      const auto number = number_from<std::uint64_t>(*serial);
      if (!number || *number == 0) return no_bundle("its serial is no number above 0");
      bundle.serial = *number;
    } else if (const auto gateway = behind(*line, "gateway")) {
      bundle.gateways.emplace_back(*gateway);
    } else if (const auto expires = behind(*line, "expires")) {
      bundle.expires = parse_iso8601(*expires);
      if (!bundle.expires) return no_bundle("expires is no time such as 2027-01-01T00:00:00Z");
    } else if (const auto file = behind(*line, "file")) {
      auto read = file_from(*file, scanner);
      if (!read) return std::unexpected(read.error());
      if (!bundle.files.empty() && bundle.files.back().path >= read->path)
        return no_bundle("its files are not in order of their names, or one stands there twice");
      bundle.files.push_back(std::move(*read));
      if (bundle.files.size() > kMostFiles) return no_bundle("it has too many files");
    } else {
      return no_bundle(fmt::format("{:?} means nothing", line->substr(0, 40)));
    }
  }
  if (bundle.serial == 0) return no_bundle("it has no serial");
  if (bundle.gateways.empty()) return no_bundle("it names no gateway");
  return bundle;
}

std::string bundle_text(const Bundle& bundle) {
  auto text = fmt::format("{}\nserial {}\n", kFirstLine, bundle.serial);
  for (const auto& gateway : bundle.gateways) text += fmt::format("gateway {}\n", gateway);
  if (bundle.expires) text += fmt::format("expires {}\n", format_iso8601(*bundle.expires));
  for (const auto& file : bundle.files)
    text += fmt::format("file {} {}\n{}\n", file.path, file.content.size(), file.content);
  return text;
}

Result<Bundle> open_bundle(std::string_view bytes, const std::string& public_key) {
  if (bytes.size() > kMostBundleBytes) return no_bundle("it is larger than 4 MB");
  constexpr std::string_view kWord = "signature ";
  constexpr auto kLast = kWord.size() + kSignatureLetters + 1;
  if (bytes.size() < kLast || !bytes.ends_with('\n')) return no_bundle("it is cut short");
  const auto last = bytes.substr(bytes.size() - kLast);
  const auto plain = bytes.substr(0, bytes.size() - kLast);
  if (!last.starts_with(kWord) || !plain.ends_with('\n')) return no_bundle("its last line is no signature");
  unsigned char signature[kSignatureLetters];  // base64 may leave up to two bytes behind the 64
  if (EVP_DecodeBlock(signature, bytes_of(last.substr(kWord.size())), kSignatureLetters) < static_cast<int>(kSignature))
    return no_bundle("its signature is no base64");
  const auto key = key_from(public_key, false);
  if (!key) return fail(ErrorKind::permanent, "the public key is no Ed25519 key in PEM");
  const Context context(EVP_MD_CTX_new());
  if (EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) != 1 ||
      EVP_DigestVerify(context.get(), signature, kSignature, bytes_of(plain), plain.size()) != 1)
    return fail(ErrorKind::permanent, "the bundle was not signed with the key that belongs to the public key here");
  return parse_bundle(plain);
}

Result<void> check_public_key(const std::string& pem) {
  if (!key_from(pem, false)) return fail(ErrorKind::permanent, "the public key is no Ed25519 key in PEM");
  return {};
}

Result<std::string> seal_bundle(const Bundle& bundle, const std::string& private_key) {
  auto text = bundle_text(bundle);
  const auto readable = parse_bundle(text);
  if (!readable) return std::unexpected(readable.error());
  if (*readable != bundle) return no_bundle("a name in it has a line break");
  const auto key = key_from(private_key, true);
  if (!key)
    return fail(ErrorKind::permanent, "the key is no Ed25519 key in PEM; openssl genpkey -algorithm ed25519 makes one");
  const Context context(EVP_MD_CTX_new());
  unsigned char signature[kSignature];
  std::size_t size = kSignature;
  if (EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) != 1 ||
      EVP_DigestSign(context.get(), signature, &size, bytes_of(text), text.size()) != 1)
    return fail(ErrorKind::permanent, "the bundle cannot be signed");
  char letters[kSignatureLetters + 1];
  EVP_EncodeBlock(reinterpret_cast<unsigned char*>(letters), signature, static_cast<int>(size));
  text += fmt::format("signature {}\n", letters);
  if (text.size() > kMostBundleBytes) return no_bundle("it is larger than 4 MB");
  return text;
}

}  // namespace wattd::config
