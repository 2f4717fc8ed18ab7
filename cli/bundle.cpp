// Configuration that a fleet fetches: made and looked at here, taken over by the daemon alone.
#include "config/bundle.h"

#include <fmt/format.h>
#include <json/writer.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "cli/answer.h"
#include "cli/commands.h"

namespace wattd::cli {
namespace {

Result<std::string> content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file || std::filesystem::is_directory(path)) return fail(ErrorKind::permanent, path + " cannot be read");
  return text.str();
}

/// Every file in conf.d and profiles below a directory.
Result<std::vector<config::BundleFile>> files_below(const std::string& directory) {
  std::vector<config::BundleFile> files;
  for (const auto* part : {"conf.d", "profiles"}) {
    std::error_code missing;
    for (const auto& entry : std::filesystem::directory_iterator(directory + "/" + part, missing)) {
      auto content = content_of(entry.path().string());
      if (!content) return std::unexpected(content.error());
      files.push_back({fmt::format("{}/{}", part, entry.path().filename().string()), std::move(*content)});
    }
  }
  if (files.empty())
    return fail(ErrorKind::permanent, directory + " has neither conf.d nor profiles with a file in it");
  std::ranges::sort(files, {}, &config::BundleFile::path);
  return files;
}

}  // namespace

int seal_bundle(const BundleTarget& target) {
  config::Bundle bundle{.serial = target.serial, .gateways = target.gateways};
  if (bundle.gateways.empty()) bundle.gateways = {"*"};
  if (!target.expires.empty()) {
    bundle.expires = parse_iso8601(target.expires);
    if (!bundle.expires)
      return complain({ErrorKind::permanent, "--expires: expected a time such as 2027-01-01T00:00:00Z"});
  }
  auto files = files_below(target.path);
  if (!files) return complain(files.error());
  bundle.files = std::move(*files);
  const auto key = content_of(target.key);
  if (!key) return complain(key.error());
  const auto sealed = config::seal_bundle(bundle, *key);
  if (!sealed) return complain(sealed.error());
  std::ofstream out(target.out, std::ios::binary | std::ios::trunc);
  out << *sealed;
  out.close();
  if (!out) return complain({ErrorKind::permanent, target.out + " cannot be written"});
  fmt::print("{}: bundle {} with {} files for {}\n", target.out, bundle.serial, bundle.files.size(),
             fmt::join(bundle.gateways, ", "));
  return 0;
}

int show_bundle(Context& context, const BundleTarget& target) {
  const auto bytes = content_of(target.path);
  if (!bytes) return complain(bytes.error());
  const auto key = content_of(target.key);
  if (!key) return complain(key.error());
  const auto bundle = config::open_bundle(*bytes, *key);
  if (!bundle) return complain(bundle.error());
  Json::Value whole;
  auto& json = whole["data"];
  json["serial"] = Json::UInt64(bundle->serial);
  for (const auto& gateway : bundle->gateways) json["gateways"].append(gateway);
  json["expires"] = bundle->expires ? Json::Value(format_iso8601(*bundle->expires)) : Json::Value();
  for (const auto& file : bundle->files) {
    Json::Value one;
    one["path"] = file.path;
    one["bytes"] = Json::UInt64(file.content.size());
    json["files"].append(one);
  }
  return answer(context, whole, [&](const Json::Value& shown) {
    fmt::print("serial   {}\ngateways {}\nexpires  {}\n", cell(shown["serial"]), fmt::join(bundle->gateways, ", "),
               cell(shown["expires"]));
    Table table({"FILE", "BYTES"});
    for (const auto& file : shown["files"]) table.add({cell(file["path"]), cell(file["bytes"])});
    print_table(context, table, "It has no files.");
  });
}

int write_diagnostics(Context& context, const std::string& out) {
  const auto document = context.client.get("/api/v1/diagnostics");
  if (!document) return complain(document.error());
  if (out.empty()) {
    print_json((*document)["data"]);
    return 0;
  }
  std::ofstream file(out, std::ios::trunc);
  file << Json::writeString(Json::StreamWriterBuilder(), (*document)["data"]) << "\n";
  file.close();
  if (!file) return complain({ErrorKind::permanent, out + " cannot be written"});
  fmt::print("{}: no secrets are in it, and no readings\n", out);
  return 0;
}

}  // namespace wattd::cli
